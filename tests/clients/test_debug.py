"""What an operator of one process sees: why nothing flows, the log by sid, and the metrics of media."""

import json
import re
import urllib.request

import pytest
from livekit import api

from rig.people import Person, leave_all, until
from rig.server import KEY, SECRET, Server


def ask(server: Server, path: str) -> dict:
    """What the server shows to somebody who may list rooms."""
    jwt = api.AccessToken(KEY, SECRET).with_grants(api.VideoGrants(room_list=True)).to_jwt()
    request = urllib.request.Request(f"{server.http}{path}", headers={"authorization": f"Bearer {jwt}"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def of(view: dict, identity: str) -> dict:
    """One participant of a room."""
    return next(one for one in view["participants"] if one["identity"] == identity)


async def test_a_python_call_is_shown_with_what_flows(server, room):
    ada, bob = Person("ada"), Person("bob")
    await ada.join(server.url, room)
    await bob.join(server.url, room)
    published = await ada.show()
    await bob.sees("ada")

    def flowing() -> dict | None:
        view = ask(server, f"/debug/rooms/{room}")
        rows = of(view, "bob")["subscriptions"]
        return view if rows and rows[0]["rate"]["packets"] > 0 else None

    view = await until(flowing, "the rate of the camera to be measured")
    track = of(view, "ada")["tracks"][0]
    assert track["sid"] == published.sid
    assert track["layers"][0]["live"] and track["layers"][0]["rate"]["bits"] > 1000
    row = of(view, "bob")["subscriptions"][0]
    assert (row["track"], row["publisher"], row["why"]) == (published.sid, "ada", None)
    connection = of(view, "bob")["transports"][0]
    assert connection["connected"] and connection["srtp"].startswith("AEAD_AES_")
    assert any(decision["what"] == {"began": 0} for decision in connection["decisions"])
    await leave_all(ada, bob)


# covers: why.permission
async def test_who_may_not_subscribe_reads_permission(server, room):
    ada, bob = Person("ada"), Person("bob")
    await ada.join(server.url, room)
    await bob.join(server.url, room, can_subscribe=False)
    await ada.speak()
    rows = await until(lambda: of(ask(server, f"/debug/rooms/{room}"), "bob")["subscriptions"], "a row about the microphone")
    assert [row["why"] for row in rows] == ["permission"]
    await leave_all(ada, bob)


@pytest.fixture
def logging_server():
    server = Server("sfu-log", PLENUM_LOG_JSON="true", LOG_LEVEL="debug").start()
    yield server
    server.stop()


def named(line: dict, field: str) -> str | None:
    """A field of a line, or of the spans around it."""
    for part in [line.get("fields", {}), *line.get("spans", [])]:
        if field in part:
            return part[field]
    return None


async def test_a_room_and_its_participants_can_be_followed_in_the_log_by_sid(logging_server, room):
    ada, bob = Person("ada"), Person("bob")
    await ada.join(logging_server.url, room)
    await bob.join(logging_server.url, room)
    await ada.speak()
    await bob.hears("ada")
    room_sid = await ada.room.sid
    sids = {"ada": ada.room.local_participant.sid, "bob": bob.room.local_participant.sid}
    other = Person("carol")
    await other.join(logging_server.url, f"{room}-other")
    await leave_all(ada, bob, other)

    def lines() -> list[dict]:
        text = logging_server.process.log.read_text()
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def of_room() -> list[dict]:
        return [line for line in lines() if named(line, "room_sid") == room_sid]

    def messages(some: list[dict]) -> list[str]:
        return [line["fields"]["message"] for line in some]

    await until(lambda: messages(of_room()).count("participant left") == 2, "the log to say that both left")
    assert messages(of_room())[0] == "room opened"
    assert all(named(line, "room") == room for line in of_room())
    for identity, sid in sids.items():
        followed = messages([line for line in of_room() if named(line, "participant_sid") == sid])
        assert followed[0] == "participant joined", followed
        assert "participant active" in followed and followed[-1] == "participant left", followed
        assert ("track published" in followed) == (identity == "ada"), followed
    # Whatever is said of this room or its participants says which: no line is lost for who looks for a sid.
    for line in lines():
        text = json.dumps(line)
        if f'"{room}"' in text or any(sid in text for sid in sids.values()):
            is_socket = any(span.get("name") == "socket" for span in line.get("spans", []))
            assert is_socket or named(line, "room_sid") == room_sid, line


def readings(server: Server) -> dict[str, float]:
    """All samples of /metrics by name with labels."""
    with urllib.request.urlopen(f"{server.http}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    samples = re.findall(r"^(plenum_\S+?(?:\{[^}]*\})?) (\S+)$", text, re.M)
    return {name: float(value) for name, value in samples}


async def test_a_call_is_counted(server, room):
    ada, bob = Person("ada"), Person("bob")
    await ada.join(server.url, room)
    await ada.speak()
    await until(lambda: of(ask(server, f"/debug/rooms/{room}"), "ada")["tracks"], "the microphone to be in the room")
    await bob.join(server.url, room)
    await bob.hears("ada")

    def counted() -> dict | None:
        now = readings(server)
        return now if now["plenum_forward_delay_seconds_count"] > 0 and now["plenum_transports"] >= 2 else None

    now = await until(counted, "the counters of media")
    assert now["plenum_shards"] >= 1 and now["plenum_shards_running"] == now["plenum_shards"]
    assert now["plenum_rooms"] >= 1 and now["plenum_participants"] >= 2
    assert now["plenum_tracks"] >= 1 and now["plenum_subscriptions"] >= 1
    assert sum(value for name, value in now.items() if name.startswith("plenum_transports_connected_total")) >= 2
    assert now['plenum_forward_delay_seconds_bucket{le="+Inf"}'] == now["plenum_forward_delay_seconds_count"]
    assert now['plenum_media_packets_dropped_total{queue="video",reason="full"}'] >= 0
    assert now['plenum_media_packets_refused_total{reason="contested_path"}'] == 0
    for step in ("answered", "connected", "first_media"):
        assert now[f'plenum_join_duration_seconds_count{{step="{step}"}}'] >= 1, step
    assert now["plenum_process_resident_memory_bytes"] > 1e6
    assert now["plenum_process_cpu_seconds_total"] > 0
    assert now["plenum_process_uptime_seconds"] > 0
    assert "\x1b" not in server.process.log.read_text(), "colours in a file"
    await leave_all(ada, bob)
