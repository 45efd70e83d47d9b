// Debian's Firefox ESR, driven over WebDriver BiDi, which its own remote agent speaks: no other program stands between.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import WebSocket from 'ws';
import { pause, until } from './expect.mjs';

const EXECUTABLE = process.env.PLENUM_FIREFOX ?? '/usr/bin/firefox-esr';
/** What the fake microphone plays. */
export const FAKE_TONE_HZ = 1_320;
/** The fake camera changes its colour and never its brightness. */
export const FAKE_LUMA = 128;
/** A cold start on a slow machine. */
const START_WITHIN_MS = 45_000;
const END_WITHIN_MS = 5_000;

const PREFERENCES = {
  // Devices that need no hardware and no click.
  'media.navigator.streams.fake': true,
  'media.navigator.permission.disabled': true,
  'media.navigator.audio.fake_frequency': FAKE_TONE_HZ,
  'media.autoplay.default': 0,
  'media.autoplay.blocking_policy': 0,
  // Nothing but the test page is fetched: no codec plug-ins, updates, reports or captive portals.
  'media.gmp-manager.updateEnabled': false,
  'media.gmp-manager.url': '',
  'app.update.auto': false,
  'app.normandy.enabled': false,
  'browser.shell.checkDefaultBrowser': false,
  'browser.safebrowsing.update.enabled': false,
  'datareporting.policy.dataSubmissionEnabled': false,
  'extensions.getAddons.cache.enabled': false,
  'extensions.update.enabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'services.settings.server': 'data:,',
  'toolkit.telemetry.enabled': false,
};

export class Firefox {
  #process;
  #socket;
  #profile;
  #next = 1;
  #waiting = new Map();

  /** Starts a headless Firefox with a profile of its own. */
  static async launch() {
    const firefox = new Firefox();
    firefox.#profile = await mkdtemp(join(tmpdir(), 'plenum-firefox-'));
    const lines = Object.entries(PREFERENCES).map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});`);
    await writeFile(join(firefox.#profile, 'user.js'), lines.join('\n'));
    try {
      await firefox.#start();
    } catch (error) {
      await firefox.close();
      throw error;
    }
    return firefox;
  }

  async #start() {
    const child = spawn(EXECUTABLE, ['--headless', '--no-remote', '--profile', this.#profile, '--remote-debugging-port=0', 'about:blank'], {
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
    });
    this.#process = child;
    let said = '';
    child.on('error', (error) => (said += error.message));
    child.stderr.setEncoding('utf8').on('data', (text) => (said += text));
    const address = await until(() => said.match(/WebDriver BiDi listening on (ws:\S+)/)?.[1], 'Firefox to listen', { within: START_WITHIN_MS });
    this.#socket = new WebSocket(`${address}/session`);
    await once(this.#socket, 'open');
    this.#socket.on('message', (text) => this.#receive(JSON.parse(text)));
    this.#socket.on('close', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('Firefox went away'));
      this.#waiting.clear();
    });
    const { capabilities } = await this.send('session.new', { capabilities: {} });
    this.version = capabilities.browserVersion;
  }

  #receive(message) {
    const waiting = this.#waiting.get(message.id);
    if (!waiting) return;
    this.#waiting.delete(message.id);
    if (message.type === 'success') waiting.resolve(message.result);
    else waiting.reject(new Error(`${waiting.method}: ${message.error}: ${message.message}`));
  }

  /** Sends one BiDi command. */
  send(method, params) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, method });
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
  }

  /** A container of its own: other people's storage is not seen in it. */
  async newContext() {
    const { userContext } = await this.send('browser.createUserContext', {});
    return {
      newPage: async () => {
        const { context } = await this.send('browsingContext.create', { type: 'tab', userContext });
        return new FirefoxPage(this, userContext, context);
      },
    };
  }

  async close() {
    this.#socket?.terminate();
    const child = this.#process;
    if (child?.pid && child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit');
      // Its content processes are in the same group and end with it.
      process.kill(-child.pid, 'SIGTERM');
      await Promise.race([ended, pause(END_WITHIN_MS)]);
      if (child.exitCode === null && child.signalCode === null) {
        process.kill(-child.pid, 'SIGKILL');
        await ended;
      }
    }
    await rm(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** A tab, with as much of Playwright's interface as a Person needs. */
class FirefoxPage {
  #firefox;
  #userContext;
  #context;

  constructor(firefox, userContext, context) {
    this.#firefox = firefox;
    this.#userContext = userContext;
    this.#context = context;
  }

  goto(url) {
    return this.#firefox.send('browsingContext.navigate', { context: this.#context, url, wait: 'complete' });
  }

  waitForFunction(fn) {
    return until(() => this.evaluate(`() => Boolean((${fn})())`), 'a function to be true in the page');
  }

  /** Runs a function in the page; argument and result go as JSON. */
  async evaluate(fn, argument) {
    const { type, result, exceptionDetails } = await this.#firefox.send('script.callFunction', {
      functionDeclaration: `async (text) => JSON.stringify((await (${fn})(text && JSON.parse(text))) ?? null)`,
      arguments: argument === undefined ? [] : [{ type: 'string', value: JSON.stringify(argument) }],
      target: { context: this.#context },
      awaitPromise: true,
    });
    if (type === 'exception') throw new Error(`in the page: ${exceptionDetails.text}`);
    return JSON.parse(result.value) ?? undefined;
  }

  context() {
    return { close: () => this.#firefox.send('browser.removeUserContext', { userContext: this.#userContext }) };
  }
}
