// What nobody watches is not encoded, and comes back when somebody does: livekit-client with `dynacast` on the publisher's
// side, `adaptiveStream` or wishes by hand on the subscriber's.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { figure, pause, until } from './expect.mjs';
import { callStage, newRoom } from './stage.mjs';

/** Names of the two layers that the test page publishes: 320 and 640 wide. */
const LOW = 'q';
const HIGH = 'h';
/** A layer that encodes nothing for this long rests; a frame takes 67 ms. */
const RESTS_MS = 1_500;
/** Less is told after 5 s, and an encoder needs a moment. */
const REST_WITHIN = { within: 20_000, every: 10 };

const stage = callStage();

for (const mode of ['single', 'dual']) {
  // covers: out.subscribed_quality_update, sdk.dynacast
  test(`an upper layer that nobody wants rests and comes back at once (${mode})`, async () => {
    const [ada, bob] = await watched({ mode });
    await widthOf(bob, ada, 640);
    await bob.do(() => window.client.wantQuality('ada', 'LOW'));
    await widthOf(bob, ada, 320);
    await until(async () => same(await encodes(ada), [LOW]), 'the upper layer to rest', REST_WITHIN);
    await bob.sees(ada);

    const asked = performance.now();
    await bob.do(() => window.client.wantQuality('ada', 'HIGH'));
    await widthOf(bob, ada, 640);
    figure(`dynacast_upper_layer_back_${mode}_ms`, performance.now() - asked, 'ms', 1500);
    await bob.sees(ada);
  });
}

// covers: out.subscribed_quality_update, sdk.dynacast
test('a camera that nobody watches rests, is not lost, and comes back', async () => {
  const [ada, bob] = await watched();
  await bob.do(() => window.client.publication('ada', 'video').setEnabled(false));
  await until(async () => same(await encodes(ada), []), 'the camera to rest', REST_WITHIN);
  const events = (await ada.eventNames()).length;
  // Longer than a layer is called silent, and than connection quality is judged.
  await pause(7_000);
  assert.deepEqual(await encodes(ada), []);
  assert.deepEqual(await ada.eventNames(events), []);
  const quality = await bob.do(() => window.client.room.remoteParticipants.get('ada').connectionQuality);
  assert.ok(['excellent', 'good'].includes(quality), quality);

  const asked = performance.now();
  await bob.do(() => window.client.publication('ada', 'video').setEnabled(true));
  await bob.sees(ada);
  figure('dynacast_camera_back_ms', performance.now() - asked, 'ms', 1500);
});

test('a camera that is alone in its room rests until somebody comes', async () => {
  const room = newRoom();
  const [ada, bob] = await stage.people('ada', 'bob');
  await ada.join(stage.server, room, { options: { dynacast: true } });
  await ada.show();
  await until(async () => same(await encodes(ada), []), 'the camera to rest', REST_WITHIN);
  await bob.join(stage.server, room);
  await bob.sees(ada);
});

// covers: in.track_setting, sdk.adaptive_stream, sdk.dynacast
test('the size of the element decides what is encoded', async () => {
  const [ada, bob] = await watched({ options: { adaptiveStream: { pixelDensity: 1 } } });
  const size = (width) =>
    bob.do((width) => {
      const { style } = document.querySelector('video');
      style.display = width > 0 ? 'block' : 'none';
      style.width = `${width}px`;
      style.height = `${(width * 9) / 16}px`;
    }, width);
  await size(640);
  await widthOf(bob, ada, 640);
  await size(160);
  await widthOf(bob, ada, 320);
  await until(async () => same(await encodes(ada), [LOW]), 'the upper layer to rest', REST_WITHIN);
  await size(0);
  await until(async () => same(await encodes(ada), []), 'all layers to rest', REST_WITHIN);
  await size(640);
  await widthOf(bob, ada, 640);
  await bob.sees(ada);
  assert.deepEqual(await encodes(ada), [HIGH, LOW]);
});

/** Ada publishes with dynacast, Bob watches. */
async function watched({ mode = 'single', options = {} } = {}) {
  const room = newRoom();
  const [ada, bob] = await stage.people('ada', 'bob');
  await ada.join(stage.server, room, { mode, options: { dynacast: true } });
  await ada.show();
  await bob.join(stage.server, room, { mode, options });
  await bob.sees(ada);
  return [ada, bob];
}

/** The layers that encode frames now, by name. */
async function encodes(person) {
  const before = await person.do(() => window.client.encoded());
  await pause(RESTS_MS);
  const after = await person.do(() => window.client.encoded());
  return Object.keys(after)
    .filter((rid) => after[rid] > (before[rid] ?? 0))
    .sort();
}

function same(one, other) {
  return one.join() === other.join();
}

function widthOf(viewer, publisher, width) {
  return until(
    async () => (await viewer.inbound(publisher, 'video'))?.frameWidth === width,
    `a picture ${width} wide`,
    { within: 20_000, every: 20 },
  );
}
