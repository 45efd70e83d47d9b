// The meeting page that plenum-sfu serves, clicked through as people do.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { Browsers } from './chromium.mjs';
import { until } from './expect.mjs';
import { Server } from './server.mjs';
import { newRoom } from './stage.mjs';
import { forgedToken, token } from './tokens.mjs';
import { Visitor } from './visitor.mjs';
import { Wire } from './wire.mjs';

/** A name that leads to this machine and yet is no secure context: browsers trust only localhost without https. */
const INSECURE_HOST = 'plenum.test';

/** Each has a Chromium with a picture of their own. */
const PEOPLE = [
  { name: 'Ada Lovelace', hue: 215 },
  { name: 'Grace Hopper', hue: 160 },
  { name: 'Emmy Noether', hue: 20 },
];
/** The room of the screenshots. */
const SHOWN_ROOM = 'design-review';
const [ADA, GRACE, EMMY] = PEOPLE.map(({ name }) => name);

let server;
let browsers;
const browserOf = {};
let present = [];

before(async () => {
  server = await Server.start();
  browsers = await Browsers.prepare();
  for (const { name, hue } of PEOPLE) {
    browserOf[name] = await browsers.launchPortrait(name, hue, [`--host-resolver-rules=MAP ${INSECURE_HOST} 127.0.0.1`]);
  }
});

afterEach(async () => {
  const visitors = present;
  present = [];
  for (const visitor of visitors) await visitor.close();
});

after(async () => {
  await browsers?.close();
  await server?.stop();
});

test('the lobby shows the camera, the level of the microphone and the devices', async () => {
  const ada = await visit(ADA, SHOWN_ROOM);
  assert.equal(await ada.see('join').isEnabled(), false, 'one can join without a name');
  await ada.see('name-input').fill(ADA);
  const preview = ada.see('preview-video');
  await until(
    () => preview.evaluate((video) => video.videoWidth === 640 && video.getVideoPlaybackQuality().totalVideoFrames > 5),
    'the preview to run',
  );
  await until(
    async () => Number(await ada.see('mic-level').getAttribute('data-level')) > 0.1,
    'the level to move',
    { every: 20 },
  );
  assert.ok((await ada.see('select-microphone').locator('option').count()) > 1);
  assert.equal(await ada.see('join').isEnabled(), true);
  await ada.screenshot('lobby');
  await ada.click('toggle-camera');
  await preview.waitFor({ state: 'detached' });
});

test('two people meet by a link and see each other', async () => {
  const [ada, grace] = await call(ADA, GRACE);
  assert.equal(await ada.see('participant-count').textContent(), '2');
  assert.match(ada.page.url(), /[?&]room=room-/);
  await ada.tileSays(GRACE, 'data-speaking', 'true', { every: 20 });
  await grace.tileSays(ADA, 'data-speaking', 'true', { every: 20 });
});

test('the sound of the other is played', async () => {
  const [ada] = await call(ADA, GRACE);
  await until(
    () =>
      ada.page.evaluate(() =>
        [...document.querySelectorAll('audio')].some((audio) => audio.srcObject?.active && !audio.paused && audio.currentTime > 1),
      ),
    'an audio element to play',
  );
});

test('mute and camera off show on the other side', async () => {
  const [ada, grace] = await call(ADA, GRACE);
  await ada.click('microphone');
  await grace.tileSays(ADA, 'data-muted', 'true');
  await grace.tile(ADA).getByTestId('muted-mark').waitFor();
  await ada.click('microphone');
  await grace.tileSays(ADA, 'data-muted', 'false');

  await ada.page.keyboard.press('Control+e');
  await grace.tileSays(ADA, 'data-video', 'false');
  await ada.page.keyboard.press('Control+e');
  await grace.tileSays(ADA, 'data-video', 'true');
  await grace.live(grace.tile(ADA), 'Ada again');
});

test('another microphone can be chosen during the call', async () => {
  const [ada, grace] = await call(ADA, GRACE);
  await ada.click('microphone-menu');
  const item = ada.page.getByRole('menuitemradio', { name: 'Fake Audio Input 2' });
  await item.click();
  await ada.click('microphone-menu');
  await until(async () => (await item.getAttribute('aria-checked')) === 'true', 'the choice to be marked');
  await ada.page.keyboard.press('Escape');
  await item.waitFor({ state: 'detached' });
  await grace.tileSays(ADA, 'data-muted', 'false');
  await grace.tileSays(ADA, 'data-speaking', 'true', { every: 20 });
});

test('chat arrives, is counted while closed, and its addresses are links', async () => {
  const [ada, grace] = await call(ADA, GRACE);
  await ada.click('chat-toggle');
  await say(ada, 'Good morning!');
  await say(ada, 'The notes are at https://example.org/notes');
  await until(async () => (await grace.see('chat-unread').textContent()) === '2', 'two unread messages');
  await grace.click('chat-toggle');
  const messages = grace.see('chat-message');
  await until(async () => (await messages.count()) === 2, 'both messages');
  assert.match(await messages.nth(0).textContent(), /^Ada Lovelace.*Good morning!$/);
  assert.equal(await messages.nth(1).getByRole('link').getAttribute('href'), 'https://example.org/notes');
  assert.equal(await grace.see('chat-unread').count(), 0);
  await say(grace, 'Thanks, Ada.');
  await until(async () => (await ada.see('chat-message').count()) === 3, 'the answer');
  // Who types need not reach for the mouse to get on.
  await grace.page.keyboard.press('Escape');
  await grace.see('chat').waitFor({ state: 'detached' });
  assert.equal(await grace.see('chat-toggle').evaluate((button) => button === document.activeElement), true, 'the keyboard is lost');
});

// covers: sdk.screen_share
test('a shared screen takes the stage, and gives it back', async () => {
  const [ada, grace] = await call(ADA, GRACE);
  await ada.click('screen-share');
  await grace.sharedScreen.waitFor();
  await grace.live(grace.sharedScreen, 'the shared screen');
  await grace.live(grace.tile(ADA), 'Ada beside her screen');
  await ada.click('screen-share');
  await grace.sharedScreen.waitFor({ state: 'detached' });
  await grace.live(grace.tile(ADA), 'Ada in the grid again');
});

test('who leaves is gone, and comes back as they were', async () => {
  const [ada, grace] = await call(ADA, GRACE);
  await ada.click('microphone');
  await grace.tileSays(ADA, 'data-muted', 'true');
  await ada.click('leave');
  await ada.see('left').waitFor();
  await grace.tile(ADA).waitFor({ state: 'detached' });

  await ada.click('rejoin');
  await ada.see('call').waitFor();
  await grace.live(grace.tile(ADA), 'Ada back');
  assert.equal(await grace.tile(ADA).getAttribute('data-muted'), 'true', 'a muted microphone came back open');
});

test('leaving switches camera and microphone off', async () => {
  const ada = await open(ADA, 'about:blank');
  await ada.page.addInitScript(() => {
    window.captured = [];
    const capture = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (constraints) => {
      const stream = await capture(constraints);
      window.captured.push(...stream.getTracks());
      return stream;
    };
  });
  await ada.page.goto(`${server.page}/?room=${newRoom()}&video=360p15`);
  const running = () => ada.page.evaluate(() => window.captured.filter((track) => track.readyState === 'live').length);
  await until(async () => (await running()) === 2, 'camera and microphone of the lobby');
  await ada.join();
  await ada.live(ada.tile(ADA), 'herself');
  assert.equal(await running(), 2, 'the call opened the devices again');
  await ada.click('leave');
  await ada.see('left').waitFor();
  await until(async () => (await running()) === 0, 'the devices to be off');
});

test('a lost connection is said and mended', async () => {
  const room = newRoom();
  const wire = await Wire.to(server.port);
  try {
    const ada = await open(ADA, `${wire.page}/?room=${room}&video=360p15`);
    await ada.join();
    const grace = await visit(GRACE, room);
    await grace.join();
    await grace.live(grace.tile(ADA), 'Ada');

    wire.cut();
    await ada.see('reconnecting').waitFor();
    await grace.live(grace.tile(ADA), 'Ada, whose media still flows');
    await ada.screenshot('reconnecting');
    wire.mend();
    await ada.see('reconnecting').waitFor({ state: 'detached', timeout: 20_000 });
    await grace.live(grace.tile(ADA), 'Ada after the break');
    await ada.click('microphone');
    await grace.tileSays(ADA, 'data-muted', 'true');
  } finally {
    wire.close();
  }
});

test('a link with a token joins as the token says', async () => {
  const room = newRoom();
  const jwt = await token(room, 'emmy', {}, { name: EMMY });
  const emmy = await open(EMMY, `${server.page}/?video=360p15#token=${jwt}`);
  assert.equal(await emmy.see('name-input').inputValue(), EMMY);
  assert.equal(await emmy.see('room-input').inputValue(), room);
  await emmy.click('join');
  await emmy.see('call').waitFor();
  assert.equal(await emmy.tile(EMMY).getAttribute('data-identity'), 'emmy');
  assert.equal(await emmy.see('invite').count(), 0, 'the link of one person is offered to others');
});

test('an invitation that is not valid says what to do', async () => {
  const jwt = await forgedToken(newRoom(), 'mallory');
  const mallory = await open('Mallory', `${server.page}/#token=${jwt}`);
  await mallory.click('join');
  assert.match(await mallory.see('problem').textContent(), /did not accept your invitation.*Ask the host/);
});

test('without a secure context the page says why, and lets one watch', async () => {
  const room = newRoom();
  const ada = await visit(ADA, room);
  await ada.join();
  const grace = await open(GRACE, `http://${INSECURE_HOST}:${server.port}/?room=${room}`);
  assert.match(await grace.see('insecure-notice').textContent(), /https/);
  await grace.screenshot('insecure');
  await grace.join();
  await grace.live(grace.tile(ADA), 'Ada');
  await grace.see('watch-only').waitFor();
});

test('three people on a desktop and on a phone', async () => {
  const [ada, grace, emmy] = await callIn(SHOWN_ROOM, ADA, GRACE, EMMY);
  for (const visitor of [ada, grace, emmy]) {
    for (const name of [ADA, GRACE, EMMY]) {
      if (name !== visitor.name) await visitor.live(visitor.tile(name), name);
    }
  }
  await emmy.click('microphone');
  await ada.tileSays(EMMY, 'data-muted', 'true');
  await ada.tileSays(GRACE, 'data-speaking', 'true', { every: 20 });
  await ada.screenshot('call');
  await ada.click('chat-toggle');
  await say(ada, 'Shall we start?');
  await grace.click('chat-toggle');
  await say(grace, 'Yes. The draft is at https://example.org/draft');
  await until(async () => (await ada.see('chat-message').count()) === 2, 'the answer');
  await ada.screenshot('call-chat');
  await grace.click('chat-toggle');
  await grace.page.setViewportSize({ width: 390, height: 844 });
  await grace.live(grace.tile(ADA), 'Ada on the phone');
  const overflow = await grace.page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
  assert.equal(overflow, false, 'the page is wider than the phone');
  await grace.screenshot('call-phone');
});

async function say(visitor, text) {
  await visitor.see('chat-input').fill(text);
  await visitor.page.keyboard.press('Enter');
  await visitor.see('chat-message').filter({ hasText: text }).waitFor();
}

/** Opens the page of a room for somebody. */
function visit(name, room) {
  return open(name, `${server.page}/?room=${room}&video=360p15`);
}

async function open(name, address) {
  const visitor = await Visitor.open(browserOf[name] ?? browserOf[ADA], name, address);
  present.push(visitor);
  return visitor;
}

/** These people in one room; the first two see each other live. */
function call(...names) {
  return callIn(newRoom(), ...names);
}

async function callIn(room, ...names) {
  const visitors = [];
  for (const name of names) {
    const visitor = await visit(name, room);
    await visitor.join();
    visitors.push(visitor);
  }
  const [first, second] = visitors;
  await first.live(first.tile(second.name), second.name);
  await second.live(second.tile(first.name), first.name);
  return visitors;
}
