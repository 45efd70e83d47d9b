"""What a token says of its participant, and what the server says of everybody."""

import pytest
from livekit import api, rtc

from rig.people import Person, leave_all, until
from rig.server import KEY, SECRET


@pytest.fixture
async def service(server):
    client = api.LiveKitAPI(server.http, KEY, SECRET)
    yield client.room
    await client.aclose()


# covers: grant.name, grant.metadata, grant.attributes, grant.kind
async def test_claims_of_a_token_are_seen_by_the_others(server, room):
    ada, bob = Person("ada"), Person("bob")
    await bob.join(server.url, room)
    await ada.join(server.url, room, name="Ada L.", metadata="seat 7", attributes={"mood": "calm"}, kind="agent")
    await until(lambda: "ada" in bob.room.remote_participants, "bob to see ada")
    seen = bob.room.remote_participants["ada"]
    assert (seen.name, seen.metadata, seen.attributes["mood"]) == ("Ada L.", "seat 7", "calm")
    assert seen.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
    await leave_all(ada, bob)


# covers: edge.version_grows, edge.joined_at_in_both_units, RoomService.GetParticipant, RoomService.UpdateParticipant
async def test_the_version_of_a_participant_grows_with_each_change(server, room, service):
    ada = await Person("ada").join(server.url, room)
    who = api.RoomParticipantIdentity(room=room, identity="ada")
    before = await service.get_participant(who)
    assert before.joined_at > 0 and before.joined_at == before.joined_at_ms // 1000
    for metadata in ("one", "two"):
        await service.update_participant(api.UpdateParticipantRequest(room=room, identity="ada", metadata=metadata))
        after = await service.get_participant(who)
        assert after.version > before.version and after.metadata == metadata
        before = after
    await leave_all(ada)


# covers: data.sip_dtmf
async def test_digits_of_a_telephone_arrive(server, room):
    ada, bob = Person("ada"), Person("bob")
    digits = []
    bob.room.on("sip_dtmf_received", lambda digit: digits.append((digit.participant.identity, digit.code, digit.digit)))
    await ada.join(server.url, room)
    await bob.join(server.url, room)
    await until(lambda: "bob" in ada.room.remote_participants and "ada" in bob.room.remote_participants, "both to see each other")
    await ada.room.local_participant.publish_dtmf(code=5, digit="5")
    await until(lambda: digits, "the digit")
    assert digits == [("ada", 5, "5")]
    await leave_all(ada, bob)
