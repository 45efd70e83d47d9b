"""What dies, and what the people in the calls notice. Each test prints its figure; its own bound is generous."""

import asyncio
import math
import signal
import time

import pytest
from livekit import api, rtc

from rig.gaps import WINDOW, figure, gap, keep, percentile
from rig.people import Person, leave_all, until
from rig.pool import Pool
from rig.server import KEY, SECRET, Server

NAMES = ("ada", "bob", "carol")


async def call(pool: Pool, room: str, edges) -> list[Person]:
    """Three participants, each publishing, on these edges as long as they live; everyone decodes everyone."""
    people = [Person(name) for name in NAMES]
    for person, edge in zip(people, edges):
        await person.join((await pool.balancer(edge).start()).url, room)
        await person.show()
    for person in people:
        for other in people:
            if other is not person:
                await person.sees(other.identity, 10)
    return people


async def open_rooms(pool: Pool, *rooms: str) -> list[Server]:
    """Opens rooms by the server API and returns their homes."""
    client = api.LiveKitAPI(pool.members[0].http, KEY, SECRET)
    for room in rooms:
        await client.room.create_room(api.CreateRoomRequest(name=room, metadata="kept"))
    await client.aclose()
    return [pool.home(room) for room in rooms]


def gaps(people: list[Person], fault: float, window: float = WINDOW) -> list[float]:
    return [
        gap(person.seen[other.identity], fault, window) for person in people for other in people if other is not person
    ]


async def test_kill_9_of_the_home(pool: Pool, room):
    found = []
    for n in range(6):
        name = f"{room}-{n}"
        [home] = await open_rooms(pool, name)
        people = await call(pool, name, [home, *pool.others(home)])
        await asyncio.sleep(WINDOW - 5)
        fault = time.monotonic()
        home.kill()
        await asyncio.sleep(WINDOW)
        found += gaps(people, fault)
        await leave_all(*people)
        home.start()
    keep("failover_crash_gap", found)
    figure("failover_crash_gap_p95", percentile(found, 0.95), "s", "1.5")
    assert all(math.isfinite(g) for g in found), found


async def test_kill_9_of_an_edge_only(pool: Pool, room):
    [home] = await open_rooms(pool, room)
    edge, other = pool.others(home)
    people = await call(pool, room, [edge, other, home])
    await asyncio.sleep(WINDOW - 5)
    fault = time.monotonic()
    edge.kill()
    await asyncio.sleep(WINDOW)
    found = gaps(people, fault)
    keep("edge_crash_media_gap", found)
    figure("edge_crash_media_gap_max", max(found), "s", "0.2")
    assert all(math.isfinite(g) for g in found)
    await until(lambda: people[0].happened("reconnected"), "ada to have resumed")
    await leave_all(*people)


async def test_sigterm_moves_rooms_and_the_process_ends(pool: Pool, room):
    names = [f"{room}-{n}" for n in range(10)]
    pairs, homes = [], dict(zip(names, await open_rooms(pool, *names)))
    drained = max(pool.members, key=lambda member: list(homes.values()).count(member))
    stay = pool.others(drained)
    for n, name in enumerate(homes):
        pair = [Person("ada"), Person("bob")]
        for person in pair:
            await person.join((await pool.balancer(stay[n % 2]).start()).url, name)
            await person.show(fps=10)
        pairs.append(pair)
    for pair in pairs:
        await pair[0].sees("bob", 5)
        await pair[1].sees("ada", 5)
    await asyncio.sleep(WINDOW - 5)
    fault = time.monotonic()
    drained.process.signal(signal.SIGTERM)
    await asyncio.sleep(WINDOW + 2)
    moved = [pair for pair, home in zip(pairs, homes.values()) if home is drained]
    found = [one for pair in moved for one in gaps(pair, fault)]
    keep("drain_gap", found)
    figure("drain_gap_p95", percentile(found, 0.95), "s", "1")
    assert moved and all(math.isfinite(g) for g in found), found
    await until(lambda: not drained.process.running(), "the drained process to end by itself", 30)
    assert all(pair[0].room.metadata == "kept" for pair in pairs)
    for pair in pairs:
        await leave_all(*pair)


async def test_redis_away_for_30_seconds_and_back_empty(pool: Pool, room):
    people = await call(pool, room, pool.members)
    home = pool.home(room)
    await asyncio.sleep(WINDOW - 5)
    fault = time.monotonic()
    pool.redis.kill()
    await asyncio.sleep(5)
    # People still join the running room, through any member.
    late = []
    for n, member in enumerate(pool.members):
        person = await Person(f"late-{n}").join(member.url, room)
        await person.sees("ada")
        late.append(person)
    # A new room is refused until Redis is back, and says so.
    with pytest.raises(rtc.ConnectError):
        await Person("eve").join(pool.members[0].url, f"{room}-new")
    await asyncio.sleep(max(0.0, 30 - (time.monotonic() - fault)))
    pool.redis.start()
    window = time.monotonic() - fault + WINDOW
    await asyncio.sleep(WINDOW)
    found = [gap(person.seen[other.identity], fault, window) for person in people for other in people if other is not person]
    keep("redis_down_media_gap", found)
    figure("redis_down_media_gap_max", max(found), "s", "0.2")
    assert all(math.isfinite(g) for g in found)
    assert pool.home(room) is home
    # Redis has forgotten everything: joins to the running room must still see everyone.
    for n, member in enumerate(pool.members):
        person = await Person(f"after-{n}").join(member.url, room)
        await person.sees("ada")
        await person.sees("carol")
        late.append(person)
    await Person("eve").join(pool.members[0].url, f"{room}-new")
    await leave_all(*people, *late)
