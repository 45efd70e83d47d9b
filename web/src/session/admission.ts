import type { Invitation } from './link';
import { MeetingProblem } from './problem';

/** How this server lets people in: by a token in the link, or (development only) by handing one out. */
export type Admission = { kind: 'invitation'; invitation: Invitation } | { kind: 'open' } | { kind: 'closed' };

/** The WebSocket address of the server that served this page. */
export function serverUrl(): string {
  const scheme = window.location.protocol === 'https:' ? 'wss' : 'ws';
  return `${scheme}://${window.location.host}`;
}

/** Asks the server whether it runs in development mode. Only then does `/dev/mode` exist. */
export async function servesTokens(signal: AbortSignal): Promise<boolean> {
  const response = await fetch('/dev/mode', { signal, headers: { accept: 'application/json' } });
  if (!response.ok) return false;
  const body = (await response.json().catch(() => null)) as { dev?: boolean } | null;
  return body?.dev === true;
}

/** Gets a token for one person from a server in development mode. */
export async function requestToken(room: string, identity: string, name: string): Promise<string> {
  const query = new URLSearchParams({ room, identity, name });
  let response: Response;
  try {
    response = await fetch(`/dev/token?${query}`, { headers: { accept: 'application/json' }, cache: 'no-store' });
  } catch (cause) {
    throw new MeetingProblem(
      'The server does not answer.',
      'Check that plenum-sfu is running and that you are online, then try again.',
      cause,
    );
  }
  const body = (await response.json().catch(() => null)) as { token?: string } | null;
  if (!response.ok || !body?.token) {
    throw new MeetingProblem(
      `The server gave out no token (status ${response.status}).`,
      'It may have been restarted outside development mode: load the page again, or ask the host for a link.',
    );
  }
  return body.token;
}

/** An identity that nobody else has: a second tab of the same person must not put the first one out. */
export function newIdentity(name: string): string {
  const slug = name
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 24);
  const random = crypto.getRandomValues(new Uint8Array(4));
  const suffix = Array.from(random, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return `${slug || 'guest'}-${suffix}`;
}
