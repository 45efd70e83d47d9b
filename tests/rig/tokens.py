"""Join tokens, made by LiveKit's own server SDK."""

from livekit import api

from .server import KEY, SECRET


def token(room: str, identity: str, key: str = KEY, secret: str = SECRET, **grants) -> str:
    """A token that joins; `grants` are fields of VideoGrants, or `name`, `metadata`, `attributes`, `kind`, `ttl`."""
    made = api.AccessToken(key, secret).with_identity(identity)
    for field in ("name", "metadata", "attributes", "kind", "ttl"):
        if field in grants:
            made = getattr(made, f"with_{field}")(grants.pop(field))
    return made.with_grants(api.VideoGrants(**({"room_join": True, "room": room} | grants))).to_jwt()
