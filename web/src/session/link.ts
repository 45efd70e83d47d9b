import { jwtClaims } from './jwt';

/** How the camera is captured: 720p with simulcast, or the small picture that tests publish. */
export type VideoProfile = '720p' | '360p15';

/** What the address of the page says: `/?room=R&video=V#token=T`. */
export interface MeetingLink {
  room: string;
  profile: VideoProfile;
  /** Null unless the link carries a token; then room and identity are fixed by it. */
  invitation: Invitation | null;
}

/** A token and what can be read from it. The server is the judge of whether it is valid. */
export interface Invitation {
  token: string;
  room: string;
  name: string;
  expiresAt: Date | null;
}

/**
 * Reads the link. The token stands in the fragment because a fragment is never sent to a server, so no
 * proxy or access log sees it.
 */
export function readLink(location: Pick<Location, 'search' | 'hash'>): MeetingLink {
  const query = new URLSearchParams(location.search);
  const token = new URLSearchParams(location.hash.replace(/^#/, '')).get('token');
  const invitation = token ? readInvitation(token) : null;
  return {
    room: invitation?.room || query.get('room') || '',
    profile: query.get('video') === '360p15' ? '360p15' : '720p',
    invitation,
  };
}

/** The link that brings somebody else into `room`. It has no token: a token is one person's. */
export function shareableLink(room: string): string {
  const link = new URL(window.location.href);
  link.hash = '';
  link.search = '';
  link.searchParams.set('room', room);
  return link.toString();
}

function readInvitation(token: string): Invitation {
  const claims = jwtClaims(token);
  return {
    token,
    room: claims.video?.room ?? '',
    name: claims.name || claims.sub || '',
    expiresAt: claims.exp ? new Date(claims.exp * 1000) : null,
  };
}
