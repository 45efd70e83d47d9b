// A network that drops all UDP (tests/browser/run sets it up): pages get a whole call over TCP, from the start or when UDP ends.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { figure, pause, until } from './expect.mjs';
import { Passage } from './firewall.mjs';
import { assertMutual } from './person.mjs';
import { Server } from './server.mjs';
import { callStage, newRoom } from './stage.mjs';

const stage = callStage();
/** How long a call is watched for frames that stop. */
const WATCHED_MS = 5_000;
/** Frames that were on their way when UDP ended are decoded within this time. */
const LAST_FRAMES_MS = 1_000;
/** A firewall that begins to cut UDP: all of it, or all that is no STUN. */
const CUTS = [
  ['all', (passage) => passage.nothing()],
  ['media', (passage) => passage.checks()],
];
/** When UDP ends: 15 s until it is clear, and 2 s that livekit-client takes to reconnect. */
const TO_TCP_GOAL_MS = 18_000;
/** Two joins that fail after 15 s each (the `peerConnectionTimeout` of livekit-client), and one that works. */
const FALL_BACK_GOAL_MS = 33_000;
const JOINS = 3;
/** From here on it is a defect and not a slow machine. */
const PATIENT = { within: 60_000 };

for (const mode of ['single', 'dual']) {
  // covers: sdk.ice_tcp
  test(`a page without UDP is in the call (${mode})`, async () => {
    const room = newRoom();
    const [ada, bob] = await stage.people('ada', 'bob');
    await ada.join(stage.server, room, { mode });
    await ada.showAndSpeak();
    const started = now();
    await bob.join(stage.server, room, { mode });
    await bob.showAndSpeak();
    await assertMutual(ada, bob);
    await assertProtocol('tcp', ada, bob);
    const [first] = await bob.frameTimes(ada);
    figure(`browser_first_frame_tcp_${mode}_ms`, first - started, 'ms', 1500);
    await pause(WATCHED_MS);
    const { freezeCount } = await bob.inbound(ada, 'video');
    figure(`browser_freezes_tcp_${mode}`, freezeCount, 'freezes', 0);
    await assertMutual(ada, bob);
  });
}

// They wait for most of their time, so they wait together. Ada has one connection and Bob two.
describe('UDP that ends', { concurrency: true }, () => {
  for (const [what, cut] of CUTS) {
    // covers: sdk.ice_tcp, sdk.full_reconnect
    test(`a call goes on over TCP when a firewall cuts its UDP (${what})`, async (t) => {
      const { server, passage, people } = await begin(t);
      await passage.everything();
      const room = newRoom();
      await Promise.all(people.map((person) => enter(person, server, room)));
      await assertCall(people, 'udp');
      const since = now();
      await cut(passage);
      const back = Math.max(...(await eachOther(people, (one, other) => nextFrame(one, other, since + LAST_FRAMES_MS))));
      await assertCall(people, 'tcp');
      figure(`browser_udp_cut_${what}_ms`, back - since, 'ms', TO_TCP_GOAL_MS);
    });
  }

  // covers: sdk.ice_tcp
  test('who never gets further than ICE over UDP is let in over TCP', async (t) => {
    const { server, passage, people } = await begin(t);
    await passage.checks();
    const room = newRoom();
    const started = now();
    const persist = async (person) => {
      for (let joins = 1; ; joins += 1) {
        const error = await enter(person, server, room).then(() => null, (error) => error);
        if (!error) return;
        if (joins === JOINS) throw error;
      }
    };
    const passesChecks = (person) =>
      until(async () => (await person.protocols().catch(() => [])).includes('udp'), `the checks of ${person.identity} to pass`);
    await Promise.all([...people.map(persist), ...people.map(passesChecks)]);
    await assertCall(people, 'tcp');
    const seen = Math.max(...(await eachOther(people, (one, other) => nextFrame(one, other, started))));
    figure('browser_fall_back_ms', seen - started, 'ms', FALL_BACK_GOAL_MS);
  });
});

/** Their looks: Ada's dark and low, Bob's bright and high. Drawn ones, for cameras that start anew together may stay black. */
const LOOKS = {
  ada: { mode: 'single', luma: 60, hertz: 440 },
  bob: { mode: 'dual', luma: 200, hertz: 880 },
};

/** A server of its own, and what of its UDP passes; Ada and Bob have not joined yet. */
async function begin(t) {
  const server = await Server.start();
  t.after(() => server.stop());
  return { server, passage: new Passage(t, server), people: await stage.beside(t).people(...Object.keys(LOOKS)) };
}

async function enter(person, server, room) {
  const { mode, luma, hertz } = LOOKS[person.identity];
  await person.join(server, room, { mode });
  await person.paints(luma);
  await person.sings(hertz);
}

/** They see and hear each other now, over `protocol` alone. */
async function assertCall(people, protocol) {
  await eachOther(people, async (one, other) => {
    await one.sees(other, PATIENT);
    await one.seesLuma(other, LOOKS[other.identity].luma);
    await one.hearsTone(other, LOOKS[other.identity].hertz);
  });
  await assertProtocol(protocol, ...people);
}

async function assertProtocol(protocol, ...people) {
  for (const person of people) {
    const protocols = await person.protocols();
    assert.ok(protocols.length > 0 && protocols.every((one) => one === protocol), `${person.identity}: ${protocols.join()}`);
  }
}

/** Waits for a frame of `other` after that time; when it was decoded. */
function nextFrame(one, other, after) {
  const look = async () => (await one.frameTimes(other)).find((time) => time > after);
  const diagnose = () => one.eventNames();
  return until(look, `${one.identity} to see ${other.identity} again`, { diagnose, ...PATIENT });
}

function eachOther([ada, bob], look) {
  return Promise.all([look(ada, bob), look(bob, ada)]);
}

/** Milliseconds of the wall clock, as pages note them. */
function now() {
  return performance.timeOrigin + performance.now();
}
