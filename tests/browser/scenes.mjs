// What people do in a call: share a screen with its sound, reload the page, lose the network for a while; and lips that move
// when the voice is heard.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { figure, pause, until } from './expect.mjs';
import { MODES, callStage, newRoom } from './stage.mjs';
import { Wire } from './wire.mjs';

const PATIENT = { within: 30_000 };
const SCREEN_HZ = 660;
/** People notice more; ITU-R BT.1359 has them detect sound that is 45 ms early. */
const AV_OFFSET_GOAL_MS = 60;
/** A receiver moves sound and picture together by steps, once a second. */
const SYNC_SETTLES_MS = 8_000;
const FLASHES = 8;
/** Loss of the network: the client's first attempts to resume fail. */
const OFFLINE_MS = 4_000;

const stage = callStage();

let worst = 0;

// Both modes wait for most of their time, so they wait together.
describe('scenes', { concurrency: 2 }, () => {
  for (const [mode, path] of MODES) {
    describe(`on ${path}`, { concurrency: 1 }, () => {
      // covers: sdk.screen_share, sdk.screen_share_audio, edge.screen_pair_shares_a_stream
      test('a shared tab is seen and heard beside the camera', async (t) => {
        const { people, sharer } = stage.beside(t);
        const room = newRoom();
        const [bob] = await people('bob');
        const ada = await sharer('ada');
        await ada.join(stage.server, room, { mode });
        await bob.join(stage.server, room, { mode });
        await ada.paints(60);
        await ada.do((hertz) => window.client.shareTab(hertz), SCREEN_HZ);
        await bob.seesLuma(ada, 60, PATIENT);
        await until(() => bob.do(() => window.client.luma('ada', 'screen') > 230), 'the white page', {
          diagnose: () => bob.do(() => window.client.luma('ada', 'screen')),
          ...PATIENT,
        });
        const heard = () => bob.do(() => window.client.tone('ada', 'screenAudio'));
        await until(async () => Math.abs((await heard())?.hertz - SCREEN_HZ) < 6, 'the sound of the tab', { diagnose: heard, ...PATIENT });
        const streams = await bob.do(() => window.client.streamsOf('ada'));
        assert.equal(streams.screen, streams.screenAudio, 'picture and sound of the screen have one stream, so that they are played together');
        assert.notEqual(streams.screen, streams.video);

        await ada.do(() => window.client.room.localParticipant.setScreenShareEnabled(false));
        await until(() => bob.do(() => !window.client.publication('ada', 'screen')), 'the screen to go away', PATIENT);
        await bob.sees(ada, PATIENT);
      });

      // covers: sdk.av_sync, sdk.simulcast
      test('sound and picture stay together, also across a switch of layers', async (t) => {
        const [ada, bob] = await call(t, mode);
        await ada.do(() => window.client.flash());
        await until(async () => (await bob.inbound(ada, 'audio')) && (await bob.inbound(ada, 'video'))?.frameWidth === 640, 'both tracks', PATIENT);
        await bob.do(() => window.client.watchFlashes('ada'));
        const before = await offset(bob);
        await bob.do(() => window.client.wantQuality('ada', 'LOW'));
        await until(async () => (await bob.inbound(ada, 'video')).frameWidth === 320, 'the lower layer', PATIENT);
        const low = await offset(bob);
        await bob.do(() => window.client.wantQuality('ada', 'HIGH'));
        await until(async () => (await bob.inbound(ada, 'video')).frameWidth === 640, 'the upper layer', PATIENT);
        const high = await offset(bob);
        console.log(`picture after sound (${mode}), medians in ms: ${[before, low, high].map((ms) => ms.toFixed(1)).join(', ')}`);
        worst = Math.max(worst, ...[before, low, high].map(Math.abs));
      });

      // covers: sdk.page_reload, sdk.participant_events
      test('a page that is reloaded is back in the call', async (t) => {
        const { people } = stage.beside(t);
        const room = newRoom();
        const [ada, bob] = await people('ada', 'bob');
        await ada.join(stage.server, room, { mode });
        await bob.join(stage.server, room, { mode });
        await ada.paints(60);
        await bob.paints(200);
        await bob.seesLuma(ada, 60, PATIENT);
        await ada.page.reload();
        await ada.page.waitForFunction(() => window.client);
        await bob.event('participantDisconnected', PATIENT);
        await ada.join(stage.server, room, { mode });
        await ada.paints(120);
        await bob.seesLuma(ada, 120, PATIENT);
        await ada.seesLuma(bob, 200, PATIENT);
      });

      // covers: sdk.offline_online, sdk.resume
      test('a browser that was offline resumes when it is online again', async (t) => {
        const { people } = stage.beside(t);
        const wire = await Wire.to(stage.server.port);
        t.after(() => wire.close());
        const room = newRoom();
        const [ada, bob] = await people('ada', 'bob');
        await ada.join({ url: wire.page.replace(/^http/, 'ws') }, room, { mode });
        await bob.join(stage.server, room, { mode });
        await ada.paints(60);
        await bob.paints(200);
        await Promise.all([ada.seesLuma(bob, 200, PATIENT), bob.seesLuma(ada, 60, PATIENT)]);

        const before = (await ada.eventNames()).length;
        await ada.page.context().setOffline(true);
        wire.cut();
        await until(
          async () => (await ada.eventNames(before)).some((name) => name === 'signalReconnecting' || name === 'reconnecting'),
          'ada to notice',
          PATIENT,
        );
        await pause(OFFLINE_MS);
        wire.mend();
        await ada.page.context().setOffline(false);
        await ada.event('reconnected', { since: before, ...PATIENT });
        await Promise.all([ada.sees(bob, PATIENT), bob.sees(ada, PATIENT)]);
        await Promise.all([ada.seesLuma(bob, 200, PATIENT), bob.seesLuma(ada, 60, PATIENT)]);
        // What is said after it is heard, too.
        await ada.do(() => window.client.room.localParticipant.publishData(new TextEncoder().encode('back'), { reliable: true }));
        await until(() => bob.do(() => window.client.data.some(({ text }) => text === 'back')), 'the packet', PATIENT);
      });
    });
  }
});

after(() => {
  figure('av_offset_ms_max', worst, 'ms', AV_OFFSET_GOAL_MS);
});

/** The median of how much later than its sound the picture of some flashes is shown, once the receiver has settled. */
async function offset(viewer) {
  await pause(SYNC_SETTLES_MS);
  const since = await viewer.do(() => performance.now());
  const taken = await until(
    async () => {
      const offsets = await viewer.do((since) => window.client.avOffsets(since), since);
      return offsets.length >= FLASHES ? offsets : null;
    },
    `${FLASHES} flashes with their beeps`,
    { diagnose: () => viewer.do(() => window.client.flashes), ...PATIENT },
  );
  return taken.sort((one, other) => one - other)[Math.floor(taken.length / 2)];
}

async function call(t, mode) {
  const room = newRoom();
  const [ada, bob] = await stage.beside(t).people('ada', 'bob');
  await ada.join(stage.server, room, { mode });
  await bob.join(stage.server, room, { mode });
  return [ada, bob];
}
