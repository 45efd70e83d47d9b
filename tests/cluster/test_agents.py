"""A worker on one member serves the rooms of all."""

import asyncio

from livekit import api
from livekit.protocol import agent

from rig.pool import Pool
from rig.server import KEY, SECRET
from rig.workers import RawWorker

# By the third room there is one on a member that the worker is not connected to, but for one run in 27 at worst: more make it sure.
ROOMS = 8


async def jobs_of(client: api.LiveKitAPI, room: str) -> list[agent.Job]:
    (dispatch,) = await client.agent_dispatch.list_dispatch(room)
    return list(dispatch.state.jobs)


async def test_a_worker_serves_the_rooms_of_all_members(pool: Pool, room):
    client = api.LiveKitAPI(pool.members[1].http, KEY, SECRET)
    async with await RawWorker.connect(pool.members[0]) as worker:
        worker_id = await worker.register(agent_name="anywhere")
        rooms, homes = [f"{room}-{n}" for n in range(ROOMS)], set()
        for name in rooms:
            made = await client.agent_dispatch.create_dispatch(api.CreateAgentDispatchRequest(agent_name="anywhere", room=name))
            job = (await worker.takes(participant_identity=f"agent of {name}")).job
            assert (job.room.name, job.dispatch_id) == (name, made.id)
            homes.add(pool.home(name).name)
            for _ in range(200):
                if listed := await jobs_of(client, name):
                    break
                await asyncio.sleep(0.05)
            assert [(one.id, one.state.worker_id, one.state.participant_identity) for one in listed] == [(job.id, worker_id, f"agent of {name}")]
        assert len(homes) > 1, "rooms of several members"
        # Its last word reaches the home, and the home's last word reaches it.
        await worker.says(update_job=agent.UpdateJobStatus(job_id=job.id, status=agent.JobStatus.JS_SUCCESS))
        for _ in range(200):
            if (listed := await jobs_of(client, name))[0].state.status == agent.JobStatus.JS_SUCCESS:
                break
            await asyncio.sleep(0.05)
        assert listed[0].state.status == agent.JobStatus.JS_SUCCESS
        for name in rooms[:-1]:
            await client.room.delete_room(api.DeleteRoomRequest(room=name))
            await worker.hears("termination")
    await client.aclose()


async def test_a_dispatch_waits_for_a_worker_of_another_member(pool: Pool, room):
    client = api.LiveKitAPI(pool.members[0].http, KEY, SECRET)
    await client.agent_dispatch.create_dispatch(api.CreateAgentDispatchRequest(agent_name="late", room=room))
    home = pool.home(room)
    elsewhere = next(member for member in pool.members if member is not home)
    async with await RawWorker.connect(elsewhere) as worker:
        await worker.register(agent_name="late")
        assert (await worker.takes()).job.room.name == room
    await client.aclose()
