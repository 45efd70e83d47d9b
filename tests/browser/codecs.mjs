// Each codec between Chromium pages: what is decoded and played, through mute, unmute, late join and layers.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { pause, still, until } from './expect.mjs';
import { MODES, callStage, newRoom } from './stage.mjs';

/** What decoders of high profile call it: as it is, constrained, with more colour. */
const HIGH_PROFILES = ['64001f', '640c1f', 'f4001f'].map((profile) => `profile-level-id=${profile}`);
/** What Chromium names before the profile that the page calls high: baseline and main. */
const LOWER_PROFILES = ['42001f', '4d001f'].map((profile) => `profile-level-id=${profile}`);
/** Of the picture that is sent in it. */
const HIGH_PROFILE_LUMA = 214;
/** Between half of the frames, which two of three temporal layers have, and all of them. */
const CUT = 0.75;

const stage = callStage();

/** Names for livekit-client, media types as stats and signaling write them, and whether rids carry layers. */
const VIDEO = [
  { codec: 'vp9', mime: 'video/VP9', name: 'VP9 with spatial layers in one stream' },
  { codec: 'h264', mime: 'video/H264', name: 'H.264 in simulcast', simulcast: true },
  { codec: 'av1', mime: 'video/AV1', name: 'AV1 with spatial layers in one stream' },
  { codec: 'vp9', mime: 'video/VP9', name: 'VP9 in simulcast', simulcast: true, publish: { scalabilityMode: 'L1T3' } },
];

for (const { codec, mime, name, simulcast, publish: more } of VIDEO) {
  for (const [mode] of MODES) {
    describe(`${name}, ${mode} peer connection mode`, () => {
      const publish = { videoCodec: codec, backupCodec: false, ...more };
      const inCall = stage.longCall((opener) => call(opener, mode, publish));

      // covers: codec.vp9, codec.h264, codec.av1
      test('is decoded, also by who comes late', () =>
        inCall(async (ada, bob) => {
          await bob.seesIn(mime, ada);
          assert.equal((await bob.publication(ada, 'video')).mime.toLowerCase(), mime.toLowerCase());
          const [carol] = await stage.people('carol');
          await carol.join(stage.server, await ada.do(() => window.client.room.name), { mode });
          await carol.seesIn(mime, ada);
        }));

      test('stops while muted and comes back', () =>
        inCall(async (ada, bob) => {
          await ada.do(() => window.client.room.localParticipant.setCameraEnabled(false));
          await until(async () => (await bob.publication(ada, 'video'))?.muted, 'bob to be told of the mute');
          await still(async () => (await bob.inbound(ada, 'video')).framesDecoded, 'the picture to stop');
          await ada.do(() => window.client.room.localParticipant.setCameraEnabled(true));
          await bob.seesIn(mime, ada);
        }));

      test('has the whole size', () =>
        inCall(async (ada, bob) => {
          await width(bob, ada, 640);
          if (!simulcast) return;
          await bob.do(() => window.client.wantQuality('ada', 'LOW'));
          await width(bob, ada, 320);
          await bob.sees(ada);
          await bob.do(() => window.client.wantQuality('ada', 'HIGH'));
          await width(bob, ada, 640);
          await bob.sees(ada);
        }));
    });
  }
}

for (const [mode] of MODES) {
  describe(`H.264 in high profile, ${mode} peer connection mode`, () => {
    // covers: codec.h264_high
    test('is decoded by who can, and the others are told', async () => {
      const room = newRoom();
      const ada = await stage.person('ada', { high: true, lacks: LOWER_PROFILES });
      const [bob] = await stage.people('bob');
      const carol = await stage.person('carol', { lacks: HIGH_PROFILES });
      const publish = { videoCodec: 'h264', backupCodec: false, simulcast: false };
      await ada.join(stage.server, room, { mode, publish });
      await bob.join(stage.server, room, { mode });
      // Her page lacks codecs only where it offers.
      await carol.join(stage.server, room);
      await ada.show();
      await bob.seesLuma(ada, HIGH_PROFILE_LUMA, { within: 20_000 });
      const { codec, parameters } = await bob.sees(ada);
      assert.equal(codec, 'video/H264');
      assert.ok(HIGH_PROFILES.some((profile) => parameters.includes(profile)), parameters);
      await carol.event('trackSubscriptionFailed');
      assert.equal(await carol.inbound(ada, 'video'), null);
    });
  });
}

for (const [mode] of MODES) {
  // covers: sdk.video_fps
  test(`fewer frames come when fewer are wanted, and all when all are (${mode})`, async () => {
    const [ada, bob] = await call(stage, mode, { videoCodec: 'vp9', backupCodec: false, scalabilityMode: 'L1T3' });
    await width(bob, ada, 640);
    const all = await framesPerSecond(bob, ada);
    await bob.do(() => window.client.publication('ada', 'video').setVideoFPS(5));
    const few = await until(async () => {
      const now = await framesPerSecond(bob, ada);
      return now < CUT * all && now;
    }, 'fewer frames');
    await bob.do(() => window.client.publication('ada', 'video').setVideoFPS(30));
    await until(async () => (await framesPerSecond(bob, ada)) > CUT * all, 'all frames again');
    console.log(`frames per second (${mode}): ${all.toFixed(1)}, ${few.toFixed(1)} of them when 5 are wanted`);
  });
}

/** Frames that are decoded, over two seconds. */
async function framesPerSecond(person, other) {
  const look = async () => [(await person.inbound(other, 'video')).framesDecoded, performance.now()];
  const [before, start] = await look();
  await pause(2_000);
  const [after, end] = await look();
  return ((after - before) * 1_000) / (end - start);
}

/** Waits for a picture of this width. */
function width(person, other, wanted) {
  return until(async () => (await person.inbound(other, 'video'))?.frameWidth === wanted, `a picture ${wanted} wide`, {
    within: 20_000,
  });
}

/** Ada, who shows herself as `publish` says, and Bob. */
async function call(opener, mode, publish) {
  const room = newRoom();
  const [ada, bob] = await opener.people('ada', 'bob');
  await ada.join(stage.server, room, { mode, publish });
  await bob.join(stage.server, room, { mode });
  await ada.show();
  return [ada, bob];
}
