"""Participants of a call, played by the unmodified PyPI client: they publish a known picture and tone, and note when they
decode what of whom."""

import asyncio
import time
from collections import defaultdict

import numpy as np
from livekit import rtc

from .tokens import token

WIDTH, HEIGHT, FRAMES_PER_SECOND = 320, 180, 15
SAMPLE_RATE, TONE_HZ = 48_000, 440
# Long enough for a slow machine; a test that waits so long has failed.
PATIENCE = 20.0


async def until(condition, what: str, seconds: float = PATIENCE):
    """Waits until `condition()` is true and returns it."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}")
        await asyncio.sleep(0.01)
    return value


class Person:
    """One participant. `seen[identity]` are the times at which video frames of that identity were decoded, `heard[identity]`
    those of sound that was not silence. `subscribed` are the publishers of the tracks that came, again after a full reconnect."""

    def __init__(self, identity: str):
        self.identity = identity
        self.room = rtc.Room()
        self.seen: dict[str, list[float]] = defaultdict(list)
        self.heard: dict[str, list[float]] = defaultdict(list)
        self.luma: dict[str, float] = {}
        self.size: dict[str, tuple[int, int]] = {}
        self.tone: dict[str, float] = {}
        self.data: list[rtc.DataPacket] = []
        self.events: list[tuple[str, tuple]] = []
        self.subscribed: list[str] = []
        self.tasks: set[asyncio.Task] = set()
        self.room.on("track_subscribed", self._subscribed)
        self.room.on("data_received", self.data.append)
        for event in (
            "participant_connected", "participant_disconnected", "track_muted", "track_unmuted", "track_unpublished", "disconnected",
            "reconnecting", "reconnected", "active_speakers_changed", "room_metadata_changed", "participant_attributes_changed",
            "participant_metadata_changed", "participant_name_changed", "track_subscription_failed", "local_track_subscribed",
            "participant_permissions_changed", "connection_quality_changed",
        ):
            self.room.on(event, lambda *what, event=event: self.events.append((event, what)))

    def happened(self, event: str) -> list[tuple]:
        """Arguments of all events of this name."""
        return [what for name, what in self.events if name == event]

    async def join(self, url: str, room: str, *, jwt: str | None = None, options: rtc.RoomOptions | None = None, **grants) -> "Person":
        await self.room.connect(url, token(room, self.identity, **grants) if jwt is None else jwt, options or rtc.RoomOptions())
        return self

    def _spawn(self, work) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _subscribed(self, track, publication, participant) -> None:
        self.subscribed.append(participant.identity)
        if track.kind == rtc.TrackKind.KIND_VIDEO:
            self._spawn(self._watch(track, participant.identity))
        else:
            self._spawn(self._listen(track, participant.identity))

    async def _watch(self, track, identity: str) -> None:
        stream = rtc.VideoStream(track, format=rtc.VideoBufferType.I420)
        async for event in stream:
            frame = event.frame
            self.seen[identity].append(time.monotonic())
            self.size[identity] = (frame.width, frame.height)
            self.luma[identity] = float(np.frombuffer(frame.data, dtype=np.uint8, count=frame.width * frame.height)[::97].mean())
        await stream.aclose()

    async def _listen(self, track, identity: str) -> None:
        stream = rtc.AudioStream(track, sample_rate=SAMPLE_RATE, num_channels=1)
        window = np.zeros(0, dtype=np.int16)
        async for event in stream:
            samples = np.frombuffer(event.frame.data, dtype=np.int16)
            if np.abs(samples).max(initial=0) > 500:
                self.heard[identity].append(time.monotonic())
            window = np.concatenate([window, samples])
            if len(window) >= SAMPLE_RATE // 2:
                spectrum = np.abs(np.fft.rfft(window.astype(np.float64)))
                self.tone[identity] = float(np.fft.rfftfreq(len(window), 1 / SAMPLE_RATE)[spectrum.argmax()])
                window = np.zeros(0, dtype=np.int16)
        await stream.aclose()

    async def show(self, luma: int = 160, *, width: int = WIDTH, height: int = HEIGHT, fps: int = FRAMES_PER_SECOND, simulcast: bool = False):
        """Publishes a picture of one brightness with a moving bar, so that encoders have something to do."""
        source = rtc.VideoSource(width, height)
        track = rtc.LocalVideoTrack.create_video_track("camera", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_CAMERA, simulcast=simulcast, video_codec=rtc.VideoCodec.VP8)
        publication = await self.room.local_participant.publish_track(track, options)
        self._spawn(self._paint(source, luma, width, height, fps))
        return publication

    async def _paint(self, source, luma: int, width: int, height: int, fps: int) -> None:
        picture = np.full((height, width, 4), luma, dtype=np.uint8)
        start, n = time.monotonic(), 0
        while True:
            frame = picture.copy()
            bar = (n * 8) % (width - 8)
            frame[:, bar : bar + 8] = 255 - luma
            source.capture_frame(rtc.VideoFrame(width, height, rtc.VideoBufferType.RGBA, frame.tobytes()))
            n += 1
            await asyncio.sleep(max(0.0, start + n / fps - time.monotonic()))

    async def speak(self, hertz: int = TONE_HZ):
        """Publishes a tone."""
        source = rtc.AudioSource(SAMPLE_RATE, 1, queue_size_ms=200)
        track = rtc.LocalAudioTrack.create_audio_track("microphone", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE, dtx=False, red=False)
        publication = await self.room.local_participant.publish_track(track, options)
        self._spawn(self._sing(source, hertz))
        return publication

    async def _sing(self, source, hertz: int) -> None:
        step, n = SAMPLE_RATE // 50, 0
        while True:
            t = (np.arange(step) + n * step) / SAMPLE_RATE
            samples = (12_000 * np.sin(2 * np.pi * hertz * t)).astype(np.int16)
            await source.capture_frame(rtc.AudioFrame(samples.tobytes(), SAMPLE_RATE, 1, step))
            n += 1

    async def sees(self, identity: str, frames: int = 5, since: float | None = None) -> None:
        """Waits until that many frames of somebody were decoded (after `since`)."""
        since = time.monotonic() if since is None else since
        await until(lambda: sum(t > since for t in self.seen[identity]) >= frames, f"{self.identity} to decode {frames} frames of {identity}")

    async def hears(self, identity: str, frames: int = 20, since: float | None = None) -> None:
        """Waits until that many frames of sound of somebody were decoded (after `since`)."""
        since = time.monotonic() if since is None else since
        await until(lambda: sum(t > since for t in self.heard[identity]) >= frames, f"{self.identity} to hear {identity}")

    async def leave(self) -> None:
        for task in list(self.tasks):
            task.cancel()
        await self.room.disconnect()


async def leave_all(*people: Person) -> None:
    await asyncio.gather(*(person.leave() for person in people), return_exceptions=True)
