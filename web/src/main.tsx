import { App } from './App';
import { mount } from './mount';
import './styles/lobby.css';
import './styles/call.css';
import './styles/chat.css';

mount(<App />);
