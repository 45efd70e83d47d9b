"""The chart on a real node: install, calls, crashes, scale, deletion, uninstall. The tests build on each other, in this order."""

import asyncio
import json
import math
import os
import signal
import time

from livekit import rtc

from rig.gaps import WINDOW, figure, gap, keep, percentile
from rig.people import Person, leave_all, until
from rig.process import wait_for

PLENUM = "plenum.dev/v1alpha1"
# Calls that ended although nobody wanted it, over all tests of this file.
LOST: list[str] = []


def room_resource(name: str, **spec) -> dict:
    return {"apiVersion": PLENUM, "kind": "Room", "metadata": {"name": name}, "spec": {"poolRef": {"name": "default"}} | spec}


def status(node, room: str) -> dict:
    return node.get("room", room).get("status", {})


async def placed(node, room: str, not_on: str | None = None) -> dict:
    def home():
        now = status(node, room)
        assigned = now.get("assignment", {}).get("node")
        return now if assigned and assigned != not_on and now.get("phase") in ("Assigned", "Active") else None

    return await until(home, f"room {room} to be placed", 60)


async def call(node, room: str, names=("ada", "bob", "carol")) -> list[Person]:
    people = [Person(name) for name in names]
    for person in people:
        await person.join(node.url(), room, jwt=node.token(room, person.identity))
        await person.show()
    await seen(people)
    return people


async def seen(people: list[Person]) -> None:
    for person in people:
        for other in people:
            if other is not person:
                await person.sees(other.identity, 10)


def gaps(people: list[Person], fault: float, window: float = WINDOW) -> list[float]:
    found = [gap(p.seen[o.identity], fault, window) for p in people for o in people if o is not p]
    LOST.extend(p.identity for p in people if any(math.isinf(gap(p.seen[o.identity], fault, window)) for o in people if o is not p))
    return found


async def test_install_gives_a_call(node, installed, room):
    node.apply(room_resource(room))
    people = await call(node, room, ("ada", "bob"))
    figure("install_to_first_call_seconds", time.monotonic() - installed, "s", "90")
    now = await placed(node, room)
    assert now["epoch"] > 0 and now["assignment"]["url"]
    await until(lambda: status(node, room).get("participants") == 2, "the status to count two participants", 30)
    await leave_all(*people)


async def test_an_upgrade_keeps_keys_secret_and_call(node, installed, room):
    def secrets() -> dict:
        return {name: node.get("secret", name)["data"] for name in ("plenum-api-keys", "plenum-cluster")}

    node.apply(room_resource(room))
    before = secrets()
    jwt = node.token(room, "carol")
    people = await call(node, room, ("ada", "bob"))
    fault = time.monotonic()
    node.helm_install(**{"operator.logLevel": "debug"})
    assert secrets() == before
    assert len(json.loads(node.run("helm", "history", "plenum", "-n", "default", "-o", "json"))) == 2
    await asyncio.sleep(max(0.0, WINDOW - (time.monotonic() - fault)))
    gaps(people, fault)
    # A token from before the upgrade is still one.
    carol = await Person("carol").join(node.url(), room, jwt=jwt)
    await carol.sees("ada", 10)
    await leave_all(*people, carol)


async def test_scale_up_keeps_the_call(node, installed, room):
    node.apply(room_resource(room))
    people = await call(node, room)
    fault = time.monotonic()
    node.kubectl("scale", "mediapool", "default", "--replicas", "3")
    wait_for(lambda: len(node.serving()) == 3, 60, "three members to serve")
    await asyncio.sleep(max(0.0, WINDOW - (time.monotonic() - fault)))
    gaps(people, fault)
    await leave_all(*people)


async def test_a_crash_moves_the_room(node, installed, room):
    wait_for(lambda: len(node.serving()) == 3, 60, "three members to serve")
    found = []
    for n in range(4):
        name = f"{room}-{n}"
        node.apply(room_resource(name))
        before = await placed(node, name)
        people = await call(node, name)
        await asyncio.sleep(WINDOW - 5)
        pid = node.process_of(before["assignment"]["node"])
        fault = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(WINDOW)
        found += gaps(people, fault)
        after = await placed(node, name, not_on=before["assignment"]["node"])
        assert after["epoch"] > before["epoch"]
        await seen(people)
        await leave_all(*people)
        wait_for(lambda: len(node.serving()) == 3, 60, "the dead member to be replaced")
    keep("k8s_crash_gap", found)
    figure("k8s_crash_gap_p95", percentile(found, 0.95), "s", "2.5")
    assert all(math.isfinite(one) for one in found), found


async def test_scale_down_drains_the_emptiest_and_loses_no_call(node, installed, room):
    wait_for(lambda: len(node.serving()) == 3, 60, "three members to serve")
    node.apply(room_resource(room))
    people = await call(node, room)
    fault = time.monotonic()
    node.kubectl("scale", "mediapool", "default", "--replicas", "1")
    wait_for(lambda: len(node.get("pods", None)["items"]) and len(node.serving()) == 1, 90, "one member to be left")
    await asyncio.sleep(2)
    window = time.monotonic() - fault
    gaps(people, fault, window)
    await seen(people)
    await leave_all(*people)


async def test_operator_and_redis_may_die(node, installed, room):
    node.apply(room_resource(room))
    people = await call(node, room)
    fault = time.monotonic()
    node.kubectl("delete", "pods", "-l", "app.kubernetes.io/component=operator", "--grace-period=0", "--force", "--wait=false")
    node.kubectl("delete", "pods", "-l", "app.kubernetes.io/component=redis", "--grace-period=0", "--force", "--wait=false")
    await asyncio.sleep(WINDOW)
    gaps(people, fault)
    await seen(people)
    wait_for(lambda: node.run("kubectl", "rollout", "status", "deployment/plenum-operator", "--timeout=60s"), 60, "the operator to be back")
    await leave_all(*people)


async def test_a_deleted_room_tells_its_participants(node, installed, room):
    node.apply(room_resource(room))
    people = await call(node, room, ("ada", "bob"))
    node.kubectl("delete", "room", room, "--timeout=30s")
    for person in people:
        await until(lambda: person.happened("disconnected"), f"{person.identity} to be told")
        assert person.happened("disconnected")[0][0] == rtc.DisconnectReason.ROOM_DELETED
    await leave_all(*people)


async def test_no_call_was_lost(installed):
    figure("k8s_calls_lost", len(LOST), "calls", "0")
    assert not LOST


async def test_uninstall_during_a_call_leaves_only_the_crds(node, installed, room):
    node.apply(room_resource(room))
    people = await call(node, room, ("ada", "bob"))
    seconds = node.helm_uninstall()
    figure("uninstall_seconds", seconds, "s", "60")
    await leave_all(*people)
    for kind in ("mediapools", "medianodes", "rooms", "pods", "deployments", "secrets", "roles", "rolebindings", "leases"):
        wait_for(lambda: not node.get(kind)["items"], 30, f"all {kind} to be gone")
    assert "mediapools.plenum.dev" in node.kubectl("get", "crds", "-o", "name")
