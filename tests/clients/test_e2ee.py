"""Encryption from end to end, by the SDK itself: who has the key sees, hears and reads; the server and all others do not."""

import pytest
from livekit import rtc

from rig.people import TONE_HZ, Person, leave_all, until

LUMA = 160
# Codecs change a brightness by less, and a window of sound tells a tone to two hertz.
LUMA_TOLERANCE, TONE_TOLERANCE_HZ = 15, 10


def sealed(key: bytes, single: bool) -> rtc.RoomOptions:
    """Options that encrypt media and data."""
    provider = rtc.KeyProviderOptions(shared_key=key)
    return rtc.RoomOptions(encryption=rtc.E2EEOptions(key_provider_options=provider), single_peer_connection=single)


def sees_and_hears(person: Person) -> bool:
    seen = abs(person.luma.get("ada", 0) - LUMA) < LUMA_TOLERANCE
    return seen and abs(person.tone.get("ada", 0) - TONE_HZ) < TONE_TOLERANCE_HZ


# covers: sdk.e2ee, codec.e2ee, data.encrypted_packet
@pytest.mark.parametrize("single", [True, False], ids=["single", "dual"])
async def test_who_has_the_key_sees_hears_and_reads(server, room, single):
    ada, bob, eve = Person("ada"), Person("bob"), Person("eve")
    await ada.join(server.url, room, options=sealed(b"only for us", single))
    await bob.join(server.url, room, options=sealed(b"only for us", single))
    await eve.join(server.url, room, options=sealed(b"a guess", single))
    await until(lambda: len(ada.room.remote_participants) == 2, "ada to see both others")
    await ada.show(LUMA)
    await ada.speak()
    await until(lambda: sees_and_hears(bob), "bob to see and hear ada")
    await ada.room.local_participant.publish_data("for your eyes only", topic="whispers")
    await until(lambda: bob.data, "the packet")
    assert (bob.data[0].data, bob.data[0].topic) == (b"for your eyes only", "whispers")

    def subscribed() -> bool:
        known = eve.room.remote_participants["ada"].track_publications.values()
        return len(known) == 2 and all(one.subscribed for one in known)

    await until(subscribed, "eve to get what ada sends")
    await bob.sees("ada", frames=30)
    assert not sees_and_hears(eve), (eve.luma, eve.tone)
    assert not eve.data
    await leave_all(ada, bob, eve)
