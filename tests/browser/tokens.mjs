// Tokens by LiveKit's own server SDK, with the keys of dev mode where no others are given.

import { AccessToken } from 'livekit-server-sdk';

export const KEY = 'devkey';
export const SECRET = 'secret';
export const DEV_KEYS = { key: KEY, secret: SECRET };

/** A token for one participant; `grants` are added to the video grant, `rest` holds name, metadata, ttl and the like. */
export function token(room, identity, grants = {}, { keys = DEV_KEYS, kind, ...rest } = {}) {
  const access = new AccessToken(keys.key, keys.secret, { identity, name: identity, ttl: '10m', ...rest });
  if (kind) access.kind = kind;
  access.addGrant({ room, roomJoin: true, canUpdateOwnMetadata: true, ...grants });
  return access.toJwt();
}

/** A token that no server accepts: it is signed with another secret. */
export function forgedToken(room, identity) {
  const access = new AccessToken(KEY, 'another-secret-that-is-long-enough', { identity, ttl: '10m' });
  access.addGrant({ room, roomJoin: true });
  return access.toJwt();
}
