"""What members do among themselves, seen by raw signaling clients and by the internal port."""

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import time

import aiohttp
from livekit import api

from rig.gaps import figure, gap
from rig.people import Person, leave_all, until
from rig.pool import CLUSTER_SECRET, Pool
from rig.server import KEY, SECRET, Server
from rig.tokens import token

# pidfd_getfd(2), the same on all architectures; Python has no name for it.
PIDFD_GETFD = 438


def media_goes_on(people: list[Person], name: str, fault: float, window: float) -> None:
    """Two people still see each other, by the subscriptions that they had; what the fault cost is printed."""
    ada, bob = people
    cost = max(gap(ada.seen["bob"], fault, window), gap(bob.seen["ada"], fault, window))
    figure(name, cost, "s", "0.2")
    assert cost < window / 2, f"{name}: {cost} s without media"
    assert (ada.subscribed, bob.subscribed) == (["bob"], ["ada"]), "nobody started over"


async def create(member: Server, room: str) -> None:
    client = api.LiveKitAPI(member.http, KEY, SECRET)
    await client.room.create_room(api.CreateRoomRequest(name=room))
    await client.aclose()


async def internal(member: Server, method: str, path: str, body: dict | None = None) -> tuple[int, dict | None]:
    """Asks a member at its internal port."""
    url = f"http://{member.environment['PLENUM_INTERNAL_ADDRESS']}/internal/v1/{path}"
    headers = {"Authorization": f"Bearer {CLUSTER_SECRET}"}
    async with aiohttp.ClientSession() as http, http.request(method, url, json=body, headers=headers) as answer:
        return answer.status, await answer.json() if answer.content_type == "application/json" else None


async def validate(member: Server, room: str) -> tuple[int, dict]:
    async with aiohttp.ClientSession() as http, http.get(f"{member.http}/rtc/validate?access_token={token(room, 'eve')}") as answer:
        return answer.status, dict(answer.headers)


async def test_a_home_that_freezes_is_replaced_and_lets_go_when_it_thaws(pool: Pool, room):
    await create(pool.members[0], room)
    home = pool.home(room)
    edges = pool.others(home)
    people = [Person("ada"), Person("bob")]
    for person, edge in zip(people, edges):
        await person.join(edge.url, room)
        await person.show()
    await people[0].sees("bob", 10)
    await people[1].sees("ada", 10)
    before = (await internal(home, "GET", "member"))[1]["incarnation"]
    fault = time.monotonic()
    home.process.signal(signal.SIGSTOP)
    await people[0].sees("bob", 10, since=fault + 1)
    await people[1].sees("ada", 10, since=fault + 1)
    figure("home_frozen_media_back", time.monotonic() - fault, "s", "4")
    home.process.signal(signal.SIGCONT)
    await asyncio.sleep(2)
    _, thawed = await internal(home, "GET", "member")
    assert thawed["rooms"] == [] and thawed["incarnation"] != before
    _, other = await internal(pool.home(room), "GET", "member")
    assert [one["participants"] for one in other["rooms"]] == [2]
    await until(lambda: home.ready(), "the thawed member to be ready again")
    await leave_all(*people)


async def test_a_short_freeze_of_the_home_costs_no_session(pool: Pool, room):
    await create(pool.members[0], room)
    home = pool.home(room)
    person = await Person("ada").join(pool.others(home)[0].url, room)
    sid = person.room.local_participant.sid
    home.process.signal(signal.SIGSTOP)
    await asyncio.sleep(2)
    home.process.signal(signal.SIGCONT)
    await asyncio.sleep(4)
    assert pool.home(room) is home
    assert person.room.local_participant.sid == sid and not person.happened("disconnected")
    _, report = await internal(home, "GET", "member")
    assert [one["participants"] for one in report["rooms"]] == [1]
    await leave_all(person)


async def test_members_move_their_rooms_when_the_operator_drains_them(pool: Pool, room):
    await create(pool.members[0], room)
    home = pool.home(room)
    other = pool.others(home)[0]
    person = await Person("ada").join((await pool.balancer(home).start()).url, room)
    await person.show()
    assert (await internal(home, "PUT", "desired-state", {"state": "Draining", "term": 7}))[0] == 204
    await until(lambda: not home.process.running(), "the drained member to end by itself", 15)
    late = await Person("bob").join(other.url, room)
    await late.sees("ada")
    await leave_all(person, late)


async def test_a_cordoned_member_gets_no_new_rooms(pool: Pool, room):
    cordoned = pool.members[1]
    assert (await internal(cordoned, "PUT", "desired-state", {"state": "Cordoned", "term": 1}))[0] == 204
    await asyncio.sleep(1.2)
    for n in range(12):
        await create(pool.members[n % 3], f"{room}-{n}")
    _, report = await internal(cordoned, "GET", "member")
    assert report["state"] == "Cordoned" and report["rooms"] == []
    assert (await internal(cordoned, "PUT", "desired-state", {"state": "Active", "term": 0}))[1]["reason"] == "StaleTerm"


async def test_a_room_is_placed_where_the_operator_wants_it(pool: Pool, room):
    there, *others = pool.members
    body = {"spec": {"uid": "u", "metadata": "of the resource", "maxParticipants": 1}, "term": 1, "epochFloor": 0}
    status, report = await internal(there, "PUT", f"rooms/{room}", body)
    assert status == 200 and report["participants"] == 0
    for other in others:
        status, refusal = await internal(other, "PUT", f"rooms/{room}", body)
        assert (status, refusal["reason"]) == (409, "NotHome")
    person = await Person("ada").join(others[0].url, room)
    assert person.room.metadata == "of the resource" and pool.home(room) is there
    closed = body | {"spec": body["spec"] | {"closed": True}}
    assert (await internal(there, "PUT", f"rooms/{room}", closed))[1]["reason"] == "Closed"
    await until(lambda: person.happened("disconnected"), "the room to end")
    for member in pool.members:
        status, _ = await validate(member, room)
        assert status == 404, member.name
    await leave_all(person)


async def test_a_new_room_without_redis_says_when_to_come_back(pool: Pool, room):
    pool.redis.kill()
    await asyncio.sleep(1.5)
    for member in pool.members:
        status, headers = await validate(member, room)
        assert (status, headers["Retry-After"]) == (503, "1")
        assert member.ready(), "running rooms do not need Redis, so balancers stay"


async def test_calls_about_running_rooms_are_answered_without_redis(pool: Pool, room):
    person = await Person("ada").join(pool.members[0].url, room)
    # Members that have just started hear of each other with their next heartbeat.
    await asyncio.sleep(1)
    pool.redis.kill()
    await asyncio.sleep(1.5)
    for member in pool.members:
        client = api.LiveKitAPI(member.http, KEY, SECRET)
        rooms = await client.room.list_rooms(api.ListRoomsRequest())
        assert [one.name for one in rooms.rooms] == [room], member.name
        listed = await client.room.list_participants(api.ListParticipantsRequest(room=room))
        assert [one.identity for one in listed.participants] == ["ada"]
        await client.room.update_room_metadata(api.UpdateRoomMetadataRequest(room=room, metadata=member.name))
        await client.aclose()
    await until(lambda: person.room.metadata == pool.members[-1].name, "the last metadata")
    # What changed while Redis was away is not lost with the home.
    pool.redis.start()
    await asyncio.sleep(7)
    home = pool.home(room)
    home.kill()
    await until(lambda: pool.serves(room), "another home", 10)
    client = api.LiveKitAPI(pool.others(home)[0].http, KEY, SECRET)
    rooms = await client.room.list_rooms(api.ListRoomsRequest())
    assert [one.metadata for one in rooms.rooms] == [pool.members[-1].name]
    await client.aclose()
    await leave_all(person)


async def test_a_drain_cuts_the_sockets_it_carries_and_their_media_goes_on(pool: Pool, room):
    await create(pool.members[0], room)
    home = pool.home(room)
    edge, other = pool.others(home)
    people = [Person("ada"), Person("bob")]
    for person in people:
        await person.join((await pool.balancer(edge).start()).url, room)
        await person.show()
    await people[0].sees("bob", 10)
    await people[1].sees("ada", 10)
    await asyncio.sleep(4)
    fault = time.monotonic()
    edge.process.signal(signal.SIGTERM)
    await until(lambda: not edge.process.running(), "the drained edge to end by itself", 15)
    await asyncio.sleep(5)
    media_goes_on(people, "edge_drain_media_gap", fault, 5)
    assert not any(person.happened("disconnected") for person in people)
    assert pool.home(room) is home and other.process.running()
    await leave_all(*people)


def cut_connections(of: Server, to_port: int) -> int:
    """Shuts down the TCP connections of a process to a port, as a network that loses them does; says how many."""
    pid = of.process.child.pid
    handle = os.pidfd_open(pid)
    cut = 0
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        copied = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, handle, int(descriptor), 0)
        if copied < 0:
            continue
        with contextlib.suppress(OSError), socket.socket(fileno=copied) as peer:
            if peer.family == socket.AF_INET and peer.type == socket.SOCK_STREAM and peer.getpeername()[1] == to_port:
                peer.shutdown(socket.SHUT_RDWR)
                cut += 1
    os.close(handle)
    return cut


async def test_a_lost_hop_to_a_living_home_costs_no_media(pool: Pool, room):
    await create(pool.members[0], room)
    home = pool.home(room)
    edge = pool.others(home)[0]
    people = [Person("ada"), Person("bob")]
    for person in people:
        await person.join(edge.url, room)
        await person.show()
    await people[0].sees("bob", 10)
    await people[1].sees("ada", 10)
    await asyncio.sleep(4)
    fault = time.monotonic()
    port = int(home.environment["PLENUM_INTERNAL_ADDRESS"].rsplit(":", 1)[1])
    assert cut_connections(edge, port) >= 2
    for person in people:
        await until(lambda: person.happened("reconnected"), f"{person.identity} to have resumed")
    await asyncio.sleep(3)
    media_goes_on(people, "hop_lost_media_gap", fault, 4)
    assert not any(person.happened("disconnected") for person in people)
    assert pool.home(room) is home
    await leave_all(*people)


async def test_a_frozen_edge_is_noticed_by_its_clients(pool: Pool, room):
    await create(pool.members[0], room)
    home = pool.home(room)
    edge = pool.others(home)[0]
    people = [Person("ada"), Person("bob")]
    for person in people:
        await person.join((await pool.balancer(edge).start()).url, room)
        await person.show()
    await people[0].sees("bob", 10)
    await people[1].sees("ada", 10)
    await asyncio.sleep(4)
    fault = time.monotonic()
    edge.process.signal(signal.SIGSTOP)
    await asyncio.sleep(6)
    media_goes_on(people, "edge_frozen_media_gap", fault, 5)
    edge.process.signal(signal.SIGCONT)
    await asyncio.sleep(2)
    assert not any(person.happened("disconnected") for person in people)
    await leave_all(*people)
