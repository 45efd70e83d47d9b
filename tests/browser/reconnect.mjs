// Losing the server and finding it again, in the ways that livekit-client knows.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { figure, gap, pause, until } from './expect.mjs';
import { assertMutual } from './person.mjs';
import { callStage, newRoom } from './stage.mjs';

/** Frames are watched for this long before and after a fault. */
const WINDOW_MS = 5_000;
/** A resume must not be seen: 200 ms are three frames at 15 per second. */
const RESUME_GAP_GOAL_MS = 200;
/**
 * All transports are made anew. On a busy machine tracks may be published again before the transports are connected; then
 * livekit-client shows nothing until two seconds after its join (its `minReconnectWait`), whatever the server does.
 */
const RECONNECT_GAP_GOAL_MS = 1_500;
/** From here on it is a defect and not a slow machine. */
const GAP_LIMIT_MS = 5_000;

/** The server keeps the place of somebody whose connection broke off for as long as a resume may take. */
const CRASH_NOTICED_WITHIN_MS = 40_000;

const stage = callStage();

for (const [mode, path] of [
  ['single', '/rtc/v1'],
  ['dual', '/rtc'],
]) {
  describe(`reconnecting on ${path}`, () => {
    // covers: in.sync_state, out.reconnect, sdk.resume
    test('a lost signal connection is resumed without losing media', async () => {
      const [ada, bob] = await call(mode);
      const sid = await ada.do(() => window.client.room.localParticipant.sid);
      const sent = await trackSids(bob, ada);
      const seenByBob = (await bob.eventNames()).length;
      const seenByAda = (await ada.eventNames()).length;
      const cost = await costOf(ada, bob, () => simulate(ada, 'signal-reconnect'));

      await ada.event('reconnected', { since: seenByAda });
      const names = await ada.eventNames(seenByAda);
      assert.ok(names.includes('signalReconnecting'), names.join());
      assert.ok(!names.includes('reconnecting'), `a full reconnect instead of a resume: ${names.join()}`);
      assert.equal(await ada.do(() => window.client.room.localParticipant.sid), sid);
      assert.deepEqual(await trackSids(bob, ada), sent);
      assert.deepEqual(await bob.eventNames(seenByBob), [], 'bob was told of a resume');
      await assertMutual(ada, bob);
      figure(`browser_resume_gap_${mode}_ms`, cost, 'ms', RESUME_GAP_GOAL_MS);
      assert.ok(cost < GAP_LIMIT_MS, `a gap of ${cost} ms`);
    });

    test('after a resume the room can still be changed', async () => {
      const [ada, bob] = await call(mode);
      const before = (await ada.eventNames()).length;
      await simulate(ada, 'signal-reconnect');
      await ada.event('reconnected', { since: before });
      await ada.do(() => window.client.room.localParticipant.setMicrophoneEnabled(false));
      await until(async () => (await bob.publication(ada, 'audio'))?.muted, 'bob to be told of the mute');
      await bob.leave();
      await ada.event('participantDisconnected');
    });

    // covers: sdk.full_reconnect
    test('a resume that fails becomes a full reconnect', async () => {
      const [ada, bob] = await call(mode);
      const before = (await ada.eventNames()).length;
      await simulate(ada, 'resume-reconnect');
      await ada.event('reconnected', { since: before, within: 20_000 });
      await assertMutual(ada, bob);
    });

    // covers: sdk.full_reconnect
    test('a full reconnect brings everything back', async () => {
      const [ada, bob] = await call(mode);
      const before = (await ada.eventNames()).length;
      const cost = await costOf(ada, bob, () => simulate(ada, 'full-reconnect'));
      await ada.event('reconnected', { since: before });
      await assertMutual(ada, bob);
      figure(`browser_full_reconnect_gap_${mode}_ms`, cost, 'ms', RECONNECT_GAP_GOAL_MS);
      assert.ok(cost < GAP_LIMIT_MS, `a gap of ${cost} ms`);
    });
  });
}

test('a page that crashes is gone for the others', async () => {
  const [ada, bob] = await call('single');
  await ada.crash();
  await bob.event('participantDisconnected', { within: CRASH_NOTICED_WITHIN_MS });
  assert.equal(await bob.knows(ada), false);
});

function simulate(person, scenario) {
  return person.do((scenario) => window.client.room.simulateScenario(scenario), scenario);
}

function trackSids(viewer, publisher) {
  return Promise.all(['audio', 'video'].map(async (kind) => (await viewer.publication(publisher, kind)).sid));
}

/** What a fault costs in milliseconds: the larger of what ada and bob miss of each other. */
async function costOf(ada, bob, fault) {
  await pause(WINDOW_MS);
  const at = performance.timeOrigin + performance.now();
  await fault();
  await pause(WINDOW_MS);
  const costs = [gap(await bob.frameTimes(ada), at, WINDOW_MS), gap(await ada.frameTimes(bob), at, WINDOW_MS)];
  return Math.max(...costs);
}

/** Ada and Bob in a room, seeing and hearing each other. */
async function call(mode) {
  const room = newRoom();
  const [ada, bob] = await stage.people('ada', 'bob');
  await ada.join(stage.server, room, { mode });
  await bob.join(stage.server, room, { mode });
  await ada.showAndSpeak();
  await bob.showAndSpeak();
  await assertMutual(ada, bob);
  return [ada, bob];
}
