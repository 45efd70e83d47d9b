"""MoveParticipant: participants of one room go to another one."""

import time

import pytest
from livekit import api, rtc

from rig.people import Person, leave_all, until
from rig.server import KEY, SECRET


@pytest.fixture
async def service(server):
    client = api.LiveKitAPI(server.http, KEY, SECRET)
    yield client.room
    await client.aclose()


# covers: RoomService.MoveParticipant, out.room_moved, sdk.moved_to_another_room
@pytest.mark.parametrize("single", [True, False], ids=["single", "dual"])
async def test_a_participant_goes_on_in_the_other_room(server, room, service, single):
    """`room_moved`: the same connections go on, and media flows both ways in the new room."""
    ada, bob, carol = Person("ada"), Person("bob"), Person("carol")
    moved, reconnecting = [], []
    ada.room.on("moved", lambda: moved.append(ada.room.name))
    ada.room.on("reconnecting", lambda: reconnecting.append(time.monotonic()))
    other = f"{room}-other"
    options = rtc.RoomOptions(single_peer_connection=single)
    for person, where in ((ada, room), (bob, room), (carol, other)):
        await person.join(server.url, where, options=options)
    await ada.show(luma=60)
    await ada.speak()
    await bob.speak()
    await carol.show(luma=200)
    await bob.sees("ada")
    await ada.hears("bob")
    await service.move_participant(api.MoveParticipantRequest(room=room, identity="ada", destination_room=other))
    asked = time.monotonic()
    await until(lambda: moved, "ada to be told")
    assert moved == [other]
    await until(lambda: bob.happened("participant_disconnected"), "bob to see ada leave")
    await carol.sees("ada")
    print(f"figure move_participant_gap_{'single' if single else 'dual'} = {(carol.seen['ada'][0] - asked) * 1000:.0f} ms (goal 500)")
    await carol.hears("ada")
    assert abs(carol.luma["ada"] - 60) < 25
    await ada.sees("carol")
    assert abs(ada.luma["carol"] - 200) < 25
    heard = len(ada.heard["bob"])
    await ada.hears("carol", frames=0)
    assert not reconnecting, "the same connection goes on"
    assert set(ada.room.remote_participants) == {"carol"}
    assert len(ada.heard["bob"]) <= heard + 50
    listed = await service.list_participants(api.ListParticipantsRequest(room=other))
    assert {p.identity: len(p.tracks) for p in listed.participants} == {"ada": 2, "carol": 1}
    # Data goes where the participant is.
    await ada.room.local_participant.publish_data("here I am")
    await until(lambda: carol.data, "carol to get data")
    assert not bob.data
    await leave_all(ada, bob, carol)


# covers: RoomService.MoveParticipant
async def test_a_room_that_is_not_open_is_joined_by_reconnecting(server, room, service):
    ada = Person("ada")
    await ada.join(server.url, room)
    other = f"{room}-other"
    await service.move_participant(api.MoveParticipantRequest(room=room, identity="ada", destination_room=other))

    async def there():
        try:
            listed = await service.list_participants(api.ListParticipantsRequest(room=other))
            return [p.identity for p in listed.participants]
        except api.TwirpError:
            return []

    end = time.monotonic() + 20
    while await there() != ["ada"]:
        assert time.monotonic() < end, "ada to come to the other room"
    await until(lambda: ada.room.name == other, "ada to know")
    await leave_all(ada)


# covers: RoomService.ForwardParticipant, grant.destinationRoom
async def test_moves_that_are_not_possible_say_why(server, room, service):
    ada, bob = Person("ada"), Person("bob")
    other = f"{room}-other"
    await ada.join(server.url, room)
    await service.create_room(api.CreateRoomRequest(name=other, max_participants=1))
    await bob.join(server.url, other)

    async def refused(**request):
        with pytest.raises(api.TwirpError) as error:
            await service.move_participant(api.MoveParticipantRequest(**({"room": room, "identity": "ada", "destination_room": other} | request)))
        return error.value.code

    assert await refused() == "failed_precondition"
    assert await refused(identity="nobody") == "failed_precondition"
    assert await refused(destination_room=room) == "invalid_argument"
    assert await refused(room=f"{room}-none") == "not_found"
    with pytest.raises(api.TwirpError) as error:
        await service.forward_participant(api.ForwardParticipantRequest(room=room, identity="ada", destination_room=other))
    assert error.value.code == "unimplemented"
    await leave_all(ada, bob)
