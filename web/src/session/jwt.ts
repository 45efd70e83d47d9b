/** The claims that the page shows. All of them are optional: a token may be cut off or no token at all. */
export interface Claims {
  sub?: string;
  name?: string;
  exp?: number;
  video?: { room?: string };
}

/** The claims of a JWT, unverified, or none if it cannot be read. */
export function jwtClaims(token: string): Claims {
  const payload = token.split('.')[1];
  if (!payload) return {};
  try {
    const base64 = payload.replace(/-/g, '+').replace(/_/g, '/');
    const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes)) as Claims;
  } catch {
    return {};
  }
}
