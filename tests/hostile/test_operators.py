"""The port for operators, and the sockets of agents' workers: what those who should not get there get."""

import asyncio
import contextlib
import socket
import time

import aiohttp
import pytest
from livekit.protocol import agent

from rig.people import until
from rig.process import http_status
from rig.server import KEY
from rig.tokens import token

MIB = 1024 * 1024
# What only operators are told.
SECRETS = ("plenum_shard", "plenum_http", "plenum_cluster", "\"shards\"", "\"rooms\"")


def ask(port: int, head: str, body: bytes = b"", seconds: float = 10) -> bytes:
    """One request of which every byte is chosen; all that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as out:
        with contextlib.suppress(OSError):
            out.sendall(head.encode() + body)
        said = b""
        with contextlib.suppress(OSError):
            while part := out.recv(65_536):
                said += part
        return said


async def test_the_public_port_has_no_way_to_what_operators_see(server, watched):
    paths = [
        "/metrics", "//metrics", "/metrics/", "/./metrics", "/x/../metrics", "/%6detrics", "/metrics%00", "/metrics;x", "/METRICS", "/rtc/../metrics", "/twirp/../metrics",
        "/health", "/health/", "/health/info", "/health/live/../../metrics", "/health/../health", "/debug/rooms", "/debug/rooms/x", "//debug//rooms", "/rooms", "/%2e%2e/metrics",
    ]
    headers = ["", "X-Forwarded-For: 127.0.0.1\r\n", "X-Original-URL: /metrics\r\nX-Rewrite-URL: /metrics\r\n", f"X-Forwarded-Host: 127.0.0.1:{server.admin_port}\r\n"]
    with watched.attack("admin_by_public", cpu_seconds=3, memory_mib=16):
        for path in [*paths, f"http://127.0.0.1:{server.admin_port}/metrics"]:
            for more in headers:
                for host in ("localhost", f"127.0.0.1:{server.admin_port}"):
                    said = ask(server.port, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n").decode(errors="replace")
                    assert said.startswith("HTTP/1.1 ") and not any(secret in said for secret in SECRETS), (path, more, said[:300])
        said = ask(server.port, f"CONNECT 127.0.0.1:{server.admin_port} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert said.split(b" ")[1].startswith(b"4"), said[:200]
    # It says all of it to those whom it is for, on loopback alone.
    assert b"plenum_shard" in ask(server.admin_port, "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", server.admin_port), timeout=2)


async def test_the_admin_port_takes_little_and_waits_for_nobody(server, watched):
    jwt = token("any", "ops", room_list=True)
    with watched.attack("admin_requests", cpu_seconds=4, memory_mib=48):
        for path in ("/metrics", "/health", "/debug/rooms", "/debug/rooms/bystanders", "/nowhere"):
            head = f"POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {jwt}\r\nContent-Length: {100 * MIB}\r\n\r\n"
            said = ask(server.admin_port, head, bytes(8 * MIB))
            assert not said or said.split(b" ")[1].startswith(b"4"), (path, said[:100])
        for long in (f"/metrics?{'x' * 70_000}", f"/debug/rooms/{'%41' * 30_000}"):
            said = ask(server.admin_port, f"GET {long} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert not said or said.split(b" ")[1].startswith(b"4"), said[:100]
        said = ask(server.admin_port, "GET /metrics HTTP/1.1\r\nHost: a\r\n" + "".join(f"X-{n}: {'y' * 100}\r\n" for n in range(5_000)) + "\r\n")
        assert not said or said.split(b" ")[1].startswith(b"4"), said[:100]
        # More silent connections than it serves: they are given up, and who asks is answered.
        silent = [socket.create_connection(("127.0.0.1", server.admin_port)) for _ in range(300)]
        began = time.monotonic()
        await until(lambda: http_status(f"http://127.0.0.1:{server.admin_port}/health/live", timeout=12) == 200, "the admin port to answer", 25)
        print(f"the admin port answered after {time.monotonic() - began:.1f} s", flush=True)
        for one in silent:
            one.close()


async def worker(server, session: aiohttp.ClientSession, jwt: str) -> aiohttp.ClientWebSocketResponse:
    return await session.ws_connect(f"{server.http}/agent", headers={"Authorization": f"Bearer {jwt}"}, max_msg_size=0)


async def closed(ws: aiohttp.ClientWebSocketResponse, seconds: float = 15) -> str:
    """Reads until the server has closed; why it did."""
    while True:
        frame = await ws.receive(timeout=seconds)
        if frame.type is aiohttp.WSMsgType.CLOSE:
            return frame.extra or ""
        if frame.type in (aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
            return ""


def registration() -> bytes:
    return agent.WorkerMessage(register=agent.RegisterWorkerRequest(type=agent.JobType.JT_ROOM, agent_name="hostile", version="1")).SerializeToString()


async def test_workers_need_a_token_that_lets_them(server, watched, room):
    tokens = {
        "none": None, "nonsense": "a.b.c", "a participant's": token(room, "ada"), "an admin's": token(room, "ops", room_admin=True, room_list=True, room_create=True),
        "another key's": token(room, "worker", key=KEY, secret="another secret of more than 32 bytes, too", agent=True),
    }
    with watched.attack("worker_tokens", cpu_seconds=3, memory_mib=32):
        async with aiohttp.ClientSession() as session:
            for _ in range(20):
                for what, jwt in tokens.items():
                    headers = {"Authorization": f"Bearer {jwt}"} if jwt else {}
                    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                        await session.ws_connect(f"{server.http}/agent", headers=headers)
                    assert refused.value.status == 401, what


async def test_workers_that_keep_to_no_rule_lose_their_own_socket(server, watched, room):
    jwt = token(room, "worker", agent=True)
    with watched.attack("workers", cpu_seconds=6, memory_mib=48):
        async with aiohttp.ClientSession() as session:
            silent = [await worker(server, session, jwt) for _ in range(20)]
            began = time.monotonic()
            # Frames that are too long, before and after registering; what is no message; a message of who has not registered.
            bad = [
                (bytes(64 * 1024 + 1), "64 KiB"), ("x" * 200_000, "64 KiB"), (b"\xff" * 100, "WorkerMessage"), ("[" * 10_000, "WorkerMessage"), ("[" * 30_000, "20000 parts"),
                (agent.WorkerMessage(update_worker=agent.UpdateWorkerStatus(load=0.5)).SerializeToString(), "registers first"),
            ]
            for message, why in bad * 4:
                ws = await worker(server, session, jwt)
                await (ws.send_bytes(message) if isinstance(message, bytes) else ws.send_str(message))
                said = await closed(ws)
                assert why in said, (why, said)
            ws = await worker(server, session, jwt)
            await ws.send_bytes(registration())
            assert agent.ServerMessage.FromString((await ws.receive(timeout=5)).data).HasField("register")
            await ws.send_bytes(bytes(64 * 1024 + 1))
            assert "64 KiB" in await closed(ws)
            # A frame that never ends.
            ws = await worker(server, session, jwt)
            with contextlib.suppress(OSError, RuntimeError):
                for part in range(100):
                    ws._writer.transport.write(bytes([0x02 if part == 0 else 0x00, 0x80 | 126]) + (10 * 1024).to_bytes(2) + bytes(4) + bytes(10 * 1024))
                    await asyncio.sleep(0.002)
            await closed(ws)
            # A good one is served meanwhile.
            good = await worker(server, session, jwt)
            await good.send_bytes(registration())
            assert agent.ServerMessage.FromString((await good.receive(timeout=5)).data).HasField("register")
            # The silent ones are told what they have missed.
            for ws in silent:
                assert "no registration within 10 s" in await closed(ws)
            assert 8 < time.monotonic() - began < 20
            await good.send_bytes(agent.WorkerMessage(ping=agent.WorkerPing(timestamp=7)).SerializeToString())
            pong = agent.ServerMessage.FromString((await good.receive(timeout=5)).data)
            assert pong.pong.last_timestamp == 7
            await good.close()
