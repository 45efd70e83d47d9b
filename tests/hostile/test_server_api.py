"""The server API (resilience.md, attacker's list 5)."""

import subprocess

import aiohttp
import pytest
from livekit import api

from rig.pool import Pool
from rig.server import KEY, SECRET

NAMES = [
    "plain", "a:b", "{0}", "}{", "*", "?", "[a-z]", "a\r\nFLUSHALL\r\n", "' .. redis.call('FLUSHALL') .. '", "../../etc", "a b", "愛", "\u0001", "%7B0%7D", "plenum:{x}", "\"", "\\",
]


@pytest.fixture
def pool():
    pool = Pool(1).start()
    yield pool
    pool.stop()


def redis(pool, *words: str) -> bytes:
    return subprocess.run(["redis-cli", "-p", str(pool.redis.port), "--raw", *words], capture_output=True, check=True).stdout


async def test_names_of_rooms_stay_inside_their_redis_keys(pool):
    redis(pool, "SET", "somebody else's", "kept")
    lk = api.LiveKitAPI(pool.members[0].http, KEY, SECRET)
    for name in NAMES:
        made = await lk.room.create_room(api.CreateRoomRequest(name=name, metadata=name))
        assert made.name == name
    listed = await lk.room.list_rooms(api.ListRoomsRequest())
    assert sorted(room.name for room in listed.rooms) == sorted(NAMES)
    # Each is told from the others by whoever looks for it alone.
    for name in NAMES:
        one = await lk.room.list_rooms(api.ListRoomsRequest(names=[name]))
        assert [(room.name, room.metadata) for room in one.rooms] == [(name, name)]
    keys = redis(pool, "KEYS", "*").decode().splitlines()
    ours = [key for key in keys if key != "somebody else's"]
    assert len(ours) == len(keys) - 1
    for key in ours:
        assert key.startswith("plenum:") and key.isascii() and key.isprintable(), key
        # One hash tag at most, so that a name can't choose its slot.
        assert key.count("{") <= 1 and key.count("}") <= 1, key
    for name in NAMES:
        await lk.room.delete_room(api.DeleteRoomRequest(room=name))
    assert redis(pool, "GET", "somebody else's").strip() == b"kept"
    await lk.aclose()


async def test_the_permission_for_one_room_opens_no_other(server, room):
    admin = api.AccessToken(KEY, SECRET).with_identity("back end").with_grants(api.VideoGrants(room_admin=True, room=room)).to_jwt()
    lk = api.LiveKitAPI(server.http, KEY, SECRET)
    for name in (room, f"{room}-other"):
        await lk.room.create_room(api.CreateRoomRequest(name=name))
    calls = {
        "ListParticipants": {}, "GetParticipant": {"identity": "ada"}, "RemoveParticipant": {"identity": "ada"}, "MutePublishedTrack": {"identity": "ada", "track_sid": "TR_x"},
        "UpdateParticipant": {"identity": "ada"}, "UpdateSubscriptions": {"identity": "ada"}, "SendData": {}, "UpdateRoomMetadata": {"metadata": "mine"}, "DeleteRoom": {},
    }
    async with aiohttp.ClientSession() as session:
        for method, body in calls.items():
            # Names that only look the same do not count as the same, in both spellings of the field.
            for other in (f"{room}-other", room.upper(), f" {room}", f"{room}\0", ""):
                url = f"{server.http}/twirp/livekit.RoomService/{method}"
                async with session.post(url, json={"room": other} | body, headers={"Authorization": f"Bearer {admin}"}) as answer:
                    assert answer.status in (401, 403), (method, other, answer.status)
                    said = await answer.json()
                    assert said["code"] in ("unauthenticated", "permission_denied") and admin not in said["msg"]
    kept = await lk.room.list_rooms(api.ListRoomsRequest(names=[f"{room}-other"]))
    assert [one.metadata for one in kept.rooms] == [""]
    await lk.aclose()
