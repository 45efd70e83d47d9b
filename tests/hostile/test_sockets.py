"""WebSockets and HTTP (resilience.md, attacker's list 3)."""

import asyncio
import gzip
import socket
import time

import aiohttp
from livekit.protocol import models, rtc as proto

from rig.tokens import token
from strangers import Stranger, unpadded

MIB = 1024 * 1024


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


async def get(server, path: str, **options) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"{server.http}{path}", **options) as answer:
        return answer.status, await answer.text()


async def post(server, path: str, body, **headers) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.post(f"{server.http}{path}", data=body, headers=headers) as answer:
        return answer.status, await answer.text()


async def test_messages_that_are_too_long_close_their_own_connection(server, watched, room):
    with watched.attack("long_messages", cpu_seconds=4, memory_mib=64):
        for number in range(10):
            stranger = await Stranger.join(server, room, f"stranger-{number}")
            await stranger.socket.send_bytes(bytes(2 * MIB + 1))
            assert await stranger.ended()
            await stranger.close()


async def test_fragments_without_end_close_their_own_connection(server, watched, room):
    with watched.attack("fragments", cpu_seconds=4, memory_mib=64):
        for number in range(5):
            stranger = await Stranger.join(server, room, f"stranger-{number}")
            transport = stranger.socket._writer.transport
            for count in range(40):
                # Masked with zeros: 100 KiB that are never the last ones.
                transport.write(bytes([0x02 if count == 0 else 0x00, 0x80 | 127]) + (100 * 1024).to_bytes(8) + bytes(4) + bytes(100 * 1024))
                await asyncio.sleep(0.005)
            assert await stranger.ended()
            await stranger.close()


async def test_frames_that_swell_when_decoded_close_their_own_connection(server, watched, room):
    """2 MiB of empty messages in a list would be hundreds of MiB; so would lists in lists, and JSON."""
    track = b"\x12\x00" * (900 * 1024)
    sync = b"\x8a\x01" + varint(len(track)) + track
    deep = "[" * 200_000
    wide = '{"syncState":{"publishTracks":[' + "{}," * 600_000 + "{}]}}"
    nested = '{"a":' * 100_000
    with watched.attack("swelling_frames", cpu_seconds=6, memory_mib=96):
        for number, bad in enumerate((sync, deep, wide, nested)):
            stranger = await Stranger.join(server, room, f"stranger-{number}")
            await (stranger.socket.send_bytes(bad) if isinstance(bad, bytes) else stranger.socket.send_str(bad))
            assert await stranger.ended()
            await stranger.close()


async def test_floods_of_pings_and_candidates_wait_for_their_turn(server, watched, room):
    stranger = await Stranger.join(server, room)
    reading = asyncio.ensure_future(stranger.ended(60))
    with watched.attack("pings_and_trickle", cpu_seconds=12, memory_mib=32):
        end = time.monotonic() + 4
        candidate = '{"candidate":"candidate:1 1 udp 1 192.0.2.1 1 typ host","sdpMid":"0","sdpMLineIndex":0}'
        while time.monotonic() < end and not reading.done():
            for _ in range(50):
                await stranger.socket.ping(b"x" * 100)
                await stranger.say(ping_req=proto.Ping(timestamp=1))
                await stranger.say(trickle=proto.TrickleRequest(candidateInit=candidate, target=proto.SignalTarget.PUBLISHER))
            await asyncio.sleep(0)
    reading.cancel()
    await stranger.close()


async def test_descriptions_without_end_make_only_their_sender_start_over(server, watched, room):
    head = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
    section = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:{}\r\na=rtpmap:111 opus/48000/2\r\n"
    many = head + "".join(section.format(number) for number in range(20_000))
    long = head + "a=" + "x" * (2 * MIB - 4096) + "\r\n"
    with watched.attack("descriptions", cpu_seconds=6, memory_mib=96):
        for number, sdp in enumerate((many, long, "", "v=0", head + section.format(0) * 600)):
            stranger = await Stranger.join(server, room, f"stranger-{number}")
            await stranger.say(offer=proto.SessionDescription(type="offer", sdp=sdp))
            leave = await stranger.until("leave")
            assert leave is not None and leave.action == proto.LeaveRequest.Action.RECONNECT
            await stranger.close()


async def test_tracks_without_end_are_refused_with_the_reason(server, watched, room):
    stranger = await Stranger.join(server, room)
    with watched.attack("many_tracks", cpu_seconds=4, memory_mib=32):
        for number in range(2_000):
            request = proto.AddTrackRequest(cid=f"track-{number}", name="n", type=models.TrackType.AUDIO, source=models.TrackSource.MICROPHONE)
            await stranger.say(add_track=request)
        refused = await stranger.until("request_response")
        assert refused is not None and refused.reason == proto.RequestResponse.Reason.LIMIT_EXCEEDED
        assert any(character.isdigit() for character in refused.message), refused.message
        assert await stranger.is_served()
    await stranger.close()


async def test_a_client_that_never_reads_is_cut_and_costs_a_bounded_queue(server, watched, room):
    loud = await Stranger.join(server, room, "loud", can_update_own_metadata=True)
    raw = socket.create_connection(("127.0.0.1", server.port))
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    jwt = token(room, "deaf")
    raw.sendall(
        f"GET /rtc?access_token={jwt}&protocol=16 HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    with watched.attack("never_reads", cpu_seconds=6, memory_mib=48):
        for number in range(300):
            await loud.say(update_metadata=proto.UpdateParticipantMetadata(metadata=f"{number}" + "m" * 40_000, name="loud"))
            # It reads what it is told itself: who does not is cut.
            await loud.until("update")
        assert await loud.is_served()
    raw.close()
    await loud.close()


async def test_slow_heads_are_given_up_and_hold_up_nobody(server, watched):
    """Slowloris: heads that come a byte a second."""
    with watched.attack("slowloris", cpu_seconds=3, memory_mib=64):
        slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(300)]
        for one in slow:
            one.setblocking(False)
            one.send(b"GET /rtc HTTP/1.1\r\nHost: a\r\nX-Slow: ")
        began, open_ = time.monotonic(), list(slow)
        while open_ and time.monotonic() - began < 20:
            assert (await get(server, "/health/live"))[0] == 200
            await asyncio.sleep(1)
            for one in list(open_):
                try:
                    if one.recv(4096) == b"":
                        open_.remove(one)
                        continue
                    one.send(b"x")
                except BlockingIOError:
                    pass
                except OSError:
                    open_.remove(one)
        assert not open_, f"{len(open_)} connections are still open after {time.monotonic() - began:.0f} s"
        for one in slow:
            one.close()


async def test_urls_and_join_requests_have_limits_that_are_named(server, watched, room):
    jwt = token(room, "ada")
    with watched.attack("urls", cpu_seconds=4, memory_mib=32):
        status, _ = await get(server, f"/rtc/validate?access_token={jwt}&padding={'x' * 70_000}")
        assert 400 <= status < 500
        # Gzip in gzip would be the next idea; one layer makes a mebibyte of a kilobyte.
        bomb = gzip.compress(bytes(40 * MIB))
        assert len(bomb) < 45_000
        wrapped = b"\x08\x01\x12" + varint(len(bomb)) + bomb
        for _ in range(20):
            status, body = await get(server, f"/rtc/v1/validate?access_token={jwt}&join_request={unpadded(wrapped)}")
            assert status == 400 and "1048576 bytes" in body, body
        # Lists of empty messages.
        parts = gzip.compress(b"\x2a\x00" * (500 * 1024))
        wrapped = b"\x08\x01\x12" + varint(len(parts)) + parts
        status, body = await get(server, f"/rtc/v1/validate?access_token={jwt}&join_request={unpadded(wrapped)}")
        assert status == 400 and "20000 parts" in body, body


async def test_bodies_are_capped_on_every_route(server, watched):
    async def endless():
        for _ in range(200):
            yield bytes(100 * 1024)

    jwt = token("any", "back end", room_list=True, room_create=True)
    headers = {"Authorization": f"Bearer {jwt}", "Content-Type": "application/json"}
    with watched.attack("bodies", cpu_seconds=6, memory_mib=64):
        for path in ("/twirp/livekit.RoomService/CreateRoom", "/twirp/livekit.RoomService/ListRooms", "/twirp/nothing/AtAll"):
            status, body = await post(server, path, bytes(3 * MIB), **headers)
            # Twirp's resource_exhausted.
            assert status == 429 and "2097152 bytes" in body, (path, status, body)
            try:
                status, _ = await post(server, path, endless(), **headers)
                assert status == 429, (path, status)
            except aiohttp.ClientError:
                pass  # it closed while this was still writing
        for path in ("/", "/rtc", "/rtc/validate", "/health", "/nowhere"):
            try:
                status, _ = await post(server, path, endless(), **headers)
                assert 400 <= status < 500, (path, status)
            except aiohttp.ClientError:
                pass
    assert (await get(server, "/health/live"))[0] == 200
