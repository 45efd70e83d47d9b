"""Workers of agents: PyPI livekit-agents, unmodified, and one without an SDK."""

import asyncio
import re

import aiohttp
from livekit import api, rtc
from livekit.protocol import agent

from . import install
from .paths import ROOT
from .people import PATIENCE, Person, until
from .process import Process, wait_for
from .server import KEY, SECRET

AGENT = ROOT / "tests/clients/agent.py"


class Worker:
    """A worker, its process and those of its jobs."""

    # It starts processes that load the whole of livekit-agents; on a slow machine each takes many seconds.
    PATIENCE = 120.0

    def __init__(self, url: str, name: str = "", *, kind: str = "ROOM", load: float = 0.0, hertz: int = 1000):
        python = str(install.venv("agents") / "bin/python")
        self.process = Process(
            f"worker-{name or 'nameless'}", [python, str(AGENT), "start"], LIVEKIT_URL=url, LIVEKIT_API_KEY=KEY, LIVEKIT_API_SECRET=SECRET,
            AGENT_NAME=name, AGENT_TYPE=kind, AGENT_LOAD=str(load), AGENT_HERTZ=str(hertz),
        )

    @property
    def log(self) -> str:
        return self.process.log.read_text(errors="replace")

    def registered(self) -> "Worker":
        wait_for(lambda: "registered worker" in self.log or not self.process.running(), self.PATIENCE, "the worker to register")
        assert self.process.running(), self.process.tail()
        return self

    @property
    def id(self) -> str:
        return re.findall(r"AW_\w+", self.log)[-1]

    def jobs(self) -> list[str]:
        """Ids of the jobs that it was asked to do."""
        return list(dict.fromkeys(re.findall(r"received job request.*?(AJ_\w+)", self.log)))

    def end(self) -> None:
        # SIGTERM would let it drain: its agents would stay until their rooms end.
        self.process.kill()


def agents_in(person: Person) -> list[rtc.RemoteParticipant]:
    return [p for p in person.room.remote_participants.values() if p.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT]


async def agent_of(person: Person, but: set[str] = frozenset()) -> rtc.RemoteParticipant:
    found = await until(lambda: [p for p in agents_in(person) if p.identity not in but], f"an agent in the room of {person.identity}", Worker.PATIENCE)
    return found[0]


async def hears_tone(person: Person, agent: str, hertz: int) -> None:
    await until(lambda: abs(person.tone.get(agent, 0) - hertz) < 15, f"{person.identity} to hear {hertz} Hz of {agent}", Worker.PATIENCE)


class RawWorker:
    """A worker in the words of the protocol, which says what no SDK says."""

    def __init__(self, session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse):
        self.session, self.socket = session, socket
        self.heard: asyncio.Queue[aiohttp.WSMessage] = asyncio.Queue()
        # The server's pings are answered whether or not a test waits for something.
        self.reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        while not self.socket.closed:
            await self.heard.put(await self.socket.receive())

    @classmethod
    async def connect(cls, server, **grants) -> "RawWorker":
        jwt = api.AccessToken(KEY, SECRET).with_grants(api.VideoGrants(**({"agent": True} | grants))).to_jwt()
        session = aiohttp.ClientSession(headers={"Authorization": f"Bearer {jwt}"})
        try:
            return cls(session, await session.ws_connect(f"{server.http}/agent?protocol=1"))
        except BaseException:
            await session.close()
            raise

    async def __aenter__(self) -> "RawWorker":
        return self

    async def __aexit__(self, *_) -> None:
        self.reading.cancel()
        await self.session.close()

    async def says(self, **message) -> None:
        await self.socket.send_bytes(agent.WorkerMessage(**message).SerializeToString())

    async def next(self, seconds: float = PATIENCE) -> aiohttp.WSMessage:
        return await asyncio.wait_for(self.heard.get(), seconds)

    async def end(self, seconds: float = PATIENCE) -> str:
        """Why the server closes the socket."""
        while True:
            message = await self.next(seconds)
            if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.ERROR):
                return message.extra or ""

    def cut(self) -> None:
        """Its connection is gone without a word."""
        self.socket._writer.transport.abort()

    async def hears(self, kind: str, seconds: float = PATIENCE):
        """The next message, which is of this kind."""
        message = await self.next(seconds)
        assert message.type is aiohttp.WSMsgType.BINARY, message
        heard = agent.ServerMessage.FromString(message.data)
        assert heard.WhichOneof("message") == kind, heard
        return getattr(heard, kind)

    async def register(self, **what) -> str:
        await self.says(register=agent.RegisterWorkerRequest(**what))
        return (await self.hears("register")).worker_id

    async def takes(self, seconds: float = PATIENCE, **participant) -> agent.JobAssignment:
        """Says yes to the next job."""
        job = (await self.hears("availability", seconds)).job
        await self.says(availability=agent.AvailabilityResponse(job_id=job.id, available=True, **participant))
        return await self.hears("assignment")
