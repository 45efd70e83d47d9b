import type { ReactNode } from 'react';

interface ToggleButtonProps {
  testId: string;
  label: string;
  on: boolean;
  iconOn: ReactNode;
  iconOff: ReactNode;
  onClick: () => void;
  disabled?: boolean;
  /** Shown in the tooltip, such as "Ctrl+D". */
  shortcut?: string;
}

/** A round button that switches a device. Off is the state that has to catch the eye. */
export function ToggleButton({ testId, label, on, iconOn, iconOff, onClick, disabled, shortcut }: ToggleButtonProps) {
  const action = `Turn ${label.toLowerCase()} ${on ? 'off' : 'on'}`;
  return (
    <button
      type="button"
      className="round-button"
      data-testid={testId}
      data-on={on}
      aria-pressed={on}
      aria-label={label}
      title={shortcut ? `${action} (${shortcut})` : action}
      disabled={disabled}
      onClick={onClick}
    >
      {on ? iconOn : iconOff}
    </button>
  );
}
