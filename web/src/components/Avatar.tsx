import type { CSSProperties } from 'react';

/** Stands for somebody without a camera: initials on a colour that is always the same for one identity. */
export function Avatar({ name, identity }: { name: string; identity: string }) {
  return (
    <div className="avatar" style={{ '--hue': hueOf(identity) } as CSSProperties} aria-hidden="true">
      {initialsOf(name)}
    </div>
  );
}

function initialsOf(name: string): string {
  const words = name.trim().split(/\s+/);
  const first = words[0] ?? '';
  const last = words.length > 1 ? (words[words.length - 1] ?? '') : '';
  return ([...first][0] ?? '?').toUpperCase() + ([...last][0] ?? '').toUpperCase();
}

function hueOf(identity: string): number {
  let hash = 0;
  for (const char of identity) hash = (hash * 31 + (char.codePointAt(0) ?? 0)) % 360;
  return hash;
}
