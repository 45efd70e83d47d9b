"""Workers of PyPI livekit-agents, unmodified, and the dispatch of their agents into rooms."""

import asyncio
import json
import time
import urllib.request

import aiohttp
import jwt as tokens
import pytest
from livekit import api
from livekit.protocol import agent, models

from rig.people import Person, leave_all, until
from rig.process import wait_for
from rig.server import KEY, SECRET, Server
from rig.workers import RawWorker, Worker, agent_of, agents_in, hears_tone

# A worker starts processes that load the whole of livekit-agents; on a slow machine each takes many seconds.
PATIENCE = Worker.PATIENCE


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
    before = metric(server, 'plenum_agent_disconnections_total{reason="malformed"}')
    for first, why in (
        (agent.WorkerMessage(update_worker=agent.UpdateWorkerStatus()).SerializeToString(), "registers first"),
        (b"\xff", "livekit.WorkerMessage"),
        # What it still sends may cut the connection before the reason is read.
        (b"x" * 70_000, ""),
        (agent.WorkerMessage(migrate_job=agent.MigrateJobRequest(job_ids=[""] * 25_000)).SerializeToString(), "20000 parts"),
    ):
        async with await RawWorker.connect(server) as worker:
            await worker.socket.send_bytes(first)
            assert why in await worker.end()
    async with await RawWorker.connect(server) as worker:
        await worker.register(agent_name="twice")
        await worker.says(register=agent.RegisterWorkerRequest(agent_name="twice"))
        assert await worker.end() == "registered twice"
    wait_for(lambda: metric(server, 'plenum_agent_disconnections_total{reason="malformed"}') == before + 3, PATIENCE, "the metric")
    wait_for(lambda: metric(server, "plenum_agent_sockets") == 0, PATIENCE, "all sockets to be closed")


def metric(server, name: str) -> float:
    with urllib.request.urlopen(f"{server.http}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} ")), 0.0)


# covers: worker.register
async def test_a_socket_that_says_nothing_is_closed_after_ten_seconds(server):
    async with await RawWorker.connect(server) as worker:
        began = time.monotonic()
        assert await worker.end(30) == "no registration within 10 s"
        took = time.monotonic() - began
        print(f"closed after {took:.1f} s")
        assert 8 < took < 25


# covers: worker.register, worker.ping, worker.availability, job.assignment
async def test_a_worker_may_speak_json(server, room, client):
    async with await RawWorker.connect(server) as worker:

        async def hears() -> dict:
            return json.loads((await worker.next()).data)

        await worker.socket.send_str(json.dumps({"register": {"type": "JT_ROOM", "agentName": "json"}}))
        registered = (await hears())["register"]
        assert registered["workerId"].startswith("AW_") and registered["serverInfo"]["agentProtocol"] == 1
        await worker.socket.send_str(json.dumps({"ping": {"timestamp": "42"}}))
        assert (await hears())["pong"]["lastTimestamp"] == "42"
        await client.agent_dispatch.create_dispatch(api.CreateAgentDispatchRequest(agent_name="json", room=room))
        job = (await hears())["availability"]["job"]
        assert job["room"]["name"] == room
        await worker.socket.send_str(json.dumps({"availability": {"jobId": job["id"], "available": True}}))
        assert (await hears())["assignment"]["token"].count(".") == 2
        await worker.socket.send_str("{}")
        await worker.socket.send_str("[1]")
        assert "livekit.WorkerMessage" in await worker.end()


# covers: worker.ping
async def test_a_flood_waits_and_harms_nobody(server, room, client):
    """1,000 messages are taken at once and 200 a second: what a flood sends beyond waits in its own network."""
    async with await RawWorker.connect(server) as flood, await RawWorker.connect(server) as other:
        await flood.register(agent_name="flood")
        await other.register(agent_name="other")
        reading = asyncio.ensure_future(count_pongs(flood))
        began = time.monotonic()
        for n in range(1_600):
            await flood.says(ping=agent.WorkerPing(timestamp=n))
        # Meanwhile another one is answered and gets its job.
        asked = time.monotonic()
        await other.says(ping=agent.WorkerPing(timestamp=1))
        await other.hears("pong")
        print(f"the other one was answered within {(time.monotonic() - asked) * 1000:.0f} ms")
        await client.agent_dispatch.create_dispatch(api.CreateAgentDispatchRequest(agent_name="other", room=room))
        await other.takes()
        assert await asyncio.wait_for(reading, PATIENCE) == 1_600
        took = time.monotonic() - began
        print(f"1600 pings took {took:.1f} s")
        assert took > 2


async def count_pongs(worker: RawWorker) -> int:
    pongs = 0
    while pongs < 1_600:
        await worker.hears("pong")
        pongs += 1
    return pongs


async def test_workers_count_as_connections():
    server = Server("sfu-limited", PLENUM_LIMIT_CONNECTIONS="2").start()
    try:
        async with await RawWorker.connect(server) as first, await RawWorker.connect(server):
            await first.register(agent_name="a")
            with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
                await RawWorker.connect(server)
            assert refusal.value.status == 503
            jwt = api.AccessToken(KEY, SECRET).with_identity("ada").with_grants(api.VideoGrants(room_join=True, room="r")).to_jwt()
            async with aiohttp.ClientSession() as session:
                with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
                    await session.ws_connect(f"{server.http}/rtc?access_token={jwt}&protocol=16")
                assert refusal.value.status == 503
        wait_for(lambda: metric(server, "plenum_agent_sockets") == 0, PATIENCE, "the sockets to be closed")
        async with await RawWorker.connect(server) as again:
            await again.register(agent_name="a")
    finally:
        server.stop()


# covers: worker.simulate_job, grant.agent
async def test_a_worker_asks_for_a_job_itself(server, room):
    """What the command `connect` of livekit-agents does."""
    async with await RawWorker.connect(server) as worker:
        await worker.register(agent_name="self-made", allowed_permissions=models.ParticipantPermission(can_subscribe=True, hidden=True))
        await worker.says(simulate_job=agent.SimulateJobRequest(type=agent.JobType.JT_ROOM, room=models.Room(name=room)))
        assigned = await worker.takes(participant_identity="self")
        assert (assigned.job.room.name, assigned.job.agent_name) == (room, "self-made")
        claims = tokens.decode(assigned.token, SECRET, algorithms=["HS256"])
        assert claims["kind"] == "agent" and claims["video"]["room"] == room and claims["video"]["canPublish"] is False
    # A worker whose token is for one room gets into no other.
    async with await RawWorker.connect(server, room=f"{room}-own") as worker:
        await worker.register(agent_name="self-made")
        await worker.says(simulate_job=agent.SimulateJobRequest(room=models.Room(name=f"{room}-own")))
        assert (await worker.takes()).job.room.name == f"{room}-own"
        await worker.says(simulate_job=agent.SimulateJobRequest(room=models.Room(name=room)))
        assert "another one than the worker's token" in await worker.end()


# covers: grant.canManageAgentSession
async def test_the_right_to_manage_agent_sessions_is_read_by_everybody(server, room):
    """The server does nothing with it: agents look at the participant that asks them."""
    video = {"roomJoin": True, "room": room, "canManageAgentSession": True}
    jwt = tokens.encode({"iss": KEY, "sub": "ada", "exp": int(time.time()) + 600, "video": video}, SECRET, algorithm="HS256")
    ada = await Person("ada").join(server.url, room, jwt=jwt)
    bob = await Person("bob").join(server.url, room)
    client = api.LiveKitAPI(server.http, KEY, SECRET)
    listed = await client.room.list_participants(api.ListParticipantsRequest(room=room))
    assert {p.identity: p.permission.can_manage_agent_session for p in listed.participants} == {"ada": True, "bob": False}
    permission = models.ParticipantPermission(can_subscribe=True, can_publish=True, can_manage_agent_session=True)
    await client.room.update_participant(api.UpdateParticipantRequest(room=room, identity="bob", permission=permission))
    changed = await client.room.get_participant(api.RoomParticipantIdentity(room=room, identity="bob"))
    assert changed.permission.can_manage_agent_session
    await client.aclose()
    await leave_all(ada, bob)
