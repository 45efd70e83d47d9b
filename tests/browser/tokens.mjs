// Tokens by LiveKit's own server SDK, with the keys of dev mode.

import { AccessToken } from 'livekit-server-sdk';

export const KEY = 'devkey';
export const SECRET = 'secret';

/** A token for one participant; `grants` are added to the video grant, `rest` holds name, metadata and the like. */
export function token(room, identity, grants = {}, rest = {}) {
  const access = new AccessToken(KEY, SECRET, { identity, name: identity, ttl: '10m', ...rest });
  access.addGrant({ room, roomJoin: true, canUpdateOwnMetadata: true, ...grants });
  return access.toJwt();
}

/** A token that no server accepts: it is signed with another secret. */
export function forgedToken(room, identity) {
  const access = new AccessToken(KEY, 'another-secret-that-is-long-enough', { identity, ttl: '10m' });
  access.addGrant({ room, roomJoin: true });
  return access.toJwt();
}
