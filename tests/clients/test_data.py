"""Data channels: packets, destinations, topics, streams, RPC."""

import asyncio

import pytest
from livekit import rtc

from rig.people import Person, leave_all, until


async def three(server, room, **options):
    people = [Person(name) for name in ("ada", "bob", "carol")]
    for person in people:
        await person.join(server.url, room, options=rtc.RoomOptions(**options))
    for person in people:
        await until(lambda: len(person.room.remote_participants) == 2, f"{person.identity} to see both others")
    return people


# covers: data.user, data.reliable, data.lossy, sdk.data_packets
@pytest.mark.parametrize("reliable", [True, False], ids=["reliable", "lossy"])
@pytest.mark.parametrize("single", [True, False], ids=["single", "dual"])
async def test_a_packet_reaches_everyone_but_its_sender(server, room, reliable, single):
    ada, bob, carol = await three(server, room, single_peer_connection=single)
    n = 0
    # A lossy packet is dropped while its receiver's channel is still opening: those are sent until one has arrived.
    while n < 20 or not (reliable or (bob.data and carol.data)):
        await ada.room.local_participant.publish_data(f"hello {n}", reliable=reliable, topic="greeting")
        n += 1
        assert n < 500
        await asyncio.sleep(0.02)
    for person in (bob, carol):
        await until(lambda: person.data, f"{person.identity} to get data")
        assert person.data[0].topic == "greeting"
        assert person.data[0].participant.identity == "ada"
        if reliable:
            await until(lambda: len(person.data) >= 20, "all packets")
            assert [packet.data.decode() for packet in person.data] == [f"hello {n}" for n in range(20)]
    assert not ada.data
    await leave_all(ada, bob, carol)


# covers: data.destinations
async def test_a_packet_with_destinations_reaches_only_them(server, room):
    ada, bob, carol = await three(server, room)
    await ada.room.local_participant.publish_data("for bob", destination_identities=["bob"])
    await ada.room.local_participant.publish_data("for all")
    await until(lambda: len(bob.data) == 2 and len(carol.data) == 1, "the packets")
    assert bob.data[0].data == b"for bob" and carol.data[0].data == b"for all"
    await leave_all(ada, bob, carol)


# covers: grant.canPublishData
async def test_who_may_not_send_is_not_forwarded(server, room):
    ada, bob = Person("ada"), Person("bob")
    await ada.join(server.url, room, can_publish_data=False)
    await bob.join(server.url, room)
    await until(lambda: ada.room.remote_participants, "ada to see bob")
    await ada.room.local_participant.publish_data("hello")
    await bob.room.local_participant.publish_data("back")
    await until(lambda: ada.data, "bob's packet")
    assert not bob.data
    await leave_all(ada, bob)


# covers: data.stream_header, data.stream_chunk, data.stream_trailer, sdk.text_streams
async def test_text_streams_arrive_whole(server, room):
    ada, bob, carol = await three(server, room)
    texts = []

    def receive(reader, identity):
        bob._spawn(collect(reader, identity))

    async def collect(reader, identity):
        texts.append((identity, await reader.read_all()))

    bob.room.register_text_stream_handler("letters", receive)
    letter = "All work and no play. " * 4_000
    await ada.room.local_participant.send_text(letter, topic="letters")
    await until(lambda: texts, "the letter")
    assert texts[0] == ("ada", letter)
    await leave_all(ada, bob, carol)


# covers: data.transcription
async def test_what_an_agent_writes_down_arrives_and_what_others_claim_does_not(server, room):
    scribe, ada, bob = Person("scribe"), Person("ada"), Person("bob")
    await scribe.join(server.url, room, kind="agent")
    await ada.join(server.url, room)
    await bob.join(server.url, room)
    microphone = await ada.speak()
    await until(lambda: bob.heard["ada"], "bob to hear ada")
    written = []
    bob.room.on("transcription_received", lambda segments, of, track: written.append((of.identity, track.sid, [one.text for one in segments])))

    async def write(author: Person, text: str) -> None:
        segment = rtc.TranscriptionSegment(id=text, text=text, start_time=0, end_time=0, language="en", final=True)
        said = rtc.Transcription(participant_identity="ada", track_sid=microphone.sid, segments=[segment])
        await author.room.local_participant.publish_transcription(said)

    await write(ada, "what nobody said")
    await write(scribe, "good morning")
    await until(lambda: written, "the transcription")
    # It comes after what ada claimed, on the same channel.
    await ada.room.local_participant.publish_data("after it")
    await until(lambda: bob.data, "ada's packet")
    assert written == [("ada", microphone.sid, ["good morning"])]
    await leave_all(scribe, ada, bob)


# covers: data.rpc_request, data.rpc_ack, data.rpc_response, sdk.rpc
async def test_rpc_passes_through(server, room):
    ada, bob, carol = await three(server, room)

    @bob.room.local_participant.register_rpc_method("greet")
    async def greet(call: rtc.RpcInvocationData) -> str:
        return f"hello {call.caller_identity}, you said {call.payload}"

    answer = await ada.room.local_participant.perform_rpc(destination_identity="bob", method="greet", payload="hi")
    assert answer == "hello ada, you said hi"
    await leave_all(ada, bob, carol)
