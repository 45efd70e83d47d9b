import type { ReactNode } from 'react';

/** Decoration beside a label: hidden from screen readers, sized by the surrounding font. */
function Icon({ children }: { children: ReactNode }) {
  return (
    <svg
      className="icon"
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.8"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      {children}
    </svg>
  );
}

export const MicrophoneIcon = () => (
  <Icon>
    <rect x="9" y="3" width="6" height="11" rx="3" />
    <path d="M5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3" />
  </Icon>
);

export const MicrophoneOffIcon = () => (
  <Icon>
    <path d="M9 8.5V11a3 3 0 0 0 4.6 2.5M15 10.5V6a3 3 0 0 0-5.7-1.3" />
    <path d="M5.5 11.5A6.5 6.5 0 0 0 16 16.6M18.4 12.3l.1-.8M12 18v3M4 4l16 16" />
  </Icon>
);

export const CameraIcon = () => (
  <Icon>
    <rect x="3" y="6" width="12.5" height="12" rx="3" />
    <path d="m15.5 11 4.1-2.7a.9.9 0 0 1 1.4.8v5.8a.9.9 0 0 1-1.4.8L15.5 13" />
  </Icon>
);

export const CameraOffIcon = () => (
  <Icon>
    <path d="M9.5 6h3a3 3 0 0 1 3 3v2l4.1-2.7a.9.9 0 0 1 1.4.800v5.8a.9.9 0 0 1-1.1.900" />
    <path d="M15.3 16a3 3 0 0 1-2.8 2H6a3 3 0 0 1-3-3V9a3 3 0 0 1 2.2-2.9M4 4l16 16" />
  </Icon>
);

export const ScreenIcon = () => (
  <Icon>
    <rect x="3" y="4" width="18" height="13" rx="2.5" />
    <path d="M12 13.5v-6M9.3 10 12 7.3l2.7 2.7M8.5 20.5h7" />
  </Icon>
);

export const ChatIcon = () => (
  <Icon>
    <path d="M5.5 4.5h13a2.5 2.5 0 0 1 2.5 2.5v8a2.5 2.5 0 0 1-2.5 2.5h-7L7 21v-3.5H5.5A2.5 2.5 0 0 1 3 15V7a2.5 2.5 0 0 1 2.5-2.5Z" />
    <path d="M8 9.5h8M8 12.8h5" />
  </Icon>
);

export const LeaveIcon = () => (
  <Icon>
    <path d="M3.2 14.8c-.6-.6-.8-1.5-.4-2.3C4 10.3 7.7 8 12 8s8 2.3 9.2 4.5c.4.8.2 1.7-.4 2.3l-.9.9c-.5.5-1.3.600-1.9.200l-2.3-1.4c-.4-.3-.7-.8-.6-1.3l.1-1.1c-2.1-.6-4.3-.6-6.4 0l.1 1.1c.1.5-.2 1-.6 1.3L6 15.9c-.6.4-1.4.300-1.9-.2l-.9-.9Z" />
  </Icon>
);

export const ChevronUpIcon = () => (
  <Icon>
    <path d="m6.5 14.5 5.5-5 5.5 5" />
  </Icon>
);

export const CheckIcon = () => (
  <Icon>
    <path d="m5 12.5 4.5 4.5L19 7.5" />
  </Icon>
);

export const CloseIcon = () => (
  <Icon>
    <path d="m6 6 12 12M18 6 6 18" />
  </Icon>
);

export const SendIcon = () => (
  <Icon>
    <path d="M4.5 12 3.6 5.3c-.1-.9.7-1.5 1.5-1.1l15 6.9c.8.4.8 1.5 0 1.9l-15 6.9c-.8.3-1.6-.3-1.5-1.2L4.5 12Zm0 0H12" />
  </Icon>
);

export const PinIcon = () => (
  <Icon>
    <path d="M9 3.5h6l-.7 6 3.2 3.5v2h-11v-2l3.2-3.5-.7-6ZM12 15v6" />
  </Icon>
);

export const LinkIcon = () => (
  <Icon>
    <path d="M10 14a4 4 0 0 0 5.7 0l3-3A4 4 0 0 0 13 5.3l-1 1M14 10a4 4 0 0 0-5.7 0l-3 3A4 4 0 0 0 11 18.7l1-1" />
  </Icon>
);

export const PeopleIcon = () => (
  <Icon>
    <circle cx="9" cy="8.5" r="3.5" />
    <path d="M2.5 19.5c.6-3.4 3.2-5.5 6.5-5.5s5.9 2.1 6.5 5.5M15.5 5.4a3.5 3.5 0 0 1 0 6.2M18 14.7c1.9.9 3.1 2.5 3.5 4.8" />
  </Icon>
);

export const WarningIcon = () => (
  <Icon>
    <path d="M10.4 4.4 2.7 17.6A1.9 1.9 0 0 0 4.3 20.5h15.4a1.9 1.9 0 0 0 1.6-2.9L13.6 4.4a1.9 1.9 0 0 0-3.2 0ZM12 9.5v4M12 17v.1" />
  </Icon>
);
