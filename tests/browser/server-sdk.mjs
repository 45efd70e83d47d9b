// npm livekit-server-sdk against one server: each method of RoomService and AgentDispatchService as back ends call it, and what they
// get when it can't be done.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { AgentDispatchClient, AccessToken, DataPacket_Kind, RoomServiceClient } from 'livekit-server-sdk';
import WebSocket from 'ws';
import { until } from './expect.mjs';
import { Server } from './server.mjs';
import { token } from './tokens.mjs';

const [KEY, SECRET] = ['devkey', 'secret'];

let server;
let rooms;
let dispatches;
const sockets = [];
// Names of the SDK's methods that are called here.
const called = new Set();

/** A client of the SDK that notes what is called of it. */
const noting = (client) => new Proxy(client, {
  get(target, name) {
    const value = target[name];
    if (typeof value !== 'function') return value;
    called.add(name);
    return value.bind(target);
  },
});

before(async () => {
  server = await Server.start();
  rooms = noting(new RoomServiceClient(server.url, KEY, SECRET));
  dispatches = noting(new AgentDispatchClient(server.url, KEY, SECRET));
});

after(async () => {
  for (const socket of sockets) socket.terminate();
  await server?.stop();
});

const newRoom = () => `room-${randomBytes(6).toString('hex')}`;

/** Somebody in the room, with a signal connection and no media. */
async function enter(room, identity, rest = {}) {
  return join(await token(room, identity, {}, rest), `${identity} to be in ${room}`);
}

async function join(jwt, what) {
  const socket = new WebSocket(`${server.url}/rtc?access_token=${jwt}&protocol=16&sdk=js&version=2.0.0&auto_subscribe=1`);
  sockets.push(socket);
  const heard = [];
  socket.on('message', (message) => heard.push(message));
  socket.on('error', () => {});
  await until(() => heard.length > 0, what);
  return Object.assign(socket, { heard });
}

/** What the SDK makes of a refusal. */
const refused = (status, code) => (error) => {
  assert.equal(error.status, status, error.message);
  assert.equal(error.code, code, error.message);
  assert.ok(error.message.length > 0);
  return true;
};

// covers: RoomService.CreateRoom, RoomService.ListRooms, RoomService.DeleteRoom
test('rooms are created with their settings, listed by name, and deleted', async () => {
  const name = newRoom();
  const made = await rooms.createRoom({ name, emptyTimeout: 61, departureTimeout: 7, maxParticipants: 3, metadata: 'm' });
  assert.match(made.sid, /^RM_/);
  assert.deepEqual([made.name, made.emptyTimeout, made.departureTimeout, made.maxParticipants, made.metadata], [name, 61, 7, 3, 'm']);
  assert.equal(typeof made.creationTime, 'bigint');
  assert.equal((await rooms.createRoom({ name })).sid, made.sid);
  assert.ok((await rooms.listRooms()).some((room) => room.name === name));
  assert.deepEqual((await rooms.listRooms([name, 'nowhere'])).map((room) => room.sid), [made.sid]);
  await rooms.deleteRoom(name);
  assert.deepEqual(await rooms.listRooms([name]), []);
  await assert.rejects(rooms.deleteRoom(name), refused(404, 'not_found'));
});

// covers: RoomService.UpdateRoomMetadata
test("a room's metadata is changed", async () => {
  const name = newRoom();
  await rooms.createRoom({ name });
  assert.equal((await rooms.updateRoomMetadata(name, 'changed')).metadata, 'changed');
  await assert.rejects(rooms.updateRoomMetadata(name, 'x'.repeat(600_000)), refused(400, 'invalid_argument'));
});

// covers: RoomService.ListParticipants, RoomService.GetParticipant, RoomService.UpdateParticipant, RoomService.RemoveParticipant
test('participants are listed, changed and removed', async () => {
  const room = newRoom();
  const socket = await enter(room, 'ada', { metadata: 'first', attributes: { one: '1' } });
  assert.deepEqual((await rooms.listParticipants(room)).map((one) => one.identity), ['ada']);
  const ada = await rooms.getParticipant(room, 'ada');
  assert.match(ada.sid, /^PA_/);
  assert.deepEqual([ada.metadata, ada.attributes], ['first', { one: '1' }]);
  assert.ok(ada.permission.canPublish && ada.joinedAtMs > 0n);
  const changed = await rooms.updateParticipant(room, 'ada', {
    metadata: 'second', name: 'Ada', attributes: { two: '2' }, permission: { canSubscribe: true, canPublish: false, canPublishData: true },
  });
  assert.deepEqual([changed.metadata, changed.name, changed.attributes], ['second', 'Ada', { one: '1', two: '2' }]);
  assert.equal(changed.permission.canPublish, false);
  // As older back ends call it.
  assert.equal((await rooms.updateParticipant(room, 'ada', 'third')).metadata, 'third');
  await rooms.removeParticipant(room, 'ada');
  await until(() => socket.readyState === WebSocket.CLOSED, 'her socket to be closed');
  await assert.rejects(rooms.getParticipant(room, 'ada'), refused(404, 'not_found'));
  await assert.rejects(rooms.removeParticipant(room, 'ada'), refused(404, 'not_found'));
  await assert.rejects(rooms.updateParticipant(room, 'ada', { metadata: '' }), refused(404, 'not_found'));
});

// covers: twirp.errors
test('data is sent, and what is not there can be neither muted nor subscribed to', async () => {
  const room = newRoom();
  await enter(room, 'ada');
  await rooms.sendData(room, new Uint8Array([1, 2, 3]), DataPacket_Kind.RELIABLE, { destinationIdentities: ['ada'], topic: 't' });
  await rooms.sendData(room, new Uint8Array([1]), DataPacket_Kind.LOSSY, {});
  await rooms.sendData(room, new Uint8Array([1]), DataPacket_Kind.LOSSY, []);
  await rooms.updateSubscriptions(room, 'ada', [], true);
  await assert.rejects(rooms.updateSubscriptions(room, 'bob', [], true), refused(404, 'not_found'));
  await assert.rejects(rooms.mutePublishedTrack(room, 'ada', 'TR_x', true), refused(404, 'not_found'));
  await assert.rejects(rooms.sendData('nowhere', new Uint8Array([1]), DataPacket_Kind.LOSSY, {}), refused(404, 'not_found'));
});

// covers: AgentDispatchService.CreateDispatch, AgentDispatchService.ListDispatch, AgentDispatchService.DeleteDispatch
test('agents are dispatched, listed and called off', async () => {
  const room = newRoom();
  const made = await dispatches.createDispatch(room, 'helper', { metadata: 'm' });
  assert.match(made.id, /^AD_/);
  assert.deepEqual([made.agentName, made.room, made.metadata], ['helper', room, 'm']);
  assert.equal(typeof made.state.createdAt, 'bigint');
  assert.deepEqual((await dispatches.listDispatch(room)).map((one) => one.id), [made.id]);
  assert.equal((await dispatches.getDispatch(made.id, room)).agentName, 'helper');
  assert.equal(await dispatches.getDispatch('AD_nothing', room), undefined);
  await dispatches.deleteDispatch(made.id, room);
  assert.deepEqual(await dispatches.listDispatch(room), []);
  await assert.rejects(dispatches.deleteDispatch(made.id, room), refused(404, 'not_found'));
  await assert.rejects(dispatches.listDispatch('nowhere'), refused(404, 'not_found'));
});

// covers: RoomService.MoveParticipant, RoomService.ForwardParticipant, grant.destinationRoom
test('a participant is moved to another room, and forwarding is not offered', async () => {
  const [room, other] = [newRoom(), newRoom()];
  await rooms.createRoom({ name: other });
  const ada = await enter(room, 'ada');
  await assert.rejects(rooms.moveParticipant(room, 'nobody', other), refused(404, 'not_found'));
  await assert.rejects(rooms.moveParticipant(room, 'ada', room), refused(400, 'invalid_argument'));
  await assert.rejects(rooms.moveParticipant('nowhere', 'ada', other), refused(404, 'not_found'));
  await rooms.moveParticipant(room, 'ada', other);
  await until(() => ada.readyState === WebSocket.CLOSED, 'her socket to be closed');
  await assert.rejects(rooms.getParticipant(room, 'ada'), refused(404, 'not_found'));
  // She was given a token for the other room, and starts over there.
  const tokens = ada.heard.flatMap((message) => message.toString('latin1').match(/eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+/g) ?? []);
  const claims = tokens.map((one) => JSON.parse(Buffer.from(one.split('.')[1], 'base64url')));
  assert.deepEqual([claims.at(-1).sub, claims.at(-1).video.room], ['ada', other]);
  await join(tokens.at(-1), 'ada to be in the other room');
  assert.deepEqual((await rooms.listParticipants(other)).map((one) => one.identity), ['ada']);
  await assert.rejects(rooms.forwardParticipant(other, 'ada', room), refused(501, 'unimplemented'));
});

// covers: twirp.permissions, grant.roomAdmin
test("a method is refused without its grant and with another room's", async () => {
  const [mine, other] = [newRoom(), newRoom()];
  await rooms.createRoom({ name: other });
  const bodies = {
    RoomService: {
      CreateRoom: { name: other }, ListRooms: {}, DeleteRoom: { room: other }, ListParticipants: { room: other },
      GetParticipant: { room: other, identity: 'ada' }, RemoveParticipant: { room: other, identity: 'ada' },
      MutePublishedTrack: { room: other, identity: 'ada', track_sid: 'TR_x' }, UpdateParticipant: { room: other, identity: 'ada' },
      UpdateSubscriptions: { room: other, identity: 'ada' }, SendData: { room: other }, UpdateRoomMetadata: { room: other },
      PerformRpc: { room: other, destination_identity: 'ada', method: 'm' },
      MoveParticipant: { room: other, identity: 'ada', destination_room: mine }, ForwardParticipant: { room: other, identity: 'ada', destination_room: mine },
    },
    AgentDispatchService: {
      CreateDispatch: { room: other, agent_name: 'a' }, DeleteDispatch: { room: other, dispatch_id: 'AD_x' }, ListDispatch: { room: other },
    },
  };
  const access = new AccessToken(KEY, SECRET, { identity: 'back end' });
  access.addGrant({ roomAdmin: true, roomJoin: true, room: mine });
  const jwt = await access.toJwt();
  for (const [service, methods] of Object.entries(bodies)) {
    for (const [method, body] of Object.entries(methods)) {
      for (const authorization of [`Bearer ${jwt}`, '']) {
        const answer = await fetch(`http://127.0.0.1:${server.port}/twirp/livekit.${service}/${method}`, {
          method: 'POST', headers: { 'content-type': 'application/json', ...(authorization && { authorization }) }, body: JSON.stringify(body),
        });
        assert.equal(answer.status, 401, method);
        assert.equal(answer.headers.get('content-type'), 'application/json');
        assert.equal((await answer.json()).code, 'unauthenticated', method);
      }
    }
  }
  assert.deepEqual((await rooms.listRooms([other])).length, 1, 'it is still there');
});

// covers: twirp.json
test('answers in JSON have the names of the .proto files, unset fields and 64-bit numbers as texts', async () => {
  const room = newRoom();
  const access = new AccessToken(KEY, SECRET, { identity: 'back end' });
  access.addGrant({ roomAdmin: true, roomCreate: true, room });
  const authorization = `Bearer ${await access.toJwt()}`;
  const call = async (path, body) => {
    const answer = await fetch(`http://127.0.0.1:${server.port}/twirp/livekit.${path}`, {
      method: 'POST', headers: { 'content-type': 'application/json', authorization }, body: JSON.stringify(body),
    });
    assert.equal(answer.status, 200, path);
    return answer.json();
  };
  for (const body of [{ name: room, empty_timeout: 9 }, { name: room, emptyTimeout: 9 }]) {
    const made = await call('RoomService/CreateRoom', body);
    assert.equal(made.empty_timeout, 9);
    assert.equal(typeof made.creation_time, 'string');
    assert.equal(made.num_participants, 0);
  }
  const dispatch = await call('AgentDispatchService/CreateDispatch', { room, agentName: 'a' });
  assert.equal(dispatch.agent_name, 'a');
  assert.equal(dispatch.restart_policy, 'JRP_ON_FAILURE');
  assert.equal(dispatch.state.deleted_at, '0');
  assert.deepEqual(await call('RoomService/DeleteRoom', { room }), {});
});

test('what is no method, what is too long and what is not configured is refused in words', async () => {
  const access = new AccessToken(KEY, SECRET, { identity: 'back end' });
  access.addGrant({ roomCreate: true, roomList: true });
  const authorization = `Bearer ${await access.toJwt()}`;
  const call = async (path, body, method = 'POST') => {
    const answer = await fetch(`http://127.0.0.1:${server.port}/twirp/${path}`, {
      method, headers: { 'content-type': 'application/json', authorization }, body: method === 'POST' ? body : undefined,
    });
    const { code, msg } = await answer.json();
    return [answer.status, code, msg];
  };
  for (const path of ['livekit.RoomService/Explode', 'livekit.Nothing/ListRooms', 'livekit.RoomService', 'a/b/c']) {
    assert.deepEqual((await call(path, '{}')).slice(0, 2), [404, 'bad_route'], path);
  }
  assert.deepEqual((await call('livekit.RoomService/ListRooms', '', 'GET')).slice(0, 2), [404, 'bad_route']);
  const [status, code, message] = await call('livekit.RoomService/ListRooms', ' '.repeat(2 * 1024 * 1024 + 1));
  assert.deepEqual([status, code], [429, 'resource_exhausted']);
  assert.match(message, /2097152/);
  const preset = await call('livekit.RoomService/CreateRoom', JSON.stringify({ name: newRoom(), roomPreset: 'studio' }));
  assert.deepEqual(preset.slice(0, 2), [400, 'invalid_argument']);
  assert.match(preset[2], /studio/);
  await assert.rejects(dispatches.createDispatch(newRoom(), 'a'.repeat(257)), refused(400, 'invalid_argument'));
});

test('a body that swells when it is decoded is refused before that', async () => {
  const access = new AccessToken(KEY, SECRET, { identity: 'back end' });
  access.addGrant({ roomCreate: true });
  const authorization = `Bearer ${await access.toJwt()}`;
  for (const [type, body] of [
    ['application/json', `{"name":"a","agents":[${'{},'.repeat(600_000)}{}]}`],
    // agents, empty ones
    ['application/protobuf', Buffer.alloc(2 * 1024 * 1024, Buffer.from([14 * 8 + 2, 0]))],
  ]) {
    const answer = await fetch(`http://127.0.0.1:${server.port}/twirp/livekit.RoomService/CreateRoom`, {
      method: 'POST', headers: { 'content-type': type, authorization }, body,
    });
    const { code, msg } = await answer.json();
    assert.deepEqual([answer.status, code], [429, 'resource_exhausted']);
    assert.match(msg, /2000 parts.*CreateRoom/);
  }
});

// The last one: it looks back at the others.
test('each method that the SDK has is called above', () => {
  for (const client of [RoomServiceClient, AgentDispatchClient]) {
    const methods = Object.getOwnPropertyNames(client.prototype).filter((name) => name !== 'constructor');
    assert.ok(methods.length > 3);
    assert.deepEqual(methods.filter((name) => !called.has(name)), [], client.name);
  }
});
