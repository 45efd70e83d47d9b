// The operator's page at /rooms, clicked through while people are in a call: it says who sends and gets what, and why
// something stands still. What it shows comes from /debug/rooms, which needs a grant.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from './expect.mjs';
import { Server } from './server.mjs';
import { callStage, newRoom } from './stage.mjs';
import { token } from './tokens.mjs';

/** The room of the screenshots. */
const SHOWN_ROOM = 'design-review';
const WINDOW = { width: 1440, height: 1000 };

const stage = callStage();

test('the page lists rooms and opens one', async () => {
  await call(newRoom());
  const room = newRoom();
  await call(room);
  const operator = await open('/rooms');
  await operator.page.locator(`[data-testid=room-row][data-room=${room}]`).click();
  await operator.see('room').waitFor();
  await until(async () => (await operator.see('participant').count()) === 2, 'both participants');
  assert.match(operator.page.url(), new RegExp(`[?]room=${room}`));
  assert.ok((await operator.see('room-row').count()) >= 2);
});

test('a call in which all is well, in full', async () => {
  await call(SHOWN_ROOM);
  const operator = await open(`/rooms?room=${SHOWN_ROOM}`);
  await until(async () => (await operator.see('verdict').getAttribute('data-tone')) === 'good', 'the good verdict');
  const detail = await pick(operator, 'bob');
  assert.match(await detail.getByTestId('transport').textContent(), /Connected.*UDP [\d.:]+.*AEAD_AES_256_GCM.*DTLS 1\.2/s);
  const camera = stream(detail, 'ada', 'camera');
  await until(async () => /[1-9]\d* kbit\/s|Mbit/.test(await camera.textContent()), 'the rate of the camera');
  assert.match(await camera.textContent(), /layer 1, wants all/);
  const decisions = detail.getByTestId('decisions');
  assert.match(await decisions.textContent(), /Sending begins with layer \d/);
  const own = await pick(operator, 'ada');
  const layers = own.locator('[data-testid=track][data-source=camera]').getByTestId('layer');
  await until(async () => (await layers.count()) === 2, 'both layers');
  assert.match(await layers.nth(1).textContent(), /640×360.*packets\/s.*key frame [\d.]+ (s|min) ago/s);
  assert.match(await own.getByTestId('decisions').textContent(), /Asked for a key frame of layer \d/);
  await operator.screenshot('rooms');
});

// covers: why.adaptive_stream_hidden, why.dynacast
test('why a picture stands still: not shown, and then its publisher rests', async () => {
  const room = newRoom();
  const [, bob] = await call(room);
  const operator = await open(`/rooms?room=${room}`);
  const camera = stream(await pick(operator, 'bob'), 'ada', 'camera');
  await bob.do(() => window.client.publication('ada', 'video').setEnabled(false));
  await says(camera, 'adaptive_stream_hidden');
  assert.match(await camera.textContent(), /does not show this track/);
  const own = await pick(operator, 'ada');
  const track = own.locator('[data-testid=track][data-source=camera]');
  await says(track, 'dynacast', { within: 20_000 });
  assert.match(await track.textContent(), /Nobody wants it/);
});

// covers: why.muted
test('why a sound stands still: muted', async () => {
  const room = newRoom();
  const [ada] = await call(room);
  const operator = await open(`/rooms?room=${room}`);
  const microphone = stream(await pick(operator, 'bob'), 'ada', 'microphone');
  await ada.do(() => window.client.room.localParticipant.setMicrophoneEnabled(false));
  await says(microphone, 'muted');
  await ada.do(() => window.client.room.localParticipant.setMicrophoneEnabled(true));
  await says(microphone, '');
});

// covers: why.permission
test('why nothing comes: not permitted', async () => {
  const room = newRoom();
  const [ada] = await call(room);
  await ada.do(() => window.client.room.localParticipant.setTrackSubscriptionPermissions(false, []));
  const operator = await open(`/rooms?room=${room}`);
  await says(stream(await pick(operator, 'bob'), 'ada', 'camera'), 'permission');
  assert.equal(await operator.see('verdict').getAttribute('data-tone'), 'bad');
});

// covers: why.no_packets
test('why a picture is frozen: its publisher sends no packets', async () => {
  const [ada] = await call(newRoom());
  const room = (await ada.do(() => window.client.room.name)) ?? '';
  const operator = await open(`/rooms?room=${room}`);
  const camera = stream(await pick(operator, 'bob'), 'ada', 'camera');
  await says(camera, '');
  await ada.crash();
  await says(camera, 'no_packets');
  assert.match(await operator.see('verdict').textContent(), /stand still.*Camera of ada at bob/s);
  await operator.screenshot('rooms-frozen');
  await operator.page.setViewportSize({ width: 390, height: 844 });
  const overflow = await operator.page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
  assert.equal(overflow, false, 'the page is wider than the phone');
  await operator.screenshot('rooms-phone');
});

// covers: why.codec
test('why nothing comes: the browser lacks the codec', async () => {
  const room = newRoom();
  const [ada] = await call(room, { publish: { videoCodec: 'vp9', backupCodec: false } });
  const carol = await stage.person('carol', { lacks: ['video/VP9'] });
  await carol.join(stage.server, room);
  await carol.hears(ada);
  const operator = await open(`/rooms?room=${room}`);
  const camera = stream(await pick(operator, 'carol'), 'ada', 'camera');
  await says(camera, 'codec');
  assert.match(await camera.textContent(), /cannot decode/);
  await says(stream(await pick(operator, 'bob'), 'ada', 'camera'), '');
});

// covers: why.bandwidth
test('why a picture stands still: it does not fit into the bandwidth', async () => {
  const room = newRoom();
  const [, bob] = await call(room);
  const operator = await open(`/rooms?room=${room}`);
  const camera = stream(await pick(operator, 'bob'), 'ada', 'camera');
  await bob.do(() => window.client.room.simulateScenario('subscriber-bandwidth', 20_000));
  await says(camera, 'bandwidth');
  await bob.do(() => window.client.room.simulateScenario('subscriber-bandwidth', 0));
  await says(camera, '');
});

// covers: why.awaiting_key_frame
test('why a picture does not begin: no key frame comes', async () => {
  const room = newRoom();
  const [ada, bob] = await call(room, { ada: { gated: true } });
  await ada.do(() => window.client.withholdKeyFrames());
  const [carol] = await stage.people('carol');
  await carol.join(stage.server, room);
  await carol.hears(ada);
  const operator = await open(`/rooms?room=${room}`);
  const camera = stream(await pick(operator, 'carol'), 'ada', 'camera');
  await says(camera, 'awaiting_key_frame');
  assert.match(await camera.textContent(), /only begin with a key frame/);
  assert.equal(await carol.do(() => window.client.luma('ada')), null, 'carol sees a picture');
  assert.ok(await bob.knows(carol));
});

test('in production the page is on the admin port, and nothing of it on the public one', async (t) => {
  const server = await Server.startProduction();
  t.after(() => server.stop());
  const room = newRoom();
  await call(room, { server });
  const list = await token('', 'operator', { roomJoin: false, roomList: true }, { keys: server.keys });
  const headers = { authorization: `Bearer ${list}` };
  for (const path of ['/rooms', '/rooms.html', '/debug/rooms', `/debug/rooms/${room}`, '/dev/operator']) {
    assert.equal((await fetch(`${server.page}${path}`, { headers })).status, 404, path);
  }
  assert.equal((await fetch(`${server.admin}/debug/rooms`)).status, 401, 'a token is wanted on the admin port, too');
  assert.equal((await fetch(`${server.admin}/dev/operator`)).status, 404, 'tokens are given away');
  assert.equal((await (await fetch(`${server.admin}/debug/rooms/${room}`, { headers })).json()).name, room);

  const operator = await open(`/rooms?room=${room}`, server.admin);
  await operator.see('gate').waitFor();
  await operator.see('token-input').fill(list);
  await operator.click('token-submit');
  await until(async () => (await operator.see('verdict').getAttribute('data-tone')) === 'good', 'the good verdict');
  assert.equal(await operator.see('participant').count(), 2);
  await says(stream(await pick(operator, 'bob'), 'ada', 'camera'), '');
});

test('a token from the link is what counts, and one that does not do is named', async () => {
  const room = newRoom();
  await call(room);
  const admin = await token(room, 'operator', { roomJoin: false, roomAdmin: true });
  const operator = await open(`/rooms#token=${admin}`);
  await operator.see('room-row').waitFor();
  assert.equal(await operator.see('room-row').count(), 1);
  const guest = await open(`/rooms#token=${await token(room, 'guest')}`);
  await guest.see('gate').waitFor();
  assert.match(await guest.see('token-problem').textContent(), /neither roomList nor roomAdmin/);
  await guest.screenshot('rooms-gate');
  await guest.see('token-input').fill(await token(room, 'operator', { roomJoin: false, roomList: true }));
  await guest.click('token-submit');
  await guest.see('room-row').first().waitFor();
});

test('the route behind the page wants a grant', async () => {
  const room = newRoom();
  await call(room);
  const ask = async (path, jwt) => {
    const headers = jwt ? { authorization: `Bearer ${jwt}` } : {};
    const response = await fetch(`${stage.server.page}${path}`, { headers });
    return { status: response.status, body: await response.json() };
  };
  const list = await token('', 'operator', { roomJoin: false, roomList: true });
  const admin = await token(room, 'operator', { roomJoin: false, roomAdmin: true });
  const guest = await token(room, 'guest');
  assert.equal((await ask('/debug/rooms')).status, 401);
  assert.equal((await ask('/debug/rooms', guest)).status, 403);
  assert.equal((await ask(`/debug/rooms/${room}`, guest)).status, 403);
  assert.equal((await ask('/debug/rooms/another', admin)).status, 403);
  assert.equal((await ask('/debug/rooms/another', list)).status, 404);
  assert.ok((await ask('/debug/rooms', list)).body.rooms.some(({ name }) => name === room));
  const { status, body } = await ask(`/debug/rooms/${room}?participant=bob`, admin);
  assert.equal(status, 200);
  const [ada, bob] = body.participants;
  assert.equal(ada.transports[0].decisions.length, 0);
  assert.ok(bob.transports[0].decisions.length > 0);
  assert.equal(bob.subscriptions.find(({ source }) => source === 'camera').why, null);
});

/** Ada and Bob see and hear each other; Ada's camera rests while nobody watches. */
async function call(room, { server = stage.server, publish, ada: wishes } = {}) {
  const [ada, bob] = await Promise.all([stage.person('ada', wishes), stage.person('bob')]);
  await ada.join(server, room, { options: { dynacast: true }, publish });
  await ada.showAndSpeak();
  await bob.join(server, room);
  await bob.showAndSpeak();
  await bob.sees(ada);
  await bob.hears(ada);
  await ada.sees(bob);
  return [ada, bob];
}

/** Somebody in front of `path`: on the page of dev mode, or wherever the operator of `where` looks. */
function open(path, where = stage.server.page) {
  return stage.visitor('the operator', `${where}${path}`, WINDOW);
}

/** Opens the details of a participant. */
async function pick(operator, identity) {
  await operator.page.locator(`[data-testid=participant][data-identity=${identity}]`).click();
  const detail = operator.page.locator(`[data-testid=detail][data-identity=${identity}]`);
  await detail.getByTestId('decisions').waitFor();
  return detail;
}

function stream(detail, publisher, source) {
  return detail.locator(`[data-testid=stream][data-publisher=${publisher}][data-source=${source}]`);
}

async function says(row, why, options) {
  const said = () => row.getAttribute('data-why');
  await until(async () => (await said()) === why, `the reason ${why || 'none'}`, { diagnose: said, ...options });
}
