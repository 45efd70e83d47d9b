import { StrictMode, type ReactNode } from 'react';
import { createRoot } from 'react-dom/client';
import './styles/tokens.css';
import './styles/base.css';
import './styles/controls.css';

/** Shows a page in the element `#root` that each HTML file has, with the look that all pages share. */
export function mount(page: ReactNode): void {
  // A link with another token, opened in this tab, changes only the fragment: browsers do not load the page for that.
  window.addEventListener('hashchange', () => window.location.reload());

  const root = document.getElementById('root');
  if (!root) throw new Error(`${window.location.pathname} lacks the element #root`);
  createRoot(root).render(<StrictMode>{page}</StrictMode>);
}
