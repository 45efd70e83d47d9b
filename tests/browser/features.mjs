// What else livekit-client can ask for: permissions between participants and by the server, files, chat.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RoomServiceClient, TrackSource } from 'livekit-server-sdk';
import { pause, until } from './expect.mjs';
import { acquainted } from './person.mjs';
import { callStage, newRoom } from './stage.mjs';
import { KEY, SECRET } from './tokens.mjs';

const PATIENT = { within: 20_000 };
/** How long one waits for what must not come. */
const QUIET_MS = 1_000;

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
