"""A worker of agents without an SDK."""

import asyncio

import aiohttp
from livekit import api
from livekit.protocol import agent

from .people import PATIENCE
from .server import KEY, SECRET


class RawWorker:
    """A worker in the words of the protocol, which says what no SDK says."""

    def __init__(self, session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse):
        self.session, self.socket = session, socket

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
        await self.session.close()

    async def says(self, **message) -> None:
        await self.socket.send_bytes(agent.WorkerMessage(**message).SerializeToString())

    async def hears(self, kind: str):
        """The next message, which is of this kind."""
        heard = agent.ServerMessage.FromString(await asyncio.wait_for(self.socket.receive_bytes(), PATIENCE))
        assert heard.WhichOneof("message") == kind, heard
        return getattr(heard, kind)

    async def register(self, **what) -> str:
        await self.says(register=agent.RegisterWorkerRequest(**what))
        return (await self.hears("register")).worker_id

    async def takes(self, **participant) -> agent.JobAssignment:
        """Says yes to the next job."""
        job = (await self.hears("availability")).job
        await self.says(availability=agent.AvailabilityResponse(job_id=job.id, available=True, **participant))
        return await self.hears("assignment")
