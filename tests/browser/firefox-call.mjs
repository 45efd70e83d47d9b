// Firefox ESR with livekit-client: it joins, publishes, decodes and is decoded by Chromium, on one peer connection and on two.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { Browsers } from './chromium.mjs';
import { until } from './expect.mjs';
import { FAKE_LUMA, FAKE_TONE_HZ, Firefox } from './firefox.mjs';
import { serveHarness } from './harness.mjs';
import { Person } from './person.mjs';
import { Server } from './server.mjs';
import { newRoom } from './stage.mjs';

/** Two browsers on two cores, one of them just started. */
const PATIENT = { within: 30_000 };
const CHROMIUM_LUMA = 60;
const CHROMIUM_TONE_HZ = 880;

let server;
let harness;
let browsers;
let chromium;
let firefox;
let present = [];

before(async () => {
  // All addresses are advertised, as on a laptop: Firefox gathers none on loopback, and pairs its others only with their like.
  server = await Server.start({ PLENUM_ADVERTISE: '' });
  harness = await serveHarness();
  firefox = await Firefox.launch();
  browsers = await Browsers.prepare();
  chromium = await browsers.launch();
  console.log(`Firefox ${firefox.version}, Chromium ${chromium.version()}`);
});

afterEach(async () => {
  await Promise.all(present.map((person) => person.close()));
  present = [];
});

after(async () => {
  await firefox?.close();
  await browsers?.close();
  harness?.stop();
  await server?.stop();
});

for (const [mode, path] of [
  ['single', '/rtc/v1'],
  ['dual', '/rtc'],
]) {
  describe(`Firefox on ${path}`, () => {
    // covers: sdk.single_peer_connection, sdk.dual_peer_connection, sdk.publish_camera, sdk.publish_microphone, edge.firefox
    // covers: codec.vp8, codec.opus
    test('Firefox and Chromium see and hear each other', async () => {
      const [fox, ada] = await call(mode);
      await fox.showAndSpeak();
      await ada.paints(CHROMIUM_LUMA);
      await ada.sings(CHROMIUM_TONE_HZ);
      await Promise.all([
        ada.sees(fox, PATIENT),
        fox.sees(ada, PATIENT),
        ada.seesLuma(fox, FAKE_LUMA, PATIENT),
        fox.seesLuma(ada, CHROMIUM_LUMA, PATIENT),
        ada.hearsTone(fox, FAKE_TONE_HZ, PATIENT),
        fox.hearsTone(ada, CHROMIUM_TONE_HZ, PATIENT),
      ]);
      assert.deepEqual(await fox.signalPaths(), [path]);
    });

    // covers: sdk.late_join
    test('Firefox comes late and gets a picture', async () => {
      const room = newRoom();
      const ada = await open(chromium, 'ada');
      await ada.join(server, room, { mode });
      await ada.paints(CHROMIUM_LUMA);
      const fox = await open(firefox, 'fox');
      await fox.join(server, room, { mode });
      await fox.sees(ada, PATIENT);
      await fox.seesLuma(ada, CHROMIUM_LUMA, PATIENT);
    });

    // covers: sdk.mute, sdk.unpublish, edge.sections_are_used_again
    test('Firefox mutes, unpublishes and publishes again', async () => {
      const [fox, ada] = await call(mode);
      await fox.speak();
      await ada.hearsTone(fox, FAKE_TONE_HZ, PATIENT);
      await fox.do(() => window.client.room.localParticipant.setMicrophoneEnabled(false));
      await ada.event('trackMuted');
      await fox.do(() => window.client.room.localParticipant.setMicrophoneEnabled(true));
      await ada.event('trackUnmuted');
      await ada.hears(fox, PATIENT);
      await fox.do(async () => {
        const { localParticipant } = window.client.room;
        for (const { track } of localParticipant.audioTrackPublications.values()) await localParticipant.unpublishTrack(track);
      });
      await ada.event('trackUnpublished');
      await fox.paints(200);
      await ada.seesLuma(fox, 200, PATIENT);
    });

    // covers: sdk.simulcast, sdk.video_quality
    test('Firefox sends layers and Chromium chooses one', async () => {
      const [fox, ada] = await call(mode);
      await fox.show();
      const width = (wanted) =>
        until(async () => (await ada.inbound(fox, 'video'))?.frameWidth === wanted, `a picture ${wanted} wide`, PATIENT);
      await width(640);
      await ada.do(() => window.client.wantQuality('fox', 'LOW'));
      await width(320);
      await ada.do(() => window.client.wantQuality('fox', 'HIGH'));
      await width(640);
      await ada.sees(fox, PATIENT);
    });

    // covers: data.reliable, sdk.data_packets, sdk.text_streams, sdk.rpc
    test('data, texts and procedures pass between Firefox and Chromium', async () => {
      const [fox, ada] = await call(mode);
      await ada.do(() => window.client.listenForText('letters'));
      await ada.do(() => window.client.room.registerRpcMethod('greet', async ({ callerIdentity }) => `hello ${callerIdentity}`));
      await fox.do(async () => {
        const { localParticipant } = window.client.room;
        await localParticipant.publishData(new TextEncoder().encode('packet'), { reliable: true, topic: 't' });
        await localParticipant.sendText('a letter '.repeat(3_000), { topic: 'letters' });
      });
      const answer = await fox.do(() =>
        window.client.room.localParticipant.performRpc({ destinationIdentity: 'ada', method: 'greet', payload: '' }),
      );
      assert.equal(answer, 'hello fox');
      await until(() => ada.do(() => window.client.texts.length > 0), 'the letter', PATIENT);
      assert.deepEqual(await ada.do(() => window.client.data), [{ from: 'fox', text: 'packet', topic: 't' }]);
      await ada.do(() => window.client.room.localParticipant.publishData(new Uint8Array([120]), { reliable: true }));
      await until(() => fox.do(() => window.client.data.length > 0), 'the packet to Firefox', PATIENT);
    });

    // covers: sdk.resume, sdk.full_reconnect
    test('Firefox resumes, and reconnects in full', async () => {
      const [fox, ada] = await call(mode);
      await fox.paints(200);
      await ada.paints(CHROMIUM_LUMA);
      for (const scenario of ['signal-reconnect', 'full-reconnect']) {
        const before = (await fox.eventNames()).length;
        await fox.do((scenario) => window.client.room.simulateScenario(scenario), scenario);
        await fox.event('reconnected', { since: before, ...PATIENT });
        await Promise.all([ada.sees(fox, PATIENT), fox.sees(ada, PATIENT)]);
        await ada.seesLuma(fox, 200, PATIENT);
        await fox.seesLuma(ada, CHROMIUM_LUMA, PATIENT);
      }
    });
  });
}

async function open(browser, identity) {
  const person = await Person.open(browser, harness, identity);
  present.push(person);
  return person;
}

/** Fox in Firefox and Ada in Chromium, in one room. */
async function call(mode) {
  const room = newRoom();
  const fox = await open(firefox, 'fox');
  const ada = await open(chromium, 'ada');
  await fox.join(server, room, { mode });
  await ada.join(server, room, { mode });
  await until(() => fox.knows(ada), 'fox to know ada');
  await until(() => ada.knows(fox), 'ada to know fox');
  return [fox, ada];
}
