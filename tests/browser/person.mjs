// A participant as a test speaks of one: joins, shows, sees, hears. Each has a browser context of its own.

import assert from 'node:assert/strict';
import { until } from './expect.mjs';
import { token } from './tokens.mjs';

/** Frames that must be decoded anew before somebody counts as seen: two thirds of a second at 15 fps. */
const SEEN_FRAMES = 10;
/** Codecs, and the way from RGB to YUV and back, change a brightness by less. */
const LUMA_TOLERANCE = 20;
const TONE_TOLERANCE_HZ = 5;
/** Silence and noise are below. */
const AUDIBLE_DECIBELS = -60;

export class Person {
  constructor(identity, page) {
    this.identity = identity;
    this.page = page;
  }

  /**
   * Opens the test page, not joined yet. `lacks` are media types of codecs that it does without, as `video/VP9`, or parts of their
   * parameters; the key frames of a `gated` one can be withheld; one that is `high` says that it publishes H.264 in high profile.
   */
  static async open(browser, harness, identity, { lacks = [], gated = false, high = false } = {}) {
    const context = await browser.newContext();
    const page = await context.newPage();
    const person = new Person(identity, page);
    const wishes = new URLSearchParams({ ...(lacks.length > 0 && { lacks: lacks.join() }), ...(gated && { gated }), ...(high && { high }) });
    await page.goto(`${harness.url}?${wishes}`);
    await page.waitForFunction(() => window.client);
    return person;
  }

  /**
   * Joins `room`. `mode` is `single` or `dual` peer connections; `grants` and `claims` go into the token; `publish` and
   * `options` are publish defaults and room options of `livekit-client` beside those of the test page.
   */
  async join(server, room, { mode = 'single', grants = {}, claims = {}, autoSubscribe = true, publish = {}, options = {} } = {}) {
    const jwt = await token(room, this.identity, grants, { keys: server.keys, ...claims });
    await this.do(
      ([url, jwt, options, publish, autoSubscribe]) => window.client.join(url, jwt, options, { autoSubscribe }, publish),
      [server.url, jwt, { singlePeerConnection: mode === 'single', ...options }, publish, autoSubscribe],
    );
    return this;
  }

  /** Runs a function in the page. */
  do(fn, argument) {
    return this.page.evaluate(fn, argument);
  }

  /** Paths of the WebSockets that the page opened, in order. */
  signalPaths() {
    return this.do(() => window.client.sockets.map((url) => new URL(url).pathname));
  }

  show() {
    return this.do(async () => {
      await window.client.room.localParticipant.setCameraEnabled(true);
    });
  }

  speak() {
    return this.do(async () => {
      await window.client.room.localParticipant.setMicrophoneEnabled(true);
    });
  }

  async showAndSpeak() {
    await this.show();
    await this.speak();
  }

  /** Waits until a picture of `other` is decoded from `codec`; its stats. */
  async seesIn(codec, other, options) {
    const stats = await this.sees(other, options);
    assert.equal(stats.codec, codec);
    return stats;
  }

  inbound(other, kind) {
    return this.do(([identity, kind]) => window.client.inbound(identity, kind), [other.identity, kind]);
  }

  /** Waits until frames of `other` that were sent from now on are decoded here. */
  async sees(other, options) {
    const start = (await this.inbound(other, 'video'))?.framesDecoded ?? 0;
    return until(
      async () => {
        const stats = await this.inbound(other, 'video');
        // A new subscription counts from nought again.
        const base = stats && stats.framesDecoded < start ? 0 : start;
        return stats && stats.framesDecoded >= base + SEEN_FRAMES ? stats : null;
      },
      `${this.identity} to see ${other.identity}`,
      options,
    );
  }

  /** Waits until sound of `other` is played here: energy, not packets, for silence is packets too. */
  async hears(other, options) {
    const start = (await this.inbound(other, 'audio'))?.totalAudioEnergy ?? 0;
    return until(
      async () => {
        const stats = await this.inbound(other, 'audio');
        const base = stats && stats.totalAudioEnergy < start ? 0 : start;
        return stats && stats.totalAudioEnergy > base + 1e-6 ? stats : null;
      },
      `${this.identity} to hear ${other.identity}`,
      options,
    );
  }

  /** Publishes a camera that shows one brightness, 0 to 255. */
  paints(luma, options) {
    return this.do(([luma, options]) => window.client.paint(luma, options), [luma, options]);
  }

  /** Publishes a microphone that hears one tone. */
  sings(hertz, options) {
    return this.do(([hertz, options]) => window.client.sing(hertz, options), [hertz, options]);
  }

  /** Waits until what is shown of `other` is as bright as that. */
  async seesLuma(other, luma, options) {
    const shown = () => this.do((identity) => window.client.luma(identity), other.identity);
    return until(
      async () => {
        const now = await shown();
        return now && Math.abs(now - luma) < LUMA_TOLERANCE ? now : null;
      },
      `${this.identity} to see ${other.identity} at a brightness of ${luma}`,
      { diagnose: shown, ...options },
    );
  }

  /** What is sent of the own camera or microphone, with codecs. */
  outbound(kind) {
    return this.do((kind) => window.client.outbound(kind), kind);
  }

  /** Waits until what is heard of `other` is that tone, in the left channel or another one. */
  async hearsTone(other, hertz, { channel = 0, ...options } = {}) {
    const heard = () =>
      this.do(([identity, channel]) => window.client.tone(identity, 'audio', channel), [other.identity, channel]);
    return until(
      async () => {
        const now = await heard();
        return now && now.decibels > AUDIBLE_DECIBELS && Math.abs(now.hertz - hertz) < TONE_TOLERANCE_HZ ? now : null;
      },
      `${this.identity} to hear ${other.identity} at ${hertz} Hz`,
      { diagnose: heard, ...options },
    );
  }

  /** Waits for an event of the room; `since` is the number of events that happened before. */
  async event(name, { since = 0, ...options } = {}) {
    return until(
      () => this.do(([name, since]) => window.client.events.slice(since).find((event) => event.name === name), [name, since]),
      `${this.identity} to get the event ${name}`,
      options,
    );
  }

  eventNames(since = 0) {
    return this.do((since) => window.client.events.slice(since).map((event) => event.name), since);
  }

  /** Whether `other` is in the room, as this person sees it. */
  knows(other) {
    return this.do((identity) => window.client.room.remoteParticipants.has(identity), other.identity);
  }

  async frameTimes(other) {
    return this.do((identity) => window.client.frames[identity] ?? [], other.identity);
  }

  /** What is known here of the camera or microphone of `other`. */
  publication(other, kind) {
    return this.do(
      ([identity, kind]) => {
        const publication = window.client.publication(identity, kind);
        return publication && { sid: publication.trackSid, mime: publication.mimeType, muted: publication.isMuted, subscribed: publication.isSubscribed };
      },
      [other.identity, kind],
    );
  }

  /** Protocols of the candidate pairs that this page's connections have selected. */
  async protocols() {
    return this.do(() => window.client.protocols());
  }

  leave() {
    return this.do(() => window.client.room.disconnect());
  }

  /** Ends the page's process without a word to the server. */
  async crash() {
    const session = await this.page.context().newCDPSession(this.page);
    const crashed = this.page.waitForEvent('crash');
    // The command never gets an answer: who should give it is gone.
    session.send('Page.crash').catch(() => {});
    await crashed;
  }

  close() {
    return this.page.context().close();
  }
}

/** Two-way proof that a call works. */
export async function assertMutual(ada, bob) {
  const [seen] = await Promise.all([ada.sees(bob), bob.sees(ada), ada.hears(bob), bob.hears(ada)]);
  assert.equal(seen.codec, 'video/VP8');
}

/** Waits until each of them knows all others. */
export async function acquainted(...people) {
  for (const person of people) {
    for (const other of people) {
      if (other !== person) await until(() => person.knows(other), `${person.identity} to know ${other.identity}`);
    }
  }
}
