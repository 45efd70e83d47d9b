// LiveKit's Node SDK as back ends use it: it joins, publishes a picture and a tone, decodes those of others, and exchanges data.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { RoomEvent, RpcError, SimulateScenarioKind, dispose } from '@livekit/rtc-node';
import { Browsers } from '../browser/chromium.mjs';
import { until } from '../browser/expect.mjs';
import { serveHarness } from '../browser/harness.mjs';
import { Person } from '../browser/person.mjs';
import { Server } from '../browser/server.mjs';
import { Caller } from './caller.mjs';

const [DARK, BRIGHT] = [60, 200];
const [LOW_HZ, HIGH_HZ] = [440, 880];
const PATIENT = { within: 30_000 };

let server;
let present = [];

before(async () => {
  server = await Server.start();
});

afterEach(async () => {
  await Promise.all(present.map((caller) => caller.leave()));
  present = [];
});

after(async () => {
  await server?.stop();
  await dispose();
});

// covers: sdk.publish_camera, sdk.publish_microphone, codec.vp8, codec.opus
test('two callers see and hear each other', async () => {
  const [ada, bob] = await call('ada', 'bob');
  await ada.shows(DARK);
  await ada.sings(LOW_HZ);
  await bob.shows(BRIGHT);
  await bob.sings(HIGH_HZ);
  await Promise.all([ada.sees('bob', BRIGHT), bob.sees('ada', DARK), ada.hears('bob', HIGH_HZ), bob.hears('ada', LOW_HZ)]);
});

// covers: sdk.late_join
test('who comes late sees and hears those who are there', async () => {
  const room = newRoom();
  const ada = await enter(room, 'ada');
  await ada.shows(BRIGHT);
  await ada.sings(LOW_HZ);
  const bob = await enter(room, 'bob');
  await Promise.all([bob.sees('ada', BRIGHT), bob.hears('ada', LOW_HZ)]);
});

// covers: sdk.unpublish, edge.sections_are_used_again
test('an unpublished track goes away, and another one takes its place', async () => {
  const [ada, bob] = await call('ada', 'bob');
  const { sid } = await ada.shows(DARK);
  await bob.sees('ada', DARK);
  await ada.me.unpublishTrack(sid);
  await bob.event(RoomEvent.TrackUnpublished);
  await ada.shows(BRIGHT);
  await bob.sees('ada', BRIGHT);
});

// covers: data.user, data.reliable, data.destinations, sdk.data_packets
test('packets arrive in order and only where they should', async () => {
  const [ada, bob, carol] = await call('ada', 'bob', 'carol');
  const bytes = (text) => new TextEncoder().encode(text);
  for (let number = 0; number < 20; number += 1) await ada.me.publishData(bytes(String(number)), { reliable: true, topic: 'numbers' });
  await ada.me.publishData(bytes('for bob'), { reliable: true, destination_identities: ['bob'] });
  await until(() => bob.data.length === 21 && carol.data.length === 20, 'all packets', { diagnose: () => [bob.data.length, carol.data.length], ...PATIENT });
  assert.deepEqual(carol.data.map(({ text }) => Number(text)), Array.from({ length: 20 }, (_, number) => number));
  assert.ok(carol.data.every(({ from, topic }) => from === 'ada' && topic === 'numbers'));
  assert.equal(bob.data.at(-1).text, 'for bob');
  assert.equal(ada.data.length, 0);
});

// covers: data.rpc_request, data.rpc_ack, data.rpc_response, sdk.rpc
test('procedures are called, and those that are missing fail by their code', async () => {
  const [ada, bob] = await call('ada', 'bob');
  bob.me.registerRpcMethod('greet', async ({ callerIdentity, payload }) => `${payload}, ${callerIdentity}`);
  assert.equal(await ada.me.performRpc({ destinationIdentity: 'bob', method: 'greet', payload: 'hello' }), 'hello, ada');
  await assert.rejects(ada.me.performRpc({ destinationIdentity: 'bob', method: 'missing', payload: '' }), {
    code: RpcError.ErrorCode.UNSUPPORTED_METHOD,
  });
});

// covers: data.stream_header, data.stream_chunk, data.stream_trailer, sdk.text_streams, sdk.byte_streams
test('a long text and a file arrive whole', async () => {
  const [ada, bob] = await call('ada', 'bob');
  const texts = [];
  const files = [];
  bob.room.registerTextStreamHandler('letters', async (reader, { identity }) => texts.push([identity, await reader.readAll()]));
  bob.room.registerByteStreamHandler('files', async (reader) => files.push(Buffer.concat(await reader.readAll())));
  const letter = 'Grüße aus dem Plenum. '.repeat(5_000);
  await ada.me.sendText(letter, { topic: 'letters' });
  await until(() => texts.length > 0, 'the text', PATIENT);
  assert.deepEqual(texts, [['ada', letter]]);

  const folder = await mkdtemp(join(tmpdir(), 'plenum-rtc-node-'));
  const content = randomBytes(200_000);
  await writeFile(join(folder, 'file.bin'), content);
  await ada.me.sendFile(join(folder, 'file.bin'), { topic: 'files' });
  await until(() => files.length > 0, 'the file', PATIENT);
  await rm(folder, { recursive: true });
  assert.ok(files[0].equals(content));
});

// covers: in.update_metadata, sdk.participant_metadata
test('metadata, name and attributes reach the other', async () => {
  const [ada, bob] = await call('ada', 'bob');
  await ada.me.updateMetadata('{"seat":7}');
  await ada.me.updateName('Ada Lovelace');
  await ada.me.setAttributes({ mood: 'calm' });
  const known = () => {
    const { metadata, name, attributes } = bob.room.remoteParticipants.get('ada');
    return { metadata, name, mood: attributes.mood };
  };
  await until(() => known().mood === 'calm' && known().name === 'Ada Lovelace', 'bob to know', { diagnose: known, ...PATIENT });
  assert.deepEqual(known(), { metadata: '{"seat":7}', name: 'Ada Lovelace', mood: 'calm' });
});

// covers: in.simulate, sdk.resume, sdk.full_reconnect
test('a call goes on after a resume and after a full reconnect', async () => {
  const [ada, bob] = await call('ada', 'bob');
  await ada.shows(DARK);
  await bob.shows(BRIGHT);
  await Promise.all([ada.sees('bob', BRIGHT), bob.sees('ada', DARK)]);
  for (const scenario of [SimulateScenarioKind.SIMULATE_SIGNAL_RECONNECT, SimulateScenarioKind.SIMULATE_FULL_RECONNECT]) {
    const before = ada.events.length;
    await ada.room.simulateScenario(scenario);
    await ada.event(RoomEvent.Reconnected, before);
    await Promise.all([ada.sees('bob', BRIGHT), bob.sees('ada', DARK)]);
  }
});

// covers: sdk.connection_errors
test('a token that may not join is refused', async () => {
  await assert.rejects(new Caller('ada').join(server, newRoom(), { grants: { roomJoin: false } }));
});

describe('with Chromium', () => {
  let browsers;
  let chromium;
  let harness;

  before(async () => {
    harness = await serveHarness();
    browsers = await Browsers.prepare();
    chromium = await browsers.launch();
  });

  after(async () => {
    await browsers?.close();
    harness?.stop();
  });

  for (const mode of ['single', 'dual']) {
    // covers: sdk.single_peer_connection, sdk.dual_peer_connection
    test(`a caller and a page see and hear each other (${mode})`, async () => {
      const room = newRoom();
      const ada = await enter(room, 'ada');
      await ada.shows(DARK);
      await ada.sings(LOW_HZ);
      const page = await Person.open(chromium, harness, 'page');
      await page.join(server, room, { mode });
      await page.paints(BRIGHT);
      await page.sings(HIGH_HZ);
      await Promise.all([
        ada.sees('page', BRIGHT),
        ada.hears('page', HIGH_HZ),
        page.seesLuma({ identity: 'ada' }, DARK, PATIENT),
        page.hearsTone({ identity: 'ada' }, LOW_HZ, PATIENT),
      ]);
      await page.close();
    });
  }

  // covers: sdk.e2ee, codec.e2ee, data.encrypted_packet
  test('a caller and a page that have the same key see, hear and read each other', async () => {
    const room = newRoom();
    const key = 'only for us';
    const encryption = { keyProviderOptions: { sharedKey: new TextEncoder().encode(key) } };
    const ada = await enter(room, 'ada', { options: { encryption } });
    const page = await Person.open(chromium, harness, 'page');
    await page.join(server, room, { options: { passphrase: key, sealData: true } });
    await Promise.all([ada.shows(DARK), ada.sings(LOW_HZ), page.paints(BRIGHT), page.sings(HIGH_HZ)]);
    await Promise.all([
      ada.sees('page', BRIGHT),
      ada.hears('page', HIGH_HZ),
      page.seesLuma({ identity: 'ada' }, DARK, PATIENT),
      page.hearsTone({ identity: 'ada' }, LOW_HZ, PATIENT),
    ]);
    await ada.me.publishData(new TextEncoder().encode('from ada'), { reliable: true });
    await page.do(() => window.client.room.localParticipant.publishData(new TextEncoder().encode('from the page'), { reliable: true }));
    await until(() => ada.data.length > 0, 'the packet of the page', PATIENT);
    assert.equal(ada.data[0].text, 'from the page');
    await until(() => page.do(() => window.client.data.length > 0), 'the packet of ada', PATIENT);
    assert.equal((await page.do(() => window.client.data))[0].text, 'from ada');
    const bytes = await page.do(() => window.client.arrived.join(''));
    assert.ok(!bytes.includes('from ada'), 'a packet came in the open');
    await page.close();
  });

  // covers: data.transcription, sdk.transcription
  test('what an agent writes down reaches a page as it is said', async () => {
    const room = newRoom();
    const scribe = await enter(room, 'scribe', { claims: { kind: 'agent' } });
    const page = await Person.open(chromium, harness, 'page');
    await page.join(server, room);
    await page.sings(HIGH_HZ);
    await scribe.hears('page', HIGH_HZ);
    const trackSid = await page.do(() => window.client.room.localParticipant.getTrackPublication('microphone').trackSid);
    const write = (text, final) => {
      const segment = { id: 'one', text, final, startTime: 0n, endTime: 0n, language: 'en' };
      return scribe.me.publishTranscription({ participantIdentity: 'page', trackSid, segments: [segment] });
    };
    await write('good', false);
    await write('good morning', true);
    const written = () => page.do(() => window.client.transcriptions);
    await until(async () => (await written()).length === 2, 'both versions', { diagnose: written, ...PATIENT });
    assert.deepEqual(await written(), [
      { of: 'page', track: trackSid, text: 'good', final: false },
      { of: 'page', track: trackSid, text: 'good morning', final: true },
    ]);
    await page.close();
  });
});

function newRoom() {
  return `room-${randomBytes(4).toString('hex')}`;
}

async function enter(room, identity, options) {
  const caller = new Caller(identity);
  present.push(caller);
  return caller.join(server, room, options);
}

/** Callers of these identities in one room, each knowing all others. */
async function call(...identities) {
  const room = newRoom();
  const callers = [];
  for (const identity of identities) callers.push(await enter(room, identity));
  for (const caller of callers) {
    for (const identity of identities) if (identity !== caller.identity) await caller.knows(identity);
  }
  return callers;
}
