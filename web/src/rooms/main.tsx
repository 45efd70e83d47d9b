import { mount } from '../mount';
import { Console } from './Console';
import '../styles/rooms.css';

mount(<Console />);
