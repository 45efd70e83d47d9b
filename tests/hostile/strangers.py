"""Clients that keep to no rules: a signal connection of which every byte is chosen, and datagrams."""

import base64
import hashlib
import hmac
import os
import re
import socket
import struct
import zlib

import aiohttp
from livekit.protocol import rtc as proto

from rig.server import Server
from rig.tokens import token

COOKIE = 0x2112A442


class Stranger:
    """A raw signal connection on two peer connections, where the server offers: its credentials are in the offer."""

    def __init__(self, session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse):
        self.session, self.socket = session, socket
        self.ufrag = self.pwd = self.sid = ""

    @classmethod
    async def join(cls, server: Server, room: str, identity: str = "stranger", **grants) -> "Stranger":
        session = aiohttp.ClientSession()
        headers = {"Authorization": f"Bearer {token(room, identity, **grants)}"}
        stranger = cls(session, await session.ws_connect(f"{server.http}/rtc?protocol=16", headers=headers, max_msg_size=0, autoping=True))
        stranger.sid = (await stranger.until("join")).participant.sid
        return stranger

    async def say(self, **message) -> None:
        await self.socket.send_bytes(proto.SignalRequest(**message).SerializeToString())

    async def next(self, seconds: float = 15):
        """The next message; None when the connection is over."""
        while True:
            frame = await self.socket.receive(timeout=seconds)
            if frame.type is aiohttp.WSMsgType.BINARY:
                message = proto.SignalResponse.FromString(frame.data)
                if message.WhichOneof("message") == "offer":
                    sdp = message.offer.sdp
                    self.ufrag = re.search(r"a=ice-ufrag:(\S+)", sdp).group(1)
                    self.pwd = re.search(r"a=ice-pwd:(\S+)", sdp).group(1)
                return message
            if frame.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
                return None

    async def until(self, kind: str, seconds: float = 15):
        """The next message of a kind; None when the connection is over."""
        while (message := await self.next(seconds)) is not None:
            if message.WhichOneof("message") == kind:
                return getattr(message, kind)
        return None

    async def is_served(self) -> bool:
        await self.say(ping_req=proto.Ping(timestamp=7))
        pong = await self.until("pong_resp")
        return pong is not None and pong.last_ping_timestamp == 7

    async def ended(self, seconds: float = 15) -> bool:
        """Reads until the server has closed."""
        while await self.next(seconds) is not None:
            pass
        return True

    async def close(self) -> None:
        await self.socket.close()
        await self.session.close()


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("!HH", kind, len(value)) + value + b"\0" * (-len(value) % 4)


def check(ufrag: str, pwd: str | None, *, nominate: bool = False) -> bytes:
    """A connectivity check as a browser sends it; without a password it is signed with a guess."""
    head = struct.pack("!HHI", 1, 0, COOKIE) + os.urandom(12)
    body = attribute(0x0006, f"{ufrag}:them".encode()) + attribute(0x0024, struct.pack("!I", 0x6E0001FF)) + attribute(0x802A, os.urandom(8))
    if nominate:
        body += attribute(0x0025, b"")
    signed = head[:2] + struct.pack("!H", len(body) + 24) + head[4:] + body
    body += attribute(0x0008, hmac.new((pwd or "guessed-guessed-guessed").encode(), signed, hashlib.sha1).digest())
    whole = head[:2] + struct.pack("!H", len(body) + 8) + head[4:] + body
    return whole + attribute(0x8028, struct.pack("!I", zlib.crc32(whole) ^ 0x5354554E))


def client_hello() -> bytes:
    """First flight of DTLS 1.2: one suite, one curve, use_srtp."""
    extensions = b"".join(
        struct.pack("!HH", kind, len(value)) + value
        for kind, value in [
            (10, b"\0\2\0\x17"), (11, b"\1\0"), (13, b"\0\2\4\3"), (14, b"\0\4\0\7\0\x08\0"), (23, b""), (0xFF01, b"\0"),
        ]
    )
    body = b"\xfe\xfd" + os.urandom(32) + b"\0" + b"\0" + b"\0\2\xc0\x2b" + b"\1\0" + struct.pack("!H", len(extensions)) + extensions
    handshake = b"\1" + len(body).to_bytes(3) + b"\0\0" + b"\0\0\0" + len(body).to_bytes(3) + body
    return b"\x16\xfe\xfd" + b"\0" * 8 + struct.pack("!H", len(handshake)) + handshake


def udp(server: Server, source: str = "127.0.0.1") -> socket.socket:
    """A socket that sends to the server's first media port."""
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    out.bind((source, 0))
    out.connect(("127.0.0.1", server.media_port))
    out.settimeout(2)
    return out


def heard(out: socket.socket, seconds: float) -> bytes | None:
    """What comes within a while, if anything does."""
    out.settimeout(seconds)
    try:
        return out.recv(65_536)
    except OSError:
        return None


def unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
