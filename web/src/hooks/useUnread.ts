import { useState } from 'react';

/** How many of `count` messages came since the panel was last open. */
export function useUnread(count: number, open: boolean): number {
  const [seen, setSeen] = useState(count);
  if (open && seen !== count) setSeen(count);
  return open ? 0 : count - seen;
}
