// What the calls of one test file share: a server, a browser, the test page. People are closed after each test.

import { randomBytes } from 'node:crypto';
import { after, afterEach, before } from 'node:test';
import { Browsers } from './chromium.mjs';
import { serveHarness } from './harness.mjs';
import { Person } from './person.mjs';
import { Server } from './server.mjs';

/** Sets up the file; the fields are there once tests run. */
export function callStage() {
  const stage = {
    server: null,
    /** Opens test pages for these identities. */
    people: (...identities) => Promise.all(identities.map((identity) => stage.person(identity))),
    /** Opens a test page; `lacks` are media types of codecs that it does without, as `video/VP9`. */
    person: async (identity, { lacks = [] } = {}) => {
      const person = await Person.open(browser, harness, identity, lacks);
      present.push(person);
      return person;
    },
    /** Opens a test page that can share itself; it has neither camera nor microphone. */
    sharer: async (identity) => {
      sharing ??= await browsers.launchSharing();
      const person = await Person.open(sharing, harness, identity);
      present.push(person);
      return person;
    },
  };
  let browsers;
  let browser;
  let sharing;
  let harness;
  let present = [];

  before(async () => {
    // One after the other: what was started before a failure must be known to `after`, or the process never ends.
    stage.server = await Server.start();
    harness = await serveHarness();
    browsers = await Browsers.prepare();
    browser = await browsers.launch();
  });
  afterEach(async () => {
    await Promise.all(present.map((person) => person.close()));
    present = [];
  });
  after(async () => {
    await browsers?.close();
    harness?.stop();
    await stage.server?.stop();
  });
  return stage;
}

/** A room that no other test uses. */
export function newRoom() {
  return `room-${randomBytes(4).toString('hex')}`;
}
