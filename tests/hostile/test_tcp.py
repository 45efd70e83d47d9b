"""The media TCP port (RFC 4571 frames): strangers that connect, and clients that break its frames."""

import asyncio
import contextlib
import os
import socket
import struct
import time

from rig.people import until
from strangers import Stranger, check, client_hello

# A connection whose first frame does not come is closed after so long, and a little.
FIRST_FRAME, LATE = 5, 9


def connect(server) -> socket.socket:
    out = socket.create_connection(("127.0.0.1", server.tcp_port))
    out.settimeout(LATE)
    out.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return out


def frame(packet: bytes) -> bytes:
    return struct.pack("!H", len(packet)) + packet


def ended(out: socket.socket) -> bool:
    """Reads until the server has closed."""
    with contextlib.suppress(ConnectionError):
        while out.recv(4096):
            pass
    return True


def is_closed(out: socket.socket) -> bool:
    """Whether the server has closed by now."""
    out.setblocking(False)
    try:
        return out.recv(4096) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def connections(watched, outcome: str) -> float:
    return watched.counted(f'plenum_media_tcp_connections_total{{outcome="{outcome}"}}')


async def known(server, room: str) -> tuple[Stranger, bytes]:
    """A signed in client, and a check that its password signs."""
    stranger = await Stranger.join(server, room)
    while not stranger.ufrag:
        assert await stranger.next() is not None
    return stranger, check(stranger.ufrag, stranger.pwd)


def answered(out: socket.socket, request: bytes) -> bool:
    out.sendall(frame(request))
    return out.recv(4096)[2:4] == b"\x01\x01"


async def test_floods_of_connections_displace_the_oldest_silent_ones_alone(server, watched, room):
    stranger, request = await known(server, room)
    with watched.attack("tcp_connections", cpu_seconds=4, memory_mib=48), contextlib.ExitStack() as stack:
        established = stack.enter_context(connect(server))
        assert answered(established, request)
        before = connections(watched, "displaced")
        # As many as a process may have by default, and some more than may wait.
        count = 900
        for number in range(count):
            stack.enter_context(connect(server))
            if number % 20 == 0:
                await asyncio.sleep(0.01)
        # Who comes in the middle of it is let in.
        late = stack.enter_context(connect(server))
        assert answered(late, check(stranger.ufrag, stranger.pwd))
        assert answered(established, check(stranger.ufrag, stranger.pwd))
        await until(lambda: connections(watched, "displaced") - before >= count - 520, "older connections to make room")
    await stranger.close()


async def test_connections_that_do_not_say_who_they_are_for_are_closed_in_time(server, watched):
    """Half a length, half a frame, empty frames, a byte a second, and nothing."""
    begun = [b"", b"\0", b"\0\x64", b"\0\x64" + b"x" * 50, frame(b"") * 1_000]
    with watched.attack("tcp_silence", cpu_seconds=3, memory_mib=32):
        before = connections(watched, "timed_out")
        began = time.monotonic()
        waiting = [connect(server) for _ in range(20) for _ in begun]
        for number, out in enumerate(waiting):
            out.sendall(begun[number % len(begun)])
        slow = [connect(server) for _ in range(20)]
        left = set(waiting + slow)
        whole = frame(check("unknown", None))
        sent = 0
        while left and time.monotonic() - began < LATE:
            for out in slow:
                with contextlib.suppress(OSError):
                    out.send(whole[sent : sent + 1])
            sent += 1
            await asyncio.sleep(0.5)
            left = {out for out in left if not is_closed(out)}
        took = time.monotonic() - began
        assert not left, f"{len(left)} connections are still open after {took:.1f} s"
        assert took >= FIRST_FRAME - 1, "nobody was cut before its time"
        await until(lambda: connections(watched, "timed_out") - before >= 115, "all of them to be counted")
        for out in waiting + slow:
            out.close()


async def test_garbage_before_the_first_check_ends_the_connection(server, watched, room):
    stranger, request = await known(server, room)
    signed_wrong = check(stranger.ufrag, None)
    garbage = [
        b"\xff" * 64, b"\x10\x01" + bytes(4097), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" + b"x" * 20_000, frame(os.urandom(300)), frame(client_hello()),
        frame(b"\x80" + bytes(40)), frame(check("0000" + "x" * 12, None)), frame(check("ffff" + "x" * 12, None)), frame(request[:19]),
        frame(client_hello()) + frame(request), frame(b"x") + frame(request), frame(signed_wrong) + frame(request),
    ]
    with watched.attack("tcp_garbage", cpu_seconds=4, memory_mib=32):
        before = connections(watched, "refused")
        for number in range(600):
            with connect(server) as out:
                with contextlib.suppress(ConnectionError):
                    out.sendall(garbage[number % len(garbage)])
                assert ended(out)
            if number % 20 == 0:
                await asyncio.sleep(0)
        # All but what named somebody, whom a Shard did not believe.
        await until(lambda: connections(watched, "refused") - before >= 600 * 10 / 12, "them to be counted")
        assert await stranger.is_served()
    await stranger.close()


async def test_a_client_that_breaks_its_frames_breaks_its_own_connection(server, watched, room):
    stranger, request = await known(server, room)
    noise = [frame(os.urandom(length)) for length in (1, 11, 12, 200, 1_200, 4_096)]
    with watched.attack("tcp_frames", cpu_seconds=6, memory_mib=32):
        # Noise and empty frames as fast as they are taken: this much, then the client is still there.
        with connect(server) as out:
            assert answered(out, request)
            for _ in range(200):
                out.sendall(frame(b"") * 2_000)
                out.sendall(b"".join(noise))
                await asyncio.sleep(0.005)
            assert answered(out, check(stranger.ufrag, stranger.pwd))
        # A frame longer than any, and one that never ends.
        for bad in (b"\x10\x01", b"\xff\xff" + bytes(100_000)):
            with connect(server) as out:
                assert answered(out, check(stranger.ufrag, stranger.pwd))
                with contextlib.suppress(ConnectionError):
                    out.sendall(bad)
                assert ended(out)
        # One that asks and never reads: what waits for it is bounded.
        with connect(server) as out:
            out.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            asked = frame(check(stranger.ufrag, stranger.pwd))
            out.settimeout(0.5)
            with contextlib.suppress(TimeoutError, ConnectionError):
                for number in range(20_000):
                    out.sendall(asked)
                    if number % 100 == 0:
                        await asyncio.sleep(0.005)
        assert await stranger.is_served()
    await stranger.close()
