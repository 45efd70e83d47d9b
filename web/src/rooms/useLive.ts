import { useEffect, useState } from 'react';

/** How often the server is asked. */
const EVERY_MS = 1000;

export interface Live<T> {
  data: T | null;
  /** What a person reads if the last answer was none. */
  problem: { status: number; text: string } | null;
}

/** What `path` answers, asked once a second while the page is shown. Null asks nothing. */
export function useLive<T>(path: string | null, token: string | null): Live<T> {
  const [answer, setAnswer] = useState<Live<T> & { path: string | null }>({ path, data: null, problem: null });

  useEffect(() => {
    if (!path || !token) return;
    const ended = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ask = async () => {
      if (!document.hidden) {
        const next = await fetchJson<T>(path, token, ended.signal);
        if (ended.signal.aborted) return;
        // A missed answer leaves what was seen last, and says so.
        setAnswer((before) => ({ path, data: next.data ?? (before.path === path ? before.data : null), problem: next.problem }));
      }
      timer = setTimeout(() => void ask(), EVERY_MS);
    };
    void ask();
    return () => {
      ended.abort();
      clearTimeout(timer);
    };
  }, [path, token]);

  // What belongs to another path is not shown under this one.
  return answer.path === path ? answer : { data: null, problem: null };
}

async function fetchJson<T>(path: string, token: string, signal: AbortSignal): Promise<Live<T>> {
  try {
    const response = await fetch(path, { signal, cache: 'no-store', headers: { authorization: `Bearer ${token}` } });
    const body = (await response.json().catch(() => null)) as (T & { error?: string }) | null;
    if (response.ok && body) return { data: body, problem: null };
    return { data: null, problem: { status: response.status, text: body?.error ?? `The server answered with status ${response.status}.` } };
  } catch {
    return { data: null, problem: { status: 0, text: 'The server does not answer.' } };
  }
}
