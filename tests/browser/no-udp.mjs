// A network that drops all UDP (tests/browser/run sets it up): pages get a whole call over TCP.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { figure, pause } from './expect.mjs';
import { assertMutual } from './person.mjs';
import { callStage, newRoom } from './stage.mjs';

const stage = callStage();
/** How long a call is watched for frames that stop. */
const WATCHED_MS = 5_000;

for (const mode of ['single', 'dual']) {
  // covers: sdk.ice_tcp
  test(`a page without UDP is in the call (${mode})`, async () => {
    const room = newRoom();
    const [ada, bob] = await stage.people('ada', 'bob');
    await ada.join(stage.server, room, { mode });
    await ada.showAndSpeak();
    const started = performance.timeOrigin + performance.now();
    await bob.join(stage.server, room, { mode });
    await bob.showAndSpeak();
    await assertMutual(ada, bob);
    for (const person of [ada, bob]) {
      const protocols = await person.protocols();
      assert.ok(protocols.length > 0 && protocols.every((protocol) => protocol === 'tcp'), protocols.join());
    }
    const [first] = await bob.frameTimes(ada);
    figure(`browser_first_frame_tcp_${mode}_ms`, first - started, 'ms', 1500);
    await pause(WATCHED_MS);
    const { freezeCount } = await bob.inbound(ada, 'video');
    figure(`browser_freezes_tcp_${mode}`, freezeCount, 'freezes', 0);
    await assertMutual(ada, bob);
  });
}
