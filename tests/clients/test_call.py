"""A call between PyPI clients, in both modes of the protocol: what is decoded, not what is sent."""

import pytest
from livekit import rtc

from rig.people import TONE_HZ, Person, leave_all, until

SINGLE = rtc.RoomOptions(single_peer_connection=True)
DUAL = rtc.RoomOptions(single_peer_connection=False)


# covers: sdk.single_peer_connection, sdk.dual_peer_connection, sdk.publish_camera, sdk.publish_microphone, codec.vp8
# covers: codec.opus, in.offer, in.add_track, out.track_published
@pytest.mark.parametrize("options", [SINGLE, DUAL], ids=["single", "dual"])
async def test_two_see_and_hear_each_other(server, room, options):
    ada, bob = Person("ada"), Person("bob")
    await ada.join(server.url, room, options=options)
    await bob.join(server.url, room, options=options)
    await ada.show(luma=60)
    await ada.speak()
    await bob.show(luma=200)
    await bob.speak(hertz=880)
    await ada.sees("bob", 10)
    await bob.sees("ada", 10)
    await ada.hears("bob")
    await bob.hears("ada")
    await until(lambda: abs(ada.tone.get("bob", 0) - 880) < 5, "ada to hear bob's 880 Hz")
    await until(lambda: abs(bob.tone.get("ada", 0) - TONE_HZ) < 5, "bob to hear ada's 440 Hz")
    assert abs(ada.luma["bob"] - 200) < 25
    assert abs(bob.luma["ada"] - 70) < 25
    await leave_all(ada, bob)


# covers: sdk.single_peer_connection, sdk.dual_peer_connection
async def test_single_and_dual_clients_meet(server, room):
    ada, bob = Person("ada"), Person("bob")
    await ada.join(server.url, room, options=SINGLE)
    await bob.join(server.url, room, options=DUAL)
    await ada.show()
    await bob.show()
    await ada.sees("bob")
    await bob.sees("ada")
    await leave_all(ada, bob)


# covers: sdk.late_join
async def test_late_joiner_gets_a_picture(server, room):
    ada, bob = Person("ada"), Person("bob")
    await ada.join(server.url, room)
    await ada.show()
    await ada.speak()
    carol = Person("carol")
    await bob.join(server.url, room)
    await bob.sees("ada")
    await carol.join(server.url, room)
    await carol.sees("ada")
    await carol.hears("ada")
    await leave_all(ada, bob, carol)


# covers: sdk.simulcast
async def test_simulcast_reaches_the_highest_layer(server, room):
    ada, bob = Person("ada"), Person("bob")
    await ada.join(server.url, room)
    await bob.join(server.url, room)
    await ada.show(width=640, height=360, simulcast=True)
    await bob.sees("ada")
    await until(lambda: bob.size.get("ada") == (640, 360), "bob to decode 640x360")
    await leave_all(ada, bob)


# covers: out.track_subscribed
async def test_publisher_learns_that_it_is_watched(server, room):
    ada, bob = Person("ada"), Person("bob")
    await ada.join(server.url, room)
    await ada.show()
    await bob.join(server.url, room)
    await until(lambda: ada.happened("local_track_subscribed"), "ada to learn of her subscriber")
    await leave_all(ada, bob)


# covers: in.leave, sdk.participant_events
async def test_leaving_is_seen_by_the_others(server, room):
    ada, bob = Person("ada"), Person("bob")
    await ada.join(server.url, room)
    await bob.join(server.url, room)
    await until(lambda: "bob" in ada.room.remote_participants, "ada to see bob")
    await bob.leave()
    await until(lambda: "bob" not in ada.room.remote_participants, "ada to see bob leave")
    await leave_all(ada)
