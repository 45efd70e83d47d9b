import { useEffect } from 'react';

/** Runs `action` at Ctrl+key (Cmd+key on a Mac). The key is named as in `KeyboardEvent.key`. */
export function useShortcut(key: string, action: () => void): void {
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.repeat || event.altKey || event.shiftKey || !(event.ctrlKey || event.metaKey)) return;
      if (event.key.toLowerCase() !== key) return;
      event.preventDefault();
      action();
    };
    window.addEventListener('keydown', press);
    return () => window.removeEventListener('keydown', press);
  }, [key, action]);
}
