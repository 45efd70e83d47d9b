"""Workers of PyPI livekit-agents, unmodified, and the dispatch of their agents into rooms."""

import asyncio
import os
import re
from pathlib import Path

import aiohttp
import jwt as tokens
import pytest
from livekit import api, rtc
from livekit.protocol import agent, models

from rig import install
from rig.people import Person, leave_all, until
from rig.process import Process, wait_for
from rig.server import KEY, SECRET, Server
from rig.workers import RawWorker

AGENT = Path(__file__).with_name("agent.py")
# A worker starts processes that load the whole of livekit-agents; on a slow machine each takes many seconds.
PATIENCE = 120.0


class Worker:
    """A worker, its process and those of its jobs."""

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
        wait_for(lambda: "registered worker" in self.log or not self.process.running(), PATIENCE, "the worker to register")
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


@pytest.fixture
def workers():
    started: list[Worker] = []
    yield started
    for worker in started:
        worker.end()


@pytest.fixture
async def client(server):
    client = api.LiveKitAPI(server.http, KEY, SECRET)
    yield client
    await client.aclose()


def agents_in(person: Person) -> list[rtc.RemoteParticipant]:
    return [p for p in person.room.remote_participants.values() if p.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT]


async def agent_of(person: Person, but: set[str] = frozenset()) -> rtc.RemoteParticipant:
    found = await until(lambda: [p for p in agents_in(person) if p.identity not in but], f"an agent in the room of {person.identity}", PATIENCE)
    return found[0]


async def hears_tone(person: Person, agent: str, hertz: int) -> None:
    await until(lambda: abs(person.tone.get(agent, 0) - hertz) < 15, f"{person.identity} to hear {hertz} Hz of {agent}", PATIENCE)


# covers: grant.agent, worker.register, worker.availability, worker.update_worker, job.register, job.availability, job.assignment
async def test_a_nameless_worker_sings_in_each_new_room(workers):
    server = Server("sfu-agents").start()
    try:
        workers.append(Worker(server.url, hertz=1000))
        workers[0].registered()
        ada = await Person("ada").join(server.url, "first")
        bob = await Person("bob").join(server.url, "second")
        for person in (ada, bob):
            fork = await agent_of(person)
            await hears_tone(person, fork.identity, 1000)
            assert fork.attributes["lk.agent_name"] == "" and fork.attributes["hertz"] == "1000" and fork.name == "Tuning fork"
        await leave_all(ada, bob)
    finally:
        workers[0].end()
        server.stop()


# covers: AgentDispatchService.CreateDispatch, AgentDispatchService.ListDispatch, AgentDispatchService.DeleteDispatch, job.termination
async def test_named_dispatch_brings_an_agent_and_its_deletion_ends_it(server, room, client, workers):
    workers.append(Worker(server.url, "fork", hertz=700).registered())
    ada = await Person("ada").join(server.url, room)
    assert not agents_in(ada)
    made = await client.agent_dispatch.create_dispatch(api.CreateAgentDispatchRequest(agent_name="fork", room=room, metadata="tune"))
    assert made.id.startswith("AD_") and made.agent_name == "fork" and made.room == room
    fork = await agent_of(ada)
    await hears_tone(ada, fork.identity, 700)
    assert fork.metadata == "tune" and fork.attributes["lk.agent_name"] == "fork"
    listed = await client.agent_dispatch.list_dispatch(room)
    assert [d.id for d in listed] == [made.id]
    (job,) = listed[0].state.jobs
    assert job.state.participant_identity == fork.identity and job.state.worker_id == workers[0].id and job.id.startswith("AJ_")
    one = await client.agent_dispatch.get_dispatch(made.id, room)
    assert one.metadata == "tune"
    await client.agent_dispatch.delete_dispatch(made.id, room)
    await until(lambda: not agents_in(ada), "the agent to leave", PATIENCE)
    assert await client.agent_dispatch.list_dispatch(room) == []
    with pytest.raises(api.TwirpError) as error:
        await client.agent_dispatch.delete_dispatch(made.id, room)
    assert error.value.code == "not_found"
    await leave_all(ada)


async def test_a_token_and_create_room_dispatch_agents(server, room, client, workers):
    workers.append(Worker(server.url, "config", hertz=500).registered())
    wanted = api.RoomAgentDispatch(agent_name="config", metadata="by configuration")
    jwt = (
        api.AccessToken(KEY, SECRET).with_identity("ada").with_grants(api.VideoGrants(room_join=True, room=room))
        .with_room_config(api.RoomConfiguration(agents=[wanted])).to_jwt()
    )
    ada = await Person("ada").join(server.url, room, jwt=jwt)
    await client.room.create_room(api.CreateRoomRequest(name=room + "-2", agents=[wanted]))
    bob = await Person("bob").join(server.url, room + "-2")
    for person in (ada, bob):
        fork = await agent_of(person)
        await hears_tone(person, fork.identity, 500)
        assert fork.metadata == "by configuration"
    await leave_all(ada, bob)


async def test_a_dispatch_waits_for_its_worker(server, room, client, workers):
    ada = await Person("ada").join(server.url, room)
    await client.agent_dispatch.create_dispatch(api.CreateAgentDispatchRequest(agent_name="late", room=room))
    workers.append(Worker(server.url, "late").registered())
    await agent_of(ada)
    await leave_all(ada)


async def test_an_agent_for_each_publisher(server, room, client, workers):
    workers.append(Worker(server.url, "each", kind="PUBLISHER", hertz=800).registered())
    ada = await Person("ada").join(server.url, room)
    await client.agent_dispatch.create_dispatch(api.CreateAgentDispatchRequest(agent_name="each", room=room))
    bob = await Person("bob").join(server.url, room)
    await bob.speak()
    fork = await agent_of(ada)
    await hears_tone(ada, fork.identity, 800)
    (dispatch,) = await client.agent_dispatch.list_dispatch(room)
    assert [job.participant.identity for job in dispatch.state.jobs] == ["bob"], "ada publishes nothing"
    await leave_all(ada, bob)


async def test_jobs_go_to_the_idle_worker(server, room, client, workers):
    workers.append(Worker(server.url, "busy", load=0.69))
    workers.append(Worker(server.url, "busy", load=0.0))
    for worker in workers:
        worker.registered()
    # The first load report comes within seconds.
    await asyncio.sleep(3)
    people = []
    for n in range(3):
        people.append(await Person(f"p{n}").join(server.url, f"{room}-{n}"))
        await client.agent_dispatch.create_dispatch(api.CreateAgentDispatchRequest(agent_name="busy", room=f"{room}-{n}"))
        await agent_of(people[-1])
    assert (len(workers[0].jobs()), len(workers[1].jobs())) == (0, 3)
    await leave_all(*people)


async def test_a_killed_workers_agent_is_replaced_by_another_workers(server, room, client, workers):
    workers.append(Worker(server.url, "mortal", hertz=900).registered())
    ada = await Person("ada").join(server.url, room)
    await client.agent_dispatch.create_dispatch(api.CreateAgentDispatchRequest(agent_name="mortal", room=room))
    fork = await agent_of(ada)
    await hears_tone(ada, fork.identity, 900)
    workers.append(Worker(server.url, "mortal", hertz=1100).registered())
    workers[0].end()
    successor = await agent_of(ada, {fork.identity})
    await hears_tone(ada, successor.identity, 1100)
    await until(lambda: [p.identity for p in agents_in(ada)] == [successor.identity], "the dead agent to be gone", PATIENCE)
    (dispatch,) = await client.agent_dispatch.list_dispatch(room)
    states = {job.state.worker_id: job.state for job in dispatch.state.jobs}
    assert states[workers[0].id].error == "its worker is gone"
    assert states[workers[1].id].participant_identity == successor.identity
    await leave_all(ada)


# covers: worker.ping, worker.update_job, job.pong
async def test_a_worker_for_participants_takes_a_job_within_its_permissions(server, room, client):
    async with await RawWorker.connect(server) as worker:
        allowed = models.ParticipantPermission(can_subscribe=True, can_publish=False, can_publish_data=True, hidden=True)
        worker_id = await worker.register(type=agent.JobType.JT_PARTICIPANT, agent_name="raw", version="1", allowed_permissions=allowed)
        assert worker_id.startswith("AW_")
        await worker.says(ping=agent.WorkerPing(timestamp=42))
        pong = await worker.hears("pong")
        assert pong.last_timestamp == 42 and pong.timestamp > 1_600_000_000_000
        ada = await Person("ada").join(server.url, room)
        made = await client.agent_dispatch.create_dispatch(api.CreateAgentDispatchRequest(agent_name="raw", room=room, metadata="m"))
        assigned = await worker.takes(participant_name="Raw", participant_attributes={"a": "b"})
        job = assigned.job
        assert (job.type, job.participant.identity, job.dispatch_id, job.metadata) == (agent.JobType.JT_PARTICIPANT, "ada", made.id, "m")
        claims = tokens.decode(assigned.token, SECRET, algorithms=["HS256"])
        assert claims["kind"] == "agent" and claims["sub"] == f"agent-{job.id}" and claims["name"] == "Raw"
        assert claims["attributes"] == {"a": "b", "lk.agent_name": "raw"}
        video = claims["video"]
        assert video["room"] == room and video["canPublish"] is False and video["canSubscribe"] is True and video["hidden"] is True
        await worker.says(update_job=agent.UpdateJobStatus(job_id=job.id, status=agent.JobStatus.JS_SUCCESS))

        async def state():
            (dispatch,) = await client.agent_dispatch.list_dispatch(room)
            return [one.state.status for one in dispatch.state.jobs]

        for _ in range(100):
            if await state() == [agent.JobStatus.JS_SUCCESS]:
                break
            await asyncio.sleep(0.05)
        assert await state() == [agent.JobStatus.JS_SUCCESS]
        await leave_all(ada)


# covers: worker.migrate_job
async def test_a_worker_that_comes_back_keeps_its_job(server, room, client):
    await client.agent_dispatch.create_dispatch(api.CreateAgentDispatchRequest(agent_name="back", room=room))
    async with await RawWorker.connect(server) as worker:
        await worker.register(agent_name="back")
        job = (await worker.takes()).job
    async with await RawWorker.connect(server) as worker:
        again = await worker.register(agent_name="back")
        await worker.says(migrate_job=agent.MigrateJobRequest(job_ids=[job.id]))
        for _ in range(100):
            (dispatch,) = await client.agent_dispatch.list_dispatch(room)
            if dispatch.state.jobs and dispatch.state.jobs[0].state.worker_id == again:
                break
            await asyncio.sleep(0.05)
        assert [(one.id, one.state.worker_id) for one in dispatch.state.jobs] == [(job.id, again)]
        await client.room.delete_room(api.DeleteRoomRequest(room=room))
        assert (await worker.hears("termination")).job_id == job.id


async def test_who_is_no_worker_is_turned_away(server):
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await RawWorker.connect(server, agent=False, room_list=True)
    assert refusal.value.status == 401
    for first in (agent.WorkerMessage(update_worker=agent.UpdateWorkerStatus()).SerializeToString(), b"\xff", b"x" * 70_000):
        async with await RawWorker.connect(server) as worker:
            await worker.socket.send_bytes(first)
            end = await asyncio.wait_for(worker.socket.receive(), PATIENCE)
            assert end.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING)
