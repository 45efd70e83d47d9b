"""Mute, metadata, permissions, identity: what participants tell each other about themselves."""

import asyncio

import pytest
from livekit import rtc

from rig.people import Person, leave_all, until
from rig.tokens import token


async def pair(server, room, **grants):
    ada, bob = Person("ada"), Person("bob")
    await ada.join(server.url, room, **grants)
    await bob.join(server.url, room)
    await until(lambda: "ada" in bob.room.remote_participants, "bob to see ada")
    return ada, bob


# covers: in.mute, sdk.mute
async def test_mute_and_unmute_are_seen(server, room):
    ada, bob = await pair(server, room)
    publication = await ada.speak()
    await bob.hears("ada")
    publication.track.mute()
    await until(lambda: bob.happened("track_muted"), "bob to see the mute")
    publication.track.unmute()
    await until(lambda: bob.happened("track_unmuted"), "bob to see the unmute")
    await bob.hears("ada")
    await leave_all(ada, bob)


# covers: sdk.unpublish, edge.sections_are_used_again
async def test_unpublish_is_seen_and_the_section_is_used_again(server, room):
    ada, bob = await pair(server, room)
    publication = await ada.show(luma=60)
    await bob.sees("ada")
    await ada.room.local_participant.unpublish_track(publication.sid)
    await until(lambda: bob.happened("track_unpublished"), "bob to see the unpublish")
    await ada.show(luma=200)
    await until(lambda: bob.luma.get("ada", 0) > 150, "bob to see the new track")
    await leave_all(ada, bob)


# covers: in.update_metadata, out.update, sdk.participant_metadata
async def test_metadata_name_and_attributes_reach_the_others(server, room):
    ada, bob = await pair(server, room, can_update_own_metadata=True)
    await ada.room.local_participant.set_metadata("hello")
    await ada.room.local_participant.set_name("Ada L.")
    await ada.room.local_participant.set_attributes({"mood": "good"})
    seen = bob.room.remote_participants["ada"]
    await until(lambda: (seen.metadata, seen.name, seen.attributes.get("mood")) == ("hello", "Ada L.", "good"), "bob to see all three")
    await leave_all(ada, bob)


# covers: grant.canUpdateOwnMetadata
async def test_metadata_needs_its_grant(server, room):
    ada, bob = await pair(server, room)
    # This client does not pass on the server's refusal; what counts is that nobody sees the change.
    await ada.room.local_participant.set_metadata("hello")
    await ada.room.local_participant.publish_data("after it")
    await until(lambda: bob.data, "bob to get what ada sent afterwards")
    assert bob.room.remote_participants["ada"].metadata == ""
    await leave_all(ada, bob)


# covers: out.speakers_changed, sdk.active_speakers
async def test_speakers_are_told(server, room):
    ada, bob = await pair(server, room)
    await ada.speak()
    await until(
        lambda: any(any(p.identity == "ada" for p in speakers) for (speakers,) in bob.happened("active_speakers_changed")), "ada to be the speaker"
    )
    await leave_all(ada, bob)


# covers: out.leave, sdk.duplicate_identity
async def test_same_identity_replaces_the_older_session(server, room):
    ada, bob = await pair(server, room)
    again = Person("ada")
    await again.join(server.url, room)
    await until(lambda: ada.happened("disconnected"), "the older session to end")
    assert ada.happened("disconnected")[0][0] == rtc.DisconnectReason.DUPLICATE_IDENTITY
    await again.show()
    await bob.sees("ada")
    await leave_all(again, bob)


# covers: grant.hidden
async def test_hidden_participant_sees_and_is_not_seen(server, room):
    ada, bob = await pair(server, room)
    ghost = Person("ghost")
    await ghost.join(server.url, room, hidden=True, can_publish=False)
    await ada.show()
    await ghost.sees("ada")
    await bob.sees("ada")
    assert "ghost" not in bob.room.remote_participants
    await leave_all(ada, bob, ghost)


# covers: grant.canPublish
async def test_who_may_not_publish_is_told(server, room):
    ada = Person("ada")
    await ada.join(server.url, room, can_publish=False)
    with pytest.raises(Exception):
        await asyncio.wait_for(ada.show(), 15)
    await leave_all(ada)


# covers: grant.canSubscribe
async def test_who_may_not_subscribe_gets_no_media(server, room):
    ada, bob, carol = Person("ada"), Person("bob"), Person("carol")
    await ada.join(server.url, room)
    await bob.join(server.url, room, can_subscribe=False)
    await carol.join(server.url, room)
    await ada.show()
    await carol.sees("ada")
    assert not bob.seen["ada"]
    await leave_all(ada, bob, carol)


# covers: in.subscription, sdk.auto_subscribe_off
async def test_subscribing_by_hand(server, room):
    ada, bob = Person("ada"), Person("bob")
    await ada.join(server.url, room)
    await bob.join(server.url, room, options=rtc.RoomOptions(auto_subscribe=False))
    await ada.show()
    await until(lambda: bob.room.remote_participants.get("ada") and bob.room.remote_participants["ada"].track_publications, "the publication")
    assert not bob.seen["ada"]
    publication = next(iter(bob.room.remote_participants["ada"].track_publications.values()))
    publication.set_subscribed(True)
    await bob.sees("ada")
    publication.set_subscribed(False)
    await until(lambda: not publication.subscribed, "the subscription to end")
    count = len(bob.seen["ada"])
    await asyncio.sleep(1)
    assert len(bob.seen["ada"]) <= count + 3
    publication.set_subscribed(True)
    await bob.sees("ada")
    await leave_all(ada, bob)


# covers: grant.roomJoin, sdk.connection_errors
async def test_tokens_of_the_wrong_kind_are_refused(server, room):
    for jwt in ("", "nonsense", token(room, "ada", secret="not the secret, but long enough for it"), token(room, "ada", room_join=False)):
        with pytest.raises(rtc.ConnectError):
            await Person("ada").join(server.url, room, jwt=jwt)
