// Losing the server and finding it again, in the ways that livekit-client knows.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { figure, gap, pause, until } from './expect.mjs';
import { assertMutual } from './person.mjs';
import { MODES, callStage, newRoom } from './stage.mjs';

/** Frames are watched for this long before a fault, and for no less after it. */
const WINDOW_MS = 3_000;
/** A resume must not be seen: 200 ms are three frames at 15 per second. */
const RESUME_GAP_GOAL_MS = 200;
/**
 * All transports are made anew. On a busy machine tracks may be published again before the transports are connected; then
 * livekit-client shows nothing until two seconds after its join (its `minReconnectWait`), whatever the server does.
 */
const RECONNECT_GAP_GOAL_MS = 1_500;
/** From here on it is a defect and not a slow machine. */
const GAP_LIMIT_MS = 15_000;
const PATIENT = { within: 40_000 };

/** Clocks may differ by so much: a token counts that long after its end. */
const CLOCK_LEEWAY_SECONDS = 60;
/** Long enough to join with on a slow machine. */
const SOON_SECONDS = 12;

/** The server keeps the place of somebody whose connection broke off for as long as a resume may take. */
const CRASH_NOTICED_WITHIN_MS = 40_000;

const stage = callStage();

for (const [mode, path] of MODES) {
  describe(`reconnecting on ${path}`, () => {
    const inCall = stage.longCall(({ meet }) => meet(mode));

    // covers: in.sync_state, out.reconnect, sdk.resume
    test('a lost signal connection is resumed without losing media', () =>
      inCall(async (ada, bob) => {
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
      }));

    // covers: sdk.full_reconnect
    test('a resume that fails becomes a full reconnect', () =>
      inCall(async (ada, bob) => {
        const before = (await ada.eventNames()).length;
        await simulate(ada, 'resume-reconnect');
        await ada.event('reconnected', { since: before, within: 20_000 });
        await assertMutual(ada, bob);
      }));

    // covers: sdk.full_reconnect
    test('a full reconnect brings everything back', () =>
      inCall(async (ada, bob) => {
        const before = (await ada.eventNames()).length;
        const cost = await costOf(ada, bob, () => simulate(ada, 'full-reconnect'));
        await ada.event('reconnected', { since: before });
        await assertMutual(ada, bob);
        figure(`browser_full_reconnect_gap_${mode}_ms`, cost, 'ms', RECONNECT_GAP_GOAL_MS);
        assert.ok(cost < GAP_LIMIT_MS, `a gap of ${cost} ms`);
      }));

    test('after a resume the room can still be changed', () =>
      inCall(async (ada, bob) => {
        const before = (await ada.eventNames()).length;
        await simulate(ada, 'signal-reconnect');
        await ada.event('reconnected', { since: before });
        await ada.do(() => window.client.room.localParticipant.setMicrophoneEnabled(false));
        await until(async () => (await bob.publication(ada, 'audio'))?.muted, 'bob to be told of the mute');
        await bob.leave();
        await ada.event('participantDisconnected');
      }));
  });
}

// They wait for most of their time, so they wait together.
describe('what the server keeps track of', { concurrency: true }, () => {
  test('a page that crashes is gone for the others', async (t) => {
    const [ada, bob] = await stage.beside(t).meet('single');
    await ada.crash();
    await bob.event('participantDisconnected', { within: CRASH_NOTICED_WITHIN_MS });
    assert.equal(await bob.knows(ada), false);
  });

  for (const [mode, path] of MODES) {
    // covers: out.refresh_token, sdk.token_refresh
    test(`whose token has expired comes back with one of the server's (${path})`, async (t) => {
      const room = newRoom();
      const [ada, bob] = await stage.beside(t).people('ada', 'bob');
      await bob.join(stage.server, room, { mode });
      await bob.show();
      await ada.join(stage.server, room, { mode, claims: { ttl: `${SOON_SECONDS - CLOCK_LEEWAY_SECONDS}s` } });
      await ada.show();
      await Promise.all([ada.sees(bob), bob.sees(ada)]);
      const tokens = () => ada.do(() => window.client.sockets.map((url) => new URL(url).searchParams.get('access_token')));
      const [own] = await tokens();
      const expired = async () => (await fetch(`${stage.server.page}/rtc/validate?access_token=${own}`)).status === 401;
      await until(expired, "ada's own token to expire", { within: 3_000 * SOON_SECONDS });
      for (const scenario of ['signal-reconnect', 'full-reconnect']) {
        const since = (await ada.eventNames()).length;
        await simulate(ada, scenario);
        await ada.event('reconnected', { since, ...PATIENT });
        await Promise.all([ada.sees(bob, PATIENT), bob.sees(ada, PATIENT)]);
      }
      const [first, ...later] = await tokens();
      assert.equal(first, own);
      assert.ok(later.length >= 2 && !later.includes(own), 'ada came back with a token that had expired');
    });
  }
});

function simulate(person, scenario) {
  return person.do((scenario) => window.client.room.simulateScenario(scenario), scenario);
}

function trackSids(viewer, publisher) {
  return Promise.all(['audio', 'video'].map(async (kind) => (await viewer.publication(publisher, kind)).sid));
}

/** What a fault costs in milliseconds until ada is back: the larger of what ada and bob miss of each other. */
async function costOf(ada, bob, fault) {
  const now = () => performance.timeOrigin + performance.now();
  await pause(WINDOW_MS);
  const since = (await ada.eventNames()).length;
  const at = now();
  await fault();
  await ada.event('reconnected', { since, ...PATIENT });
  await Promise.all([ada.sees(bob, PATIENT), bob.sees(ada, PATIENT)]);
  await pause(at + WINDOW_MS - now());
  const times = [await bob.frameTimes(ada), await ada.frameTimes(bob)];
  return Math.max(...times.map((times) => gap(times, at, WINDOW_MS, now() - at)));
}
