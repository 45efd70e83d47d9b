// Each codec between Chromium pages: what is decoded and played, through mute, unmute, late join and layers.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { pause, until } from './expect.mjs';
import { callStage, newRoom } from './stage.mjs';

/** How long nothing must arrive before it counts as stopped; a frame takes 67 ms. */
const QUIET_MS = 1_000;

const stage = callStage();

/** Names for livekit-client, media types as stats and signaling write them, and whether rids carry layers. */
const VIDEO = [
  { codec: 'vp9', mime: 'video/VP9', name: 'VP9 with spatial layers in one stream' },
  { codec: 'h264', mime: 'video/H264', name: 'H.264 in simulcast', simulcast: true },
  { codec: 'av1', mime: 'video/AV1', name: 'AV1 with spatial layers in one stream' },
  { codec: 'vp9', mime: 'video/VP9', name: 'VP9 in simulcast', simulcast: true, publish: { scalabilityMode: 'L1T3' } },
];

for (const { codec, mime, name, simulcast, publish: more } of VIDEO) {
  for (const mode of ['single', 'dual']) {
    describe(`${name}, ${mode} peer connection mode`, () => {
      const publish = { videoCodec: codec, backupCodec: false, ...more };

      // covers: codec.vp9, codec.h264, codec.av1
      test('is decoded, also by who comes late', async () => {
        const { ada, bob, room } = await call(mode, publish);
        await bob.seesIn(mime, ada);
        assert.equal((await bob.publication(ada, 'video')).mime.toLowerCase(), mime.toLowerCase());
        const [carol] = await stage.people('carol');
        await carol.join(stage.server, room, { mode });
        await carol.seesIn(mime, ada);
      });

      test('stops while muted and comes back', async () => {
        const { ada, bob } = await call(mode, publish);
        await bob.seesIn(mime, ada);
        await ada.do(() => window.client.room.localParticipant.setCameraEnabled(false));
        await until(async () => (await bob.publication(ada, 'video'))?.muted, 'bob to be told of the mute');
        await pause(QUIET_MS);
        const before = (await bob.inbound(ada, 'video')).framesDecoded;
        await pause(QUIET_MS);
        assert.equal((await bob.inbound(ada, 'video')).framesDecoded, before);
        await ada.do(() => window.client.room.localParticipant.setCameraEnabled(true));
        await bob.seesIn(mime, ada);
      });

      test('has the whole size', async () => {
        const { ada, bob } = await call(mode, publish);
        await width(bob, ada, 640);
        if (!simulcast) return;
        await bob.do(() => window.client.wantQuality('ada', 'LOW'));
        await width(bob, ada, 320);
        await bob.sees(ada);
        await bob.do(() => window.client.wantQuality('ada', 'HIGH'));
        await width(bob, ada, 640);
        await bob.sees(ada);
      });
    });
  }
}

/** Waits for a picture of this width. */
function width(person, other, wanted) {
  return until(async () => (await person.inbound(other, 'video'))?.frameWidth === wanted, `a picture ${wanted} wide`, {
    within: 20_000,
  });
}

/** Ada, who shows herself as `publish` says, and Bob. */
async function call(mode, publish) {
  const room = newRoom();
  const [ada, bob] = await stage.people('ada', 'bob');
  await ada.join(stage.server, room, { mode, publish });
  await bob.join(stage.server, room, { mode });
  await ada.show();
  return { ada, bob, room };
}
