"""PerformRpc: a back end calls methods of participants."""

import aiohttp
import asyncio

import pytest
from livekit import api, rtc

from rig.people import Person, leave_all, until
from rig.server import KEY, SECRET


async def perform(server, room, identity, method, payload="", timeout_ms=0):
    """Status and body of the call. The Python SDK has no method for it yet."""
    jwt = api.AccessToken(KEY, SECRET).with_grants(api.VideoGrants(room_admin=True, room=room)).to_jwt()
    body = {"room": room, "destination_identity": identity, "method": method, "payload": payload, "response_timeout_ms": timeout_ms}
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{server.http}/twirp/livekit.RoomService/PerformRpc", json=body, headers={"Authorization": f"Bearer {jwt}"}) as answer:
            return answer.status, await answer.json()


# covers: RoomService.PerformRpc
async def test_a_method_is_called_and_answers(server, room):
    ada, bob = Person("ada"), Person("bob")
    for person in (ada, bob):
        await person.join(server.url, room)
    callers = []

    @ada.room.local_participant.register_rpc_method("greet")
    async def greet(call: rtc.RpcInvocationData) -> str:
        callers.append(call.caller_identity)
        return f"hello, you said {call.payload}"

    assert await perform(server, room, "ada", "greet", "hi") == (200, {"payload": "hello, you said hi"})
    assert len(callers) == 1 and callers[0] not in ("ada", "bob")
    # The participants' own calls still work beside it.
    assert await bob.room.local_participant.perform_rpc(destination_identity="ada", method="greet", payload="yo") == "hello, you said yo"
    await leave_all(ada, bob)


# covers: RoomService.PerformRpc
async def test_errors_have_twirps_codes(server, room):
    ada = Person("ada")
    await ada.join(server.url, room)

    @ada.room.local_participant.register_rpc_method("fail")
    async def fail(call: rtc.RpcInvocationData) -> str:
        raise rtc.RpcError(4711, "no such planet", "data")

    @ada.room.local_participant.register_rpc_method("sleep")
    async def sleep(call: rtc.RpcInvocationData) -> str:
        await asyncio.sleep(30)
        return ""

    async def failure(*what, **more):
        status, body = await perform(server, room, *what, **more)
        return status, body["code"], body["msg"]

    assert await failure("ada", "fail") == (500, "internal", "RpcError 4711: no such planet: data")
    status, code, text = await failure("ada", "nothing")
    assert (status, code) == (400, "invalid_argument") and text.startswith("RpcError 1400")
    status, code, text = await failure("ada", "sleep", timeout_ms=1500)
    assert (status, code) == (408, "canceled") and text.startswith("RpcError 1502")
    status, code, text = await failure("ada", "fail", "x" * 16_000)
    assert (status, code) == (400, "malformed") and text.startswith("RpcError 1402")
    assert (await failure("nobody", "fail"))[:2] == (404, "not_found")
    assert (await failure("ada", "fail", timeout_ms=3_600_000))[:2] == (400, "invalid_argument")
    await leave_all(ada)


async def test_who_leaves_answers_no_more(server, room):
    ada, bob = Person("ada"), Person("bob")
    for person in (ada, bob):
        await person.join(server.url, room)
    called = []

    @ada.room.local_participant.register_rpc_method("sleep")
    async def sleep(call: rtc.RpcInvocationData) -> str:
        called.append(call)
        await asyncio.sleep(30)
        return ""

    waiting = asyncio.ensure_future(perform(server, room, "ada", "sleep", timeout_ms=20_000))
    await until(lambda: called, "the call to arrive")
    await ada.leave()
    status, body = await waiting
    assert (status, body["code"]) == (503, "unavailable") and body["msg"].startswith("RpcError 1503")
    await leave_all(bob)
