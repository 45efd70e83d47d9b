// What else livekit-client can ask for: permissions between participants and by the server, files, chat.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RoomServiceClient, TrackSource } from 'livekit-server-sdk';
import { figure, pause, until } from './expect.mjs';
import { acquainted } from './person.mjs';
import { callStage, newRoom } from './stage.mjs';
import { KEY, SECRET, token } from './tokens.mjs';

const PATIENT = { within: 20_000 };
/** How long one waits for what must not come. */
const QUIET_MS = 1_000;
/** Over which frames are counted: twelve of the slowest, of 3.75 a second. */
const COUNTED_MS = 3_200;

const stage = callStage();

// covers: in.subscription_permission, out.subscription_permission_update, sdk.subscription_permissions
test('a publisher decides who may subscribe, and changes its mind', async () => {
  const [, [ada, bob, carol]] = await call('ada', 'bob', 'carol');
  await ada.do(() =>
    window.client.room.localParticipant.setTrackSubscriptionPermissions(false, [{ participantIdentity: 'carol', allowAll: true }]),
  );
  await ada.paints(60);
  await carol.seesLuma(ada, 60, PATIENT);
  await pause(QUIET_MS);
  assert.equal(await bob.inbound(ada, 'video'), null);
  await ada.do(() => window.client.room.localParticipant.setTrackSubscriptionPermissions(true));
  await bob.seesLuma(ada, 60, PATIENT);
  await ada.do(() => window.client.room.localParticipant.setTrackSubscriptionPermissions(false));
  await bob.event('trackUnsubscribed', PATIENT);
});

// covers: in.track_setting, sdk.video_fps
test('a subscriber gets fewer frames if it asks for fewer, and all again', async () => {
  const [room, [ada, bob]] = await call('ada', 'bob');
  await ada.show();
  await bob.sees(ada, PATIENT);
  const rate = async () => {
    const before = await bob.inbound(ada, 'video');
    await pause(COUNTED_MS);
    const after = await bob.inbound(ada, 'video');
    return ((after.framesDecoded - before.framesDecoded) * 1_000) / (after.timestamp - before.timestamp);
  };
  const want = (fps) => bob.do((fps) => window.client.publication('ada', 'video').setVideoFPS(fps), fps);
  let measured;
  const settled = (good, what) =>
    until(async () => good((measured = await rate())), what, {
      within: 40_000,
      diagnose: async () => ({ measured, ...(await flows(room)) }),
    });

  await settled((fps) => fps > 9, 'most of the 15 frames a second');
  figure('video_fps_of_all_frames', measured, 'fps', 15);
  const full = measured;
  // The camera's three temporal layers have 3.75, 7.5 and 15 frames a second, up to each.
  await want(3);
  await settled((fps) => fps > 1 && fps < full / 2, 'less than half of the frames');
  figure('video_fps_of_3_wanted', measured, 'fps', 3.75);
  await want(15);
  await settled((fps) => fps > 0.75 * full, 'most of the frames again');
});

// covers: data.stream_header, data.stream_chunk, data.stream_trailer, sdk.byte_streams
test('a file arrives whole', async () => {
  const [, [ada, bob]] = await call('ada', 'bob');
  await bob.do(() => {
    window.client.room.registerByteStreamHandler('files', async (reader) => {
      const parts = await reader.readAll();
      window.file = { name: reader.info.name, bytes: [...new Uint8Array(await new Blob(parts).arrayBuffer())] };
    });
  });
  await ada.do(() => {
    const bytes = Uint8Array.from({ length: 100_000 }, (_, at) => (at * 31) % 251);
    return window.client.room.localParticipant.sendFile(new File([bytes], 'a.bin'), { topic: 'files' }).then(() => null);
  });
  const file = await until(() => bob.do(() => window.file), 'the file', PATIENT);
  assert.equal(file.name, 'a.bin');
  assert.deepEqual(file.bytes, Array.from({ length: 100_000 }, (_, at) => (at * 31) % 251));
});

// covers: data.chat_message, sdk.chat
test('a chat message arrives', async () => {
  const [, [ada, bob]] = await call('ada', 'bob');
  await bob.do(() => {
    window.client.room.on('chatMessage', (message, from) => (window.chat = [from.identity, message.message]));
  });
  await ada.do(() => window.client.room.localParticipant.sendChatMessage('good morning').then(() => null));
  assert.deepEqual(await until(() => bob.do(() => window.chat), 'the message', PATIENT), ['ada', 'good morning']);
});

// covers: RoomService.MutePublishedTrack, out.mute, sdk.mute
test('a microphone that the server mutes is muted for everybody', async () => {
  const [room, [ada, bob]] = await call('ada', 'bob');
  await ada.speak();
  await bob.hears(ada, PATIENT);
  const sid = await ada.do(() => window.client.room.localParticipant.getTrackPublication('microphone').trackSid);
  await service().mutePublishedTrack(room, 'ada', sid, true);
  await until(() => ada.do(() => window.client.room.localParticipant.getTrackPublication('microphone').isMuted), 'ada to be muted', PATIENT);
  await bob.event('trackMuted', PATIENT);
});

// covers: RoomService.UpdateParticipant, sdk.participant_permissions, edge.can_publish_taken_away, out.track_unpublished
test('leave to publish is taken away and given back', async () => {
  const [room, [ada, bob]] = await call('ada', 'bob');
  await ada.paints(60);
  await bob.seesLuma(ada, 60, PATIENT);
  const may = { canSubscribe: true, canPublishData: true };
  await service().updateParticipant(room, 'ada', { permission: { ...may, canPublish: false } });
  await bob.event('trackUnpublished', PATIENT);
  await until(() => ada.do(() => window.client.room.localParticipant.permissions.canPublish === false), 'ada to be told', PATIENT);
  const permission = { ...may, canPublish: true, canPublishSources: [TrackSource.CAMERA] };
  await service().updateParticipant(room, 'ada', { permission });
  await until(() => ada.do(() => window.client.room.localParticipant.permissions.canPublish), 'ada to be told again', PATIENT);
  await ada.paints(200);
  await bob.seesLuma(ada, 200, PATIENT);
});

// covers: out.room_update, sdk.room_metadata, RoomService.UpdateRoomMetadata
test("the room's metadata reaches everybody", async () => {
  const [room, people] = await call('ada', 'bob');
  await service().updateRoomMetadata(room, 'the agenda');
  for (const person of people) {
    await person.event('roomMetadataChanged', PATIENT);
    assert.equal(await person.do(() => window.client.room.metadata), 'the agenda');
  }
});

// covers: sdk.prepare_connection
test('a connection that is prepared is made as ever', async () => {
  const [ada] = await stage.people('ada');
  await ada.do((url) => window.client.prepare(url), stage.server.url);
  await ada.join(stage.server, newRoom());
});

/** What the server sees of Ada's camera and of what Bob gets of it. */
async function flows(room) {
  const jwt = await token(room, 'operator', { roomJoin: false, roomAdmin: true });
  const response = await fetch(`${stage.server.page}/debug/rooms/${room}?participant=bob`, { headers: { authorization: `Bearer ${jwt}` } });
  const { participants } = await response.json();
  const [ada, bob] = ['ada', 'bob'].map((identity) => participants.find((one) => one.identity === identity));
  return { layers: ada.tracks[0]?.layers, subscription: bob.subscriptions[0], decisions: bob.transports.map(({ decisions }) => decisions.slice(-8)) };
}

function service() {
  return new RoomServiceClient(stage.server.page, KEY, SECRET);
}

/** The room's name, and people of these identities in it. */
async function call(...identities) {
  const room = newRoom();
  const people = await stage.people(...identities);
  for (const person of people) await person.join(stage.server, room);
  await acquainted(...people);
  return [room, people];
}
