"""Tokens (resilience.md, attacker's list 4)."""

import base64
import hashlib
import hmac
import json
import time

import aiohttp
import pytest
from livekit.protocol import rtc as proto

from rig.server import KEY, SECRET
from rig.tokens import token
from strangers import Stranger, unpadded

# Every token that a test has shown to the server.
SHOWN: list[str] = []


def forged(claims: dict, header: dict | None = None, secret: str | None = SECRET, digest="sha256") -> str:
    parts = [unpadded(json.dumps(part).encode()) for part in (header or {"alg": "HS256", "typ": "JWT"}, claims)]
    signed = ".".join(parts)
    return f"{signed}.{unpadded(hmac.new(secret.encode(), signed.encode(), digest).digest()) if secret is not None else ''}"


def claims(**changes) -> dict:
    return {"iss": KEY, "sub": "ada", "exp": int(time.time()) + 600, "video": {"roomJoin": True, "room": "tokens"}} | changes


async def validate(server, jwt: str) -> tuple[int, str]:
    SHOWN.append(jwt)
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{server.http}/rtc/validate", headers={"Authorization": f"Bearer {jwt}"}) as answer:
            return answer.status, await answer.text()


async def test_forged_tokens_are_refused_with_the_reason(server, watched):
    now = int(time.time())
    cases = {
        "no algorithm": forged(claims(), {"alg": "none", "typ": "JWT"}, None),
        "no algorithm, signed": forged(claims(), {"alg": "none", "typ": "JWT"}),
        "no signature": forged(claims(), secret=None),
        "HS384": forged(claims(), {"alg": "HS384", "typ": "JWT"}, digest="sha384"),
        "RS256, signed with the secret": forged(claims(), {"alg": "RS256", "typ": "JWT"}),
        "wrong secret": forged(claims(), secret="another secret of more than 32 bytes, too"),
        "empty secret": forged(claims(), secret=""),
        "unknown key": forged(claims(iss="nobody")),
        "no key": forged({key: value for key, value in claims().items() if key != "iss"}),
        "key as a list": forged(claims(iss=[KEY])),
        "expired": forged(claims(exp=now - 120)),
        "no end": forged({key: value for key, value in claims().items() if key != "exp"}),
        "end as a text": forged(claims(exp="tomorrow")),
        "not yet": forged(claims(nbf=now + 600)),
        "two tokens": ".".join([forged(claims()), forged(claims())]),
        "key by URL": forged(claims(), {"alg": "HS256", "jku": "http://127.0.0.1:1/keys", "kid": "../../dev/null"}, secret=""),
        "deep claims": forged(claims(video=json.loads("[" * 100 + "]" * 100))),
        "huge": forged(claims(name="n" * 70_000)),
    }
    with watched.attack("forged_tokens", cpu_seconds=2, memory_mib=16):
        for what, jwt in cases.items():
            status, body = await validate(server, jwt)
            assert status == 401, (what, status, body)
            assert 10 < len(body) < 200 and "token" in body, (what, body)
            assert not any(part and part in body for part in jwt.split(".")), what


async def test_names_in_any_script_are_names(server):
    for name in ("ада", "愛", "👩‍🚀", "Zoë", "ad\u0301a", "a\u202eb", "a b", "'; DROP TABLE", "{tag}", "a\nb"):
        status, body = await validate(server, forged(claims(sub=name, video={"roomJoin": True, "room": name})))
        assert status == 200, (name, body)


async def test_permissions_come_from_the_token_alone(server, room):
    """Neither metadata nor attributes nor a request of one's own changes what one may do."""
    stranger = await Stranger.join(server, room, can_publish=False, can_publish_data=False, metadata='{"video":{"roomAdmin":true}}')
    request = proto.UpdateParticipantMetadata(metadata='{"permission":{"canPublish":true}}', name="admin", attributes={"lk.agent": "1"}, request_id=7)
    await stranger.say(update_metadata=request)
    refused = await stranger.until("request_response")
    assert refused.request_id == 7 and refused.reason == proto.RequestResponse.Reason.NOT_ALLOWED
    await stranger.say(add_track=proto.AddTrackRequest(cid="x", name="x"))
    refused = await stranger.until("request_response")
    assert refused.reason == proto.RequestResponse.Reason.NOT_ALLOWED
    jwt = token(room, "stranger")
    SHOWN.append(jwt)
    async with aiohttp.ClientSession() as session:
        # A participant's token opens nothing of the server API.
        for method in ("RemoveParticipant", "UpdateParticipant", "MutePublishedTrack", "DeleteRoom", "ListRooms", "SendData"):
            url, headers = f"{server.http}/twirp/livekit.RoomService/{method}", {"Authorization": f"Bearer {jwt}"}
            async with session.post(url, json={"room": room, "identity": "stranger"}, headers=headers) as answer:
                assert answer.status in (401, 403), method
                assert jwt not in await answer.text()
    await stranger.close()


async def test_tokens_and_secrets_are_in_no_log(server, room):
    stranger = await Stranger.join(server, room)
    refreshed = await stranger.until("refresh_token")
    await stranger.close()
    jwt = token(room, "in-the-query")
    async with aiohttp.ClientSession() as session:
        for path in ("/rtc/validate", "/rtc", "/rtc/v1", "/nowhere"):
            async with session.get(f"{server.http}{path}?access_token={jwt}") as answer:
                await answer.read()
    log = server.process.log.read_text(errors="replace")
    assert SECRET not in log and base64.b64encode(SECRET.encode()).decode() not in log
    for one in (refreshed, jwt, *SHOWN):
        signature = one.rpartition(".")[2]
        assert one not in log and (len(signature) < 20 or signature not in log)


async def test_nobody_takes_up_the_session_of_another(server, room):
    """Who knows the sid of a session has not got it: it belongs to an identity in a room, which the token names."""
    ada = await Stranger.join(server, room, "ada")
    others = {"another identity": token(room, "mallory"), "the same name in another room": token(f"{room}-other", "ada")}
    for what, jwt in others.items():
        SHOWN.append(jwt)
        async with aiohttp.ClientSession() as session:
            headers = {"Authorization": f"Bearer {jwt}"}
            async with session.ws_connect(f"{server.http}/rtc?protocol=16&reconnect=1&sid={ada.sid}", headers=headers) as socket:
                stranger = Stranger(session, socket)
                first = await stranger.next()
                # As clients that come too late: they are told to begin anew.
                assert first.WhichOneof("message") == "leave", (what, first)
                assert await stranger.ended()
        assert await ada.is_served(), what
    # A full join under the same name elsewhere is somebody else.
    other = await Stranger.join(server, f"{room}-other", "ada")
    assert other.sid != ada.sid and await ada.is_served()
    await other.close()
    await ada.close()


@pytest.mark.parametrize("cookie", ["access_token={}", "Authorization=Bearer {}"])
async def test_a_token_counts_only_where_it_belongs(server, room, cookie):
    """A page of another site can't make a browser use a token."""
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{server.http}/rtc/validate", headers={"Cookie": cookie.format(token(room, "ada"))}) as answer:
            assert answer.status == 401
