// Every fault that livekit-client can ask for, on one peer connection and on two: after each, what should go on goes on.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { until } from './expect.mjs';
import { callStage, newRoom } from './stage.mjs';

const [ADA_LUMA, BOB_LUMA] = [60, 200];
const [ADA_HZ, BOB_HZ] = [440, 880];
/** A resume that fails, pauses between attempts and a new join, on a slow machine. */
const PATIENT = { within: 40_000 };
/** `DisconnectReason.SERVER_SHUTDOWN` of the protocol. */
const SERVER_SHUTDOWN = 3;
/** A simulated speaker speaks for three seconds. */
const SILENT_AGAIN = { within: 15_000 };

/** After these the client is back by itself. */
const RECOVERING = [
  'signal-reconnect',
  'resume-reconnect',
  'full-reconnect',
  'node-failure',
  'migration',
  'leave-full-reconnect',
  'disconnect-signal-on-resume',
  'disconnect-signal-on-resume-no-messages',
  'force-tcp',
  'force-tls',
];

const stage = callStage();

for (const [mode, path] of [
  ['single', '/rtc/v1'],
  ['dual', '/rtc'],
]) {
  describe(`simulated faults on ${path}`, () => {
    for (const scenario of RECOVERING) {
      // covers: in.simulate, simulate.node_failure, simulate.migration, simulate.leave_request_full_reconnect
      // covers: simulate.disconnect_signal_on_resume, simulate.disconnect_signal_on_resume_no_messages
      // covers: simulate.switch_candidate_protocol, sdk.resume, sdk.full_reconnect
      test(`the call goes on after ${scenario}`, async () => {
        const [ada, bob] = await call(mode);
        const before = (await ada.eventNames()).length;
        await simulate(ada, scenario);
        await ada.event('reconnected', { since: before, ...PATIENT });
        await assertCall(ada, bob);
        assert.equal(await ada.do(() => window.client.room.state), 'connected');
      });
    }

    // covers: simulate.server_leave, out.leave, sdk.disconnect_reasons
    test('server-leave ends the call and says why', async () => {
      const [ada, bob] = await call(mode);
      await simulate(ada, 'server-leave');
      assert.equal((await ada.event('disconnected', PATIENT)).reason, SERVER_SHUTDOWN);
      await bob.event('participantDisconnected', PATIENT);
    });

    // covers: simulate.speaker_update, out.speakers_changed
    test('speaker announces somebody who is silent, for a while', async () => {
      const room = newRoom();
      const [ada, bob] = await stage.people('ada', 'bob');
      await ada.join(stage.server, room, { mode });
      await bob.join(stage.server, room, { mode });
      // Speakers are announced to those who could hear them.
      await ada.sings(ADA_HZ);
      await bob.hears(ada, PATIENT);
      await ada.do(() => window.client.room.localParticipant.setMicrophoneEnabled(false));
      await bob.event('trackMuted');
      const speaks = () => bob.do(() => window.client.room.remoteParticipants.get('ada').isSpeaking);
      await until(async () => !(await speaks()), 'the voice to end', SILENT_AGAIN);
      await simulate(ada, 'speaker');
      await until(speaks, 'ada to be said to speak');
      await until(async () => !(await speaks()), 'ada to be silent again', SILENT_AGAIN);
    });

    // covers: simulate.subscriber_bandwidth, out.stream_state_update
    test('subscriber-bandwidth pauses a picture that does not fit, says so, and leaves the sound', async () => {
      const [ada, bob] = await call(mode);
      const bandwidth = (bits) =>
        bob.do((bits) => window.client.room.simulateScenario('subscriber-bandwidth', bits), bits);
      const streamState = () =>
        bob.do((identity) => {
          const camera = window.client.room.remoteParticipants.get(identity)?.getTrackPublication('camera');
          return camera?.track?.streamState;
        }, ada.identity);
      await bandwidth(20_000);
      await until(async () => (await streamState()) === 'paused', 'the picture to be paused', PATIENT);
      await bob.hearsTone(ada, ADA_HZ, PATIENT);
      await bandwidth(0);
      await until(async () => (await streamState()) === 'active', 'the picture to go on', PATIENT);
      await assertCall(ada, bob);
    });
  });
}

function simulate(person, scenario) {
  return person.do((scenario) => window.client.room.simulateScenario(scenario), scenario);
}

/** Ada and Bob, each with a brightness and a tone of their own. */
async function call(mode) {
  const room = newRoom();
  const [ada, bob] = await stage.people('ada', 'bob');
  await ada.join(stage.server, room, { mode });
  await bob.join(stage.server, room, { mode });
  await ada.paints(ADA_LUMA);
  await ada.sings(ADA_HZ);
  await bob.paints(BOB_LUMA);
  await bob.sings(BOB_HZ);
  await assertCall(ada, bob);
  return [ada, bob];
}

/** Frames that are sent from now on arrive, and are what the other sends. */
async function assertCall(ada, bob) {
  await Promise.all([ada.sees(bob, PATIENT), bob.sees(ada, PATIENT)]);
  await Promise.all([
    ada.seesLuma(bob, BOB_LUMA, PATIENT),
    bob.seesLuma(ada, ADA_LUMA, PATIENT),
    ada.hearsTone(bob, BOB_HZ, PATIENT),
    bob.hearsTone(ada, ADA_HZ, PATIENT),
  ]);
}
