"""RoomService, driven by PyPI livekit-api."""

import time

import aiohttp
import pytest
from livekit import api, rtc

from rig.people import Person, leave_all, until
from rig.server import KEY, SECRET
from rig.tokens import token


@pytest.fixture
async def service(server):
    client = api.LiveKitAPI(server.http, KEY, SECRET)
    yield client.room
    await client.aclose()


# covers: RoomService.CreateRoom, RoomService.ListRooms, RoomService.DeleteRoom, twirp.protobuf
async def test_rooms_are_created_listed_and_deleted(server, room, service):
    made = await service.create_room(api.CreateRoomRequest(name=room, empty_timeout=60, metadata="m", max_participants=5))
    assert made.sid.startswith("RM_") and made.metadata == "m" and made.max_participants == 5
    again = await service.create_room(api.CreateRoomRequest(name=room))
    assert again.sid == made.sid
    listed = await service.list_rooms(api.ListRoomsRequest(names=[room]))
    assert [r.sid for r in listed.rooms] == [made.sid]
    assert any(r.name == room for r in (await service.list_rooms(api.ListRoomsRequest())).rooms)
    await service.delete_room(api.DeleteRoomRequest(room=room))
    assert not (await service.list_rooms(api.ListRoomsRequest(names=[room]))).rooms


# covers: RoomService.DeleteRoom, out.leave, sdk.disconnect_reasons
async def test_delete_room_ends_the_call(server, room, service):
    ada = await Person("ada").join(server.url, room)
    await service.delete_room(api.DeleteRoomRequest(room=room))
    await until(lambda: ada.happened("disconnected"), "ada to be told")
    assert ada.happened("disconnected")[0][0] == rtc.DisconnectReason.ROOM_DELETED


async def test_a_full_room_refuses(server, room, service):
    await service.create_room(api.CreateRoomRequest(name=room, max_participants=1))
    ada = await Person("ada").join(server.url, room)
    with pytest.raises(rtc.ConnectError):
        await Person("bob").join(server.url, room)
    await leave_all(ada)


# covers: RoomService.ListParticipants, RoomService.GetParticipant, RoomService.MutePublishedTrack
# covers: RoomService.RemoveParticipant, twirp.errors, sdk.disconnect_reasons
async def test_participants_are_listed_muted_and_removed(server, room, service):
    ada = await Person("ada").join(server.url, room)
    bob = await Person("bob").join(server.url, room)
    publication = await ada.speak()
    await bob.hears("ada")
    listed = await service.list_participants(api.ListParticipantsRequest(room=room))
    assert {p.identity for p in listed.participants} == {"ada", "bob"}
    one = await service.get_participant(api.RoomParticipantIdentity(room=room, identity="ada"))
    assert one.tracks[0].sid == publication.sid
    muted = await service.mute_published_track(api.MuteRoomTrackRequest(room=room, identity="ada", track_sid=publication.sid, muted=True))
    assert muted.track.muted
    await until(lambda: bob.happened("track_muted"), "bob to see the mute")
    await service.remove_participant(api.RoomParticipantIdentity(room=room, identity="ada"))
    await until(lambda: ada.happened("disconnected"), "ada to be removed")
    assert ada.happened("disconnected")[0][0] == rtc.DisconnectReason.PARTICIPANT_REMOVED
    with pytest.raises(api.TwirpError) as error:
        await service.get_participant(api.RoomParticipantIdentity(room=room, identity="ada"))
    assert error.value.code == "not_found" and error.value.status == 404
    await leave_all(bob)


# covers: RoomService.RemoveParticipant, grant.nbf
async def test_who_is_removed_for_good_needs_a_later_token(server, room, service):
    ada = await Person("ada").join(server.url, room)
    bob = await Person("bob").join(server.url, room)
    old = token(room, "ada")
    # A second is the unit of tokens.
    before = int(time.time()) + 2
    await service.remove_participant(api.RoomParticipantIdentity(room=room, identity="ada", revoke_token_ts=before))
    await until(lambda: ada.happened("disconnected"), "ada to be removed")
    with pytest.raises(rtc.ConnectError):
        await Person("ada").join(server.url, room, jwt=old)
    await until(lambda: time.time() > before, "the second after")
    with pytest.raises(rtc.ConnectError):
        await Person("ada").join(server.url, room, jwt=old)
    again = await Person("ada").join(server.url, room)
    await leave_all(again, bob)


# covers: RoomService.UpdateParticipant, edge.can_publish_taken_away
async def test_update_participant_changes_metadata_and_permissions(server, room, service):
    ada = await Person("ada").join(server.url, room)
    bob = await Person("bob").join(server.url, room)
    await ada.show()
    await bob.sees("ada")
    await service.update_participant(
        api.UpdateParticipantRequest(
            room=room, identity="ada", metadata="new", attributes={"a": "b"},
            permission=api.ParticipantPermission(can_subscribe=True, can_publish=False, can_publish_data=True),
        )
    )
    await until(lambda: bob.happened("track_unpublished"), "the track to be revoked")
    seen = bob.room.remote_participants["ada"]
    await until(lambda: seen.metadata == "new" and seen.attributes.get("a") == "b", "bob to see the change")
    await leave_all(ada, bob)


# covers: RoomService.UpdateSubscriptions
async def test_update_subscriptions(server, room, service):
    ada = await Person("ada").join(server.url, room)
    publication = await ada.show()
    bob = await Person("bob").join(server.url, room, options=rtc.RoomOptions(auto_subscribe=False))
    await service.update_subscriptions(api.UpdateSubscriptionsRequest(room=room, identity="bob", track_sids=[publication.sid], subscribe=True))
    await bob.sees("ada")
    await leave_all(ada, bob)


# covers: RoomService.SendData, RoomService.UpdateRoomMetadata, out.room_update, sdk.room_metadata
async def test_send_data_and_room_metadata(server, room, service):
    ada = await Person("ada").join(server.url, room)
    bob = await Person("bob").join(server.url, room)
    await service.send_data(api.SendDataRequest(room=room, data=b"news", kind=api.DataPacket.Kind.RELIABLE, topic="t", destination_identities=["bob"]))
    await until(lambda: bob.data, "bob to get the news")
    assert bob.data[0].data == b"news" and bob.data[0].participant is None and not ada.data
    updated = await service.update_room_metadata(api.UpdateRoomMetadataRequest(room=room, metadata="changed"))
    assert updated.metadata == "changed"
    await until(lambda: ada.room.metadata == "changed" and bob.room.metadata == "changed", "both to see it")
    await leave_all(ada, bob)


# covers: twirp.permissions, twirp.json, grant.roomCreate, grant.roomList, grant.roomAdmin
async def test_each_method_needs_its_permission(server, room):
    def jwt(**grants):
        return api.AccessToken(KEY, SECRET).with_identity("back end").with_grants(api.VideoGrants(**grants)).to_jwt()

    calls = [
        ("CreateRoom", {"name": room}, {"room_create": True}),
        ("ListRooms", {}, {"room_list": True}),
        ("ListParticipants", {"room": room}, {"room_admin": True, "room": room}),
        ("UpdateRoomMetadata", {"room": room, "metadata": ""}, {"room_admin": True, "room": room}),
        ("DeleteRoom", {"room": room}, {"room_create": True}),
    ]
    async with aiohttp.ClientSession() as http:

        async def status(method, body, token):
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            async with http.post(f"{server.http}/twirp/livekit.RoomService/{method}", json=body, headers=headers) as answer:
                await answer.read()
                return answer.status

        for method, body, grants in calls:
            assert await status(method, body, None) == 401, method
            assert await status(method, body, jwt(room_join=True, room=room)) in (401, 403), method
            assert await status(method, body, jwt(**grants)) == 200, method
        assert await status("ListParticipants", {"room": "another"}, jwt(room_admin=True, room=room)) in (401, 403)
