// Every fault that livekit-client can ask for, on one peer connection and on two: after each, what should go on goes on.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { until } from './expect.mjs';
import { MODES, callStage, newRoom } from './stage.mjs';

const [ADA_LUMA, BOB_LUMA] = [60, 200];
const [ADA_HZ, BOB_HZ] = [440, 880];
/** A resume that fails, pauses between attempts and a new join, on a slow machine. */
const PATIENT = { within: 40_000 };
/** `DisconnectReason.SERVER_SHUTDOWN` of the protocol. */
const SERVER_SHUTDOWN = 3;
/** A simulated speaker speaks for three seconds. */
const SILENT_AGAIN = { within: 15_000 };

/** After these the client is back by itself, and the call goes on. */
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

// Both modes wait for most of their time, so they wait together.
describe('simulated faults', { concurrency: 2 }, () => {
  for (const [mode, path] of MODES) {
    describe(`on ${path}`, { concurrency: 1 }, () => {
      const inCall = stage.longCall((opener) => call(opener, mode));

      for (const scenario of RECOVERING) {
        // covers: in.simulate, simulate.node_failure, simulate.migration, simulate.leave_request_full_reconnect
        // covers: simulate.disconnect_signal_on_resume, simulate.disconnect_signal_on_resume_no_messages
        // covers: simulate.switch_candidate_protocol, sdk.resume, sdk.full_reconnect
        test(`the call goes on after ${scenario}`, () =>
          inCall(async (ada, bob) => {
            const since = (await ada.eventNames()).length;
            await simulate(ada, scenario);
            await ada.event('reconnected', { since, ...PATIENT });
            await assertCall(ada, bob);
            assert.equal(await ada.do(() => window.client.room.state), 'connected');
          }));
      }

      // covers: simulate.subscriber_bandwidth, out.stream_state_update
      test('subscriber-bandwidth pauses a picture that does not fit, says so, and leaves the sound', () =>
        inCall(async (ada, bob) => {
          const bandwidth = (bits) => bob.do((bits) => window.client.room.simulateScenario('subscriber-bandwidth', bits), bits);
          const streamState = () => bob.do(() => window.client.publication('ada', 'video')?.track?.streamState);
          await bandwidth(20_000);
          await until(async () => (await streamState()) === 'paused', 'the picture to be paused', PATIENT);
          await bob.hearsTone(ada, ADA_HZ, PATIENT);
          await bandwidth(0);
          await until(async () => (await streamState()) === 'active', 'the picture to go on', PATIENT);
          await assertCall(ada, bob);
        }));

      // covers: simulate.speaker_update, out.speakers_changed
      test('speaker announces somebody who is silent, for a while', () =>
        inCall(async (ada, bob) => {
          const since = (await bob.eventNames()).length;
          await ada.do(() => window.client.room.localParticipant.setMicrophoneEnabled(false));
          await bob.event('trackMuted', { since });
          const speaks = () => bob.do(() => window.client.room.remoteParticipants.get('ada').isSpeaking);
          await until(async () => !(await speaks()), 'the voice to end', SILENT_AGAIN);
          await simulate(ada, 'speaker');
          await until(speaks, 'ada to be said to speak');
          await until(async () => !(await speaks()), 'ada to be silent again', SILENT_AGAIN);
        }));

      // covers: simulate.server_leave, out.leave, sdk.disconnect_reasons
      test('server-leave ends the call and says why', () =>
        inCall(async (ada, bob) => {
          const [seenByAda, seenByBob] = [(await ada.eventNames()).length, (await bob.eventNames()).length];
          await simulate(ada, 'server-leave');
          assert.equal((await ada.event('disconnected', { since: seenByAda, ...PATIENT })).reason, SERVER_SHUTDOWN);
          await bob.event('participantDisconnected', { since: seenByBob, ...PATIENT });
        }));
    });
  }
});

function simulate(person, scenario) {
  return person.do((scenario) => window.client.room.simulateScenario(scenario), scenario);
}

/** Ada and Bob, each with a brightness and a tone of their own. */
async function call(opener, mode) {
  const room = newRoom();
  const people = await opener.people('ada', 'bob');
  const [ada, bob] = people;
  await Promise.all(people.map((person) => person.join(stage.server, room, { mode })));
  await Promise.all([ada.paints(ADA_LUMA), ada.sings(ADA_HZ), bob.paints(BOB_LUMA), bob.sings(BOB_HZ)]);
  await assertCall(ada, bob);
  return people;
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
