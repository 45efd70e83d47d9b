"""Data tracks, published and read by the unmodified PyPI client."""

import asyncio

import pytest
from livekit import api, rtc

from rig.people import Person, leave_all, until
from rig.server import KEY, SECRET


async def pair(server, room, **options):
    ada, bob = Person("ada"), Person("bob")
    found = []
    bob.room.on("data_track_published", found.append)
    gone = []
    bob.room.on("data_track_unpublished", gone.append)
    for person in (ada, bob):
        await person.join(server.url, room, options=rtc.RoomOptions(**options))
    await until(lambda: "ada" in bob.room.remote_participants, "bob to see ada")
    return ada, bob, found, gone


async def push_until(track, frames, condition, what):
    """Data tracks lose what comes before the subscription: frames are pushed until enough have arrived."""
    n = 0
    while not condition():
        track.try_push(rtc.DataTrackFrame(payload=f"{n}:".encode() + b"x" * frames))
        n += 1
        assert n < 1000, what
        await asyncio.sleep(0.02)


# covers: sdk.data_tracks, in.publish_data_track_request, in.update_data_subscription, out.data_track_subscriber_handles
@pytest.mark.parametrize("single", [True, False], ids=["single", "dual"])
async def test_frames_reach_subscribers(server, room, single):
    ada, bob, found, gone = await pair(server, room, single_peer_connection=single)
    track = await ada.room.local_participant.publish_data_track(name="measurements")
    assert track.info.sid.startswith("DTR_")
    await until(lambda: found, "bob to see the track")
    assert (found[0].info.name, found[0].publisher_identity, found[0].info.sid) == ("measurements", "ada", track.info.sid)
    read = []

    async def collect():
        async for frame in found[0].subscribe():
            read.append(frame)

    bob._spawn(collect())
    # Larger than one packet, so that a frame has several.
    await push_until(track, 30_000, lambda: len(read) >= 10, "frames")
    numbers = [int(frame.payload.split(b":")[0]) for frame in read]
    assert numbers == sorted(numbers) and all(len(frame.payload) > 30_000 for frame in read)
    await track.unpublish()
    await until(lambda: gone == [track.info.sid], "bob to see its end")
    await leave_all(ada, bob)


async def test_two_tracks_do_not_mix_and_late_comers_find_them(server, room):
    ada, bob, found, _ = await pair(server, room)
    tracks = {name: await ada.room.local_participant.publish_data_track(name=name) for name in ("north", "south")}
    await until(lambda: len(found) == 2, "bob to see both tracks")
    carol = Person("carol")
    seen_by_carol = []
    carol.room.on("data_track_published", seen_by_carol.append)
    await carol.join(server.url, room)
    await until(lambda: len(seen_by_carol) == 2, "carol to find both tracks")
    read = {(person.identity, remote.info.name): [] for person, remotes in ((bob, found), (carol, seen_by_carol)) for remote in remotes}

    async def collect(person, remote):
        async for frame in remote.subscribe():
            read[person.identity, remote.info.name].append(frame.payload)

    for person, remotes in ((bob, found), (carol, seen_by_carol)):
        for remote in remotes:
            person._spawn(collect(person, remote))
    for n in range(500):
        for name, track in tracks.items():
            track.try_push(rtc.DataTrackFrame(payload=name.encode()))
        if all(len(payloads) >= 5 for payloads in read.values()):
            break
        await asyncio.sleep(0.02)
    assert all(len(payloads) >= 5 and set(payloads) == {name.encode()} for (_, name), payloads in read.items())
    await leave_all(ada, bob, carol)


async def test_names_are_unique_and_need_the_right_to_send(server, room):
    ada, bob, _, _ = await pair(server, room)
    # A track whose object is dropped is unpublished.
    first = await ada.room.local_participant.publish_data_track(name="one")
    with pytest.raises(Exception):
        await ada.room.local_participant.publish_data_track(name="one")
    eve = Person("eve")
    await eve.join(server.url, room, can_publish_data=False)
    with pytest.raises(Exception):
        await eve.room.local_participant.publish_data_track(name="one")
    assert first.is_published()
    await leave_all(ada, bob, eve)


# covers: out.unpublish_data_track_response
async def test_who_loses_the_right_to_send_loses_its_tracks(server, room):
    ada, bob, found, gone = await pair(server, room)
    track = await ada.room.local_participant.publish_data_track(name="one")
    await until(lambda: found, "bob to see the track")
    client = api.LiveKitAPI(server.http, KEY, SECRET)
    await client.room.update_participant(
        api.UpdateParticipantRequest(
            room=room, identity="ada", permission=api.ParticipantPermission(can_subscribe=True, can_publish=True, can_publish_data=False)
        )
    )
    await client.aclose()
    await until(lambda: gone == [track.info.sid], "bob to see its end")
    await until(lambda: not track.is_published(), "ada to be told")
    await leave_all(ada, bob)
