import { useEffect, useState } from 'react';

/** Where a token comes from: the fragment, a server in development mode, or the person at the page. */
export type TokenState = { kind: 'waiting' } | { kind: 'needed' } | { kind: 'there'; token: string };

/** The token that the page asks with. The fragment is never sent to a server, so no access log sees it. */
export function useToken(): [TokenState, (token: string) => void] {
  const [state, setState] = useState<TokenState>(() => {
    const token = new URLSearchParams(window.location.hash.replace(/^#/, '')).get('token');
    return token ? { kind: 'there', token } : { kind: 'waiting' };
  });

  const waits = state.kind === 'waiting';
  useEffect(() => {
    if (!waits) return;
    const ended = new AbortController();
    const ask = async () => {
      const response = await fetch('/dev/operator', { signal: ended.signal }).catch(() => null);
      const body = response?.ok ? ((await response.json().catch(() => null)) as { token?: string } | null) : null;
      if (!ended.signal.aborted) setState(body?.token ? { kind: 'there', token: body.token } : { kind: 'needed' });
    };
    void ask();
    return () => ended.abort();
  }, [waits]);

  return [state, (token) => setState({ kind: 'there', token })];
}
