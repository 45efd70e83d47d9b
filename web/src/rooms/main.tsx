import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { Console } from './Console';
import '../styles/tokens.css';
import '../styles/base.css';
import '../styles/controls.css';
import '../styles/rooms.css';

// A link with another token, opened in this tab, changes only the fragment: browsers do not load the page for that.
window.addEventListener('hashchange', () => window.location.reload());

const root = document.getElementById('root');
if (!root) throw new Error('rooms.html lacks the element #root');
createRoot(root).render(
  <StrictMode>
    <Console />
  </StrictMode>,
);
