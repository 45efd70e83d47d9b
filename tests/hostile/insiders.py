"""Signed in clients whose connections are plenum-attacker's: keys that count, packets that lie."""

import asyncio
import contextlib
import os
import re

from livekit.protocol import models, rtc as proto

from rig.people import until
from rig.server import Server
from strangers import Stranger

MID, RID, DEPENDENCY = 4, 10, 12
VP8, AV1, OPUS = 96, 45, 111
# SSRC of each section that names its source; the camera's are known by section and layer alone.
SCREEN_SSRC, MICROPHONE_SSRC = 50_001, 50_002


class Connection:
    """A plenum-attacker process: one peer connection."""

    def __init__(self, process: asyncio.subprocess.Process, fingerprint: str, ufrag: str, pwd: str):
        self.process, self.fingerprint, self.ufrag, self.pwd = process, fingerprint, ufrag, pwd
        self.connected = False

    @classmethod
    async def start(cls) -> "Connection":
        process = await asyncio.create_subprocess_exec(
            os.environ["PLENUM_ATTACKER"], stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        word, *rest = (await process.stdout.readline()).decode().split()
        assert word == "ready"
        return cls(process, *rest)

    async def _ask(self, line: str) -> list[str]:
        self.process.stdin.write(f"{line}\n".encode())
        await self.process.stdin.drain()
        async with asyncio.timeout(30):
            return (await self.process.stdout.readline()).decode().split()

    async def connect(self, description: str) -> None:
        """To the server that wrote a description."""
        if self.connected:
            return
        self.connected = True
        candidate = next(line for line in description.splitlines() if line.startswith("a=candidate:") and " udp " in line.lower())
        host, port = candidate.split()[4:6]
        said = [re.search(pattern, description).group(1) for pattern in (r"a=ice-ufrag:(\S+)", r"a=ice-pwd:(\S+)", r"a=fingerprint:sha-256 (\S+)")]
        answer = await self._ask(f"connect {host}:{port} {' '.join(said)}")
        assert answer == ["connected"], answer

    async def attack(self, name: str, **facts) -> int:
        """Runs one; how many packets it sent."""
        words = [f"{key}={','.join(map(str, value)) if isinstance(value, (list, tuple)) else value}" for key, value in facts.items()]
        answer = await self._ask(" ".join([name, *words]))
        assert len(answer) == 2 and answer[0] == "done", f"{name} ended with {answer}"
        return int(answer[1])

    async def end(self) -> None:
        self.process.stdin.close()
        await self.process.wait()


class Insider:
    """A stranger in a call, with a connection to publish on and one to receive on, as in dual peer connection mode."""

    def __init__(self, stranger: Stranger, publisher: Connection, subscriber: Connection):
        self.stranger, self.publisher, self.subscriber = stranger, publisher, subscriber
        # Streams that it receives, by the server's last offer.
        self.videos: list[int] = []
        self.published = asyncio.Event()
        self.failed: list[str] = []

    @classmethod
    @contextlib.asynccontextmanager
    async def join(cls, server: Server, room: str, identity: str = "insider"):
        stranger = await Stranger.join(server, room, identity)
        insider = cls(stranger, await Connection.start(), await Connection.start())
        listening = asyncio.ensure_future(insider._listen())
        try:
            await insider._publish()
            yield insider
        finally:
            listening.cancel()
            await stranger.close()
            await insider.publisher.end()
            await insider.subscriber.end()

    async def receives(self, count: int) -> list[int]:
        """SSRCs of the videos that it receives, once there are so many and the connection stands."""
        await until(lambda: len(self.videos) >= count and self.subscriber.connected, f"the insider to get {count} videos; {self.failed}")
        return self.videos

    async def _listen(self) -> None:
        try:
            while (message := await self.stranger.next(600)) is not None:
                match message.WhichOneof("message"):
                    case "offer":
                        await self._answer(message.offer)
                    case "answer":
                        await self.publisher.connect(message.answer.sdp)
                        self.published.set()
                    case "leave":
                        self.failed.append(f"told to leave: {message.leave}")
        except Exception as error:
            self.failed.append(repr(error))
            raise

    async def _publish(self) -> None:
        for cid, kind, source in (("camera", "VIDEO", "CAMERA"), ("screen", "VIDEO", "SCREEN_SHARE"), ("microphone", "AUDIO", "MICROPHONE")):
            request = proto.AddTrackRequest(cid=cid, name=cid, type=models.TrackType.Value(kind), source=models.TrackSource.Value(source), width=1280, height=720)
            if cid == "camera":
                for quality in range(3):
                    request.layers.add(quality=quality, width=320 << quality, height=180 << quality, bitrate=150_000 << (2 * quality))
            await self.stranger.say(add_track=request)
        await self.stranger.say(offer=proto.SessionDescription(type="offer", sdp=self._offer(), id=1))
        async with asyncio.timeout(20):
            await self.published.wait()

    def _offer(self) -> str:
        ice = [f"a=ice-ufrag:{self.publisher.ufrag}", f"a=ice-pwd:{self.publisher.pwd}", f"a=fingerprint:sha-256 {self.publisher.fingerprint}", "a=setup:actpass"]
        extensions = [f"a=extmap:{MID} urn:ietf:params:rtp-hdrext:sdes:mid", "a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"]
        video = [
            *extensions, f"a=extmap:{RID} urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", "a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
            f"a=extmap:{DEPENDENCY} https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
        ]

        def section(mid: int, media: str, lines: list[str], cid: str) -> list[str]:
            return [f"m={media}", "c=IN IP4 0.0.0.0", *ice, f"a=mid:{mid}", "a=sendonly", "a=rtcp-mux", f"a=msid:stream {cid}", *lines]

        feedback = [f"a=rtcp-fb:{VP8} {what}" for what in ("nack", "nack pli", "ccm fir", "transport-cc")]
        lines = [
            "v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0 1 2", "a=extmap-allow-mixed",
            *section(0, f"video 9 UDP/TLS/RTP/SAVPF {VP8} 97", [
                *video, f"a=rtpmap:{VP8} VP8/90000", *feedback, "a=rtpmap:97 rtx/90000", f"a=fmtp:97 apt={VP8}",
                "a=rid:q send", "a=rid:h send", "a=rid:f send", "a=simulcast:send q;h;f",
            ], "camera"),
            *section(1, f"video 9 UDP/TLS/RTP/SAVPF {AV1}", [*video, f"a=rtpmap:{AV1} AV1/90000", f"a=rtcp-fb:{AV1} nack pli", f"a=ssrc:{SCREEN_SSRC} cname:insider"], "screen"),
            *section(2, f"audio 9 UDP/TLS/RTP/SAVPF {OPUS}", [*extensions, f"a=rtpmap:{OPUS} opus/48000/2", f"a=ssrc:{MICROPHONE_SSRC} cname:insider"], "microphone"),
        ]
        return "\r\n".join(lines) + "\r\n"

    async def _answer(self, offer) -> None:
        head, *sections = re.split(r"(?=^m=)", offer.sdp, flags=re.M)
        own = f"a=ice-ufrag:{self.subscriber.ufrag}\r\na=ice-pwd:{self.subscriber.pwd}\r\na=fingerprint:sha-256 {self.subscriber.fingerprint}\r\na=setup:active\r\n"
        kept = ("m=", "c=", "a=mid:", "a=rtcp-mux", "a=rtpmap:", "a=fmtp:", "a=rtcp-fb:", "a=extmap:", "a=sctp-port:", "a=max-message-size:")
        answer = "".join(f"{line}\r\n" for line in head.splitlines() if line.startswith(("v=", "o=", "s=", "t=", "a=group:", "a=extmap-allow-mixed")))
        videos = []
        for section in sections:
            lines = section.splitlines()
            answer += "".join(f"{line}\r\n" for line in lines if line.startswith(kept)) + own
            if not section.startswith("m=application"):
                answer += "a=inactive\r\n" if "a=inactive" in lines else "a=recvonly\r\n"
            if section.startswith("m=video") and "a=inactive" not in lines:
                groups = re.findall(r"a=ssrc-group:FID (\d+) (\d+)", section)
                again = {second for _, second in groups}
                videos += [int(ssrc) for ssrc in dict.fromkeys(re.findall(r"a=ssrc:(\d+)", section)) if ssrc not in again]
        await self.stranger.say(answer=proto.SessionDescription(type="answer", sdp=answer, id=offer.id))
        await self.subscriber.connect(offer.sdp)
        self.videos = videos
