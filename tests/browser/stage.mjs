// What the calls of one test file share: a server, a browser, the test page. People are closed after each test.

import { randomBytes } from 'node:crypto';
import { after, afterEach, before } from 'node:test';
import { Browsers } from './chromium.mjs';
import { serveHarness } from './harness.mjs';
import { Person, assertMutual } from './person.mjs';
import { Server } from './server.mjs';
import { Visitor } from './visitor.mjs';

/** The two ways in which livekit-client joins, and the path of each. */
export const MODES = [
  ['single', '/rtc/v1'],
  ['dual', '/rtc'],
];

/** Sets up the file; the fields are there once tests run. */
export function callStage() {
  let browsers;
  let browser;
  let sharing;
  let harness;
  let present = [];

  /** What opens pages; `keep` is told of each, and closes it in time. */
  const openers = (keep) => {
    const opener = {
      /** Opens a test page; what `wishes` may hold says `Person.open`. */
      person: async (identity, wishes) => keep(await Person.open(browser, harness, identity, wishes)),
      /** Opens test pages for these identities. */
      people: (...identities) => Promise.all(identities.map((identity) => opener.person(identity))),
      /** Opens a test page that can share itself; it has neither camera nor microphone. */
      sharer: async (identity) => {
        sharing ??= browsers.launchSharing();
        return keep(await Person.open(await sharing, harness, identity));
      },
      /** Opens a page of the server for somebody who looks at it and clicks. */
      visitor: async (name, address, viewport) => keep(await Visitor.open(browser, name, address, viewport)),
      /** Ada and Bob in a room of their own, seeing and hearing each other. */
      meet: async (mode) => {
        const room = newRoom();
        const people = await opener.people('ada', 'bob');
        await Promise.all(people.map((person) => person.join(stage.server, room, { mode })));
        await Promise.all(people.map((person) => person.showAndSpeak()));
        await assertMutual(...people);
        return people;
      },
    };
    return opener;
  };

  const stage = {
    server: null,
    ...openers((one) => {
      present.push(one);
      return one;
    }),
    /** For a test that runs beside others: what it opens is closed when it ends, and not when they do. */
    beside: (test) =>
      openers((one) => {
        test.after(() => one.close());
        return one;
      }),
    /**
     * One call for all tests of a `describe`, one after the other, as a long call meets one thing after another; `open` gives its
     * people. A test that fails leaves the next one a new call, so that each says only what itself saw.
     */
    longCall: (open) => {
      let people = [];
      let whole = false;
      const end = () => Promise.all(people.map((person) => person.close()));
      after(end);
      return async (test) => {
        if (!whole) {
          await end();
          people = [];
          people = await open(openers((one) => one));
        }
        whole = false;
        await test(...people);
        whole = true;
      };
    },
  };

  before(async () => {
    // One after the other: what was started before a failure must be known to `after`, or the process never ends.
    stage.server = await Server.start();
    harness = await serveHarness();
    browsers = await Browsers.prepare();
    browser = await browsers.launch();
  });
  afterEach(async () => {
    const opened = present;
    present = [];
    await Promise.all(opened.map((one) => one.close()));
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
