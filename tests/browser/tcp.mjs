// Media over TCP: for pages that asked for it. `no-udp.mjs` has those that can't use anything else.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from './expect.mjs';
import { assertMutual } from './person.mjs';
import { MODES, callStage } from './stage.mjs';

const stage = callStage();

for (const [mode] of MODES) {
  // covers: simulate.switch_candidate_protocol, sdk.ice_tcp
  test(`a page that asks for TCP has its next session on it (${mode})`, async () => {
    const [ada, bob] = await stage.meet(mode);
    const all = (protocols, wanted) => protocols.length > 0 && protocols.every((protocol) => protocol === wanted);
    assert.ok(all(await ada.protocols(), 'udp'), 'the call began on UDP');

    const before = (await ada.eventNames()).length;
    await ada.do(() => window.client.room.simulateScenario('force-tcp'));
    await ada.event('reconnected', { since: before });
    await until(async () => all(await ada.protocols(), 'tcp'), 'ada to be on TCP');
    await assertMutual(ada, bob);
    assert.ok(all(await bob.protocols(), 'udp'), 'bob stayed on UDP');
  });
}
