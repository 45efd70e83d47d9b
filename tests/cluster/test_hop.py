"""Any member takes a client or a server API call."""

import asyncio
import ssl

import aiohttp
from livekit import api
from livekit.protocol import agent

from rig.people import Person, leave_all, until
from rig.pool import Pool
from rig.server import KEY, SECRET
from rig.tokens import token


async def test_clients_of_three_edges_meet_in_one_room(pool: Pool, room):
    people = [Person(name) for name in ("ada", "bob", "carol")]
    for person, member in zip(people, pool.members):
        await person.join(member.url, room)
        await person.show()
    for person in people:
        for other in people:
            if other is not person:
                await person.sees(other.identity)
    await leave_all(*people)


async def test_the_server_api_answers_for_the_whole_pool_from_any_member(pool: Pool, room):
    ada = await Person("ada").join(pool.members[0].url, room)
    second = await Person("bob").join(pool.members[1].url, f"{room}-2")
    for member in pool.members:
        client = api.LiveKitAPI(member.http, KEY, SECRET)
        rooms = await client.room.list_rooms(api.ListRoomsRequest())
        assert {r.name for r in rooms.rooms} == {room, f"{room}-2"}, member.name
        assert next(r for r in rooms.rooms if r.name == room).num_participants == 1
        listed = await client.room.list_participants(api.ListParticipantsRequest(room=room))
        assert [p.identity for p in listed.participants] == ["ada"]
        await client.room.update_room_metadata(api.UpdateRoomMetadataRequest(room=room, metadata=member.name))
        await client.aclose()
    await until(lambda: ada.room.metadata == pool.members[-1].name, "the last metadata")
    await leave_all(ada, second)


async def test_the_internal_port_needs_the_secret(pool: Pool):
    address = pool.members[0].environment["PLENUM_INTERNAL_ADDRESS"]
    async with aiohttp.ClientSession() as http:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            async with http.get(f"http://{address}/internal/v1/member", headers=headers) as answer:
                assert answer.status == 401
        async with http.get(f"{pool.members[0].http}/internal/v1/member") as answer:
            assert answer.status == 404


async def test_only_the_admin_port_shows_metrics_and_health(pool: Pool):
    member = pool.members[0]
    admin = f"http://127.0.0.1:{member.admin_port}"
    async with aiohttp.ClientSession() as http:
        for path, public, private in (
            ("/metrics", 404, 200),
            ("/health", 404, 200),
            ("/health/info", 404, 200),
            ("/health/ready", 200, 200),
            ("/health/live", 200, 200),
            ("/rtc/validate", 401, 404),
        ):
            for base, status in ((member.http, public), (admin, private)):
                async with http.get(base + path) as answer:
                    assert answer.status == status, (base, path)


async def test_nginx_in_front(pool: Pool, room):
    nginx = pool.start_nginx()
    trust = ssl.create_default_context(cafile=str(nginx.folder / "tls.crt"))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as http:
        base = f"https://127.0.0.1:{nginx.port}"
        async with http.get(f"{base}/health") as answer:
            assert answer.status == 200
        async with http.get(f"{base}/metrics") as answer:
            assert answer.status == 404
        jwt = token(room, "ada")
        async with http.ws_connect(f"{base}/rtc?access_token={jwt}&protocol=16&sdk=go&auto_subscribe=1", max_msg_size=0) as socket:
            first = await asyncio.wait_for(socket.receive(), 10)
            assert first.type == aiohttp.WSMsgType.BINARY and len(first.data) > 100
            # Silent for longer than proxy_read_timeout: the member's pings keep it open.
            await asyncio.sleep(7)
            await socket.send_bytes(b"\x70\x01")  # SignalRequest.ping = 1
            while (await asyncio.wait_for(socket.receive(), 10)).type != aiohttp.WSMsgType.BINARY:
                pass
            assert not socket.closed
        # Workers of agents come in here, too.
        worker = api.AccessToken(KEY, SECRET).with_grants(api.VideoGrants(agent=True)).to_jwt()
        async with http.ws_connect(f"{base}/agent?protocol=1", headers={"Authorization": f"Bearer {worker}"}) as socket:
            await socket.send_bytes(agent.WorkerMessage(register=agent.RegisterWorkerRequest(agent_name="fork")).SerializeToString())
            answer = agent.ServerMessage.FromString(await asyncio.wait_for(socket.receive_bytes(), 10))
            assert answer.register.worker_id.startswith("AW_")
        async with http.get(f"{base}/rtc/validate?access_token={jwt}{'&pad=' + 'x' * 60_000}") as answer:
            assert answer.status == 200
    # nginx logs a request after it has answered it.
    await until(lambda: "/rtc/validate" in nginx.process.log.read_text(), "nginx to log the last request")
    log = nginx.process.log.read_text()
    assert "access_token" not in log and jwt not in log
