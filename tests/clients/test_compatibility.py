"""The inventory behind docs/compatibility.md names everything that the packages of LiveKit's clients know: a new message can't be forgotten."""

import dataclasses
import inspect
import re
import tomllib

import pytest
from livekit import api
from livekit.protocol import agent, models, rtc

from rig.paths import ROOT

SECTIONS = {section["key"]: set(section["items"]) for section in tomllib.loads((ROOT / "tests/compatibility/inventory.toml").read_text())["section"]}


@pytest.mark.parametrize(
    "section, message",
    [
        ("in", rtc.SignalRequest),
        ("out", rtc.SignalResponse),
        ("simulate", rtc.SimulateScenario),
        ("data", models.DataPacket),
        ("worker", agent.WorkerMessage),
        ("job", agent.ServerMessage),
    ],
)
def test_every_message_is_in_the_inventory(section, message):
    # Fields outside of a oneof, such as a sequence number, belong to no message of their own.
    known = {field.name for oneof in message.DESCRIPTOR.oneofs for field in oneof.fields if len(oneof.fields) > 1}
    assert known and known <= SECTIONS[section], known - SECTIONS[section]


@pytest.mark.parametrize("section, service", [("RoomService", "room_service"), ("AgentDispatchService", "agent_dispatch_service")])
def test_every_method_is_in_the_inventory(section, service):
    called = set(re.findall(r'^\s+"([A-Z]\w+)",$', inspect.getsource(getattr(api, service)), re.M))
    assert called and called <= SECTIONS[section], called - SECTIONS[section]


def test_every_grant_is_in_the_inventory():
    words = [field.name.split("_") for field in dataclasses.fields(api.VideoGrants)]
    known = {first + "".join(word.capitalize() for word in rest) for first, *rest in words}
    assert known <= SECTIONS["grant"], known - SECTIONS["grant"]
