// Somebody in front of the real meeting page: sees what is on the screen, clicks and types.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { until } from './expect.mjs';

const SCREENSHOTS =
  process.env.PLENUM_SCREENSHOT_DIR ?? fileURLToPath(new URL('../../target/screenshots', import.meta.url));

/** What is clicked or waited for must be there by then: a slow machine joins in five seconds, a busy one in three times that. */
const WITHIN_MS = 30_000;

/** Frames that must be shown anew before a tile counts as live. */
const LIVE_FRAMES = 8;

export class Visitor {
  /** Errors of the page's scripts. A test ends with none. */
  errors = [];

  constructor(name, page) {
    this.name = name;
    this.page = page;
    page.on('pageerror', (error) => this.errors.push(error.message));
  }

  /** Opens `address` in a fresh context, with the pictures of tests: 640x360 at 15 fps. */
  static async open(browser, name, address, viewport = { width: 1280, height: 760 }) {
    const context = await browser.newContext({ viewport });
    context.setDefaultTimeout(WITHIN_MS);
    const visitor = new Visitor(name, await context.newPage());
    await visitor.page.goto(address);
    return visitor;
  }

  /** The element with this test id. */
  see(testId) {
    return this.page.getByTestId(testId);
  }

  async click(testId) {
    await this.see(testId).click();
  }

  /** From the lobby into the call. */
  async join() {
    await this.see('name-input').fill(this.name);
    await this.click('join');
    await this.see('call').waitFor();
  }

  /** The tile of the participant with this name. */
  tile(name) {
    return this.page.locator(`[data-testid=tile][data-name="${name}"]`);
  }

  get sharedScreen() {
    return this.see('screen-tile');
  }

  /** Waits until the video in `tile` shows frames that came from now on. */
  async live(tile, what, options) {
    const shown = () =>
      tile.locator('video').evaluate((video) => video.getVideoPlaybackQuality().totalVideoFrames).catch(() => -1);
    const start = Math.max(0, await shown());
    await until(async () => (await shown()) >= start + LIVE_FRAMES, `${this.name} to see ${what}`, { within: WITHIN_MS, diagnose: shown, ...options });
  }

  /** Waits until the tile of `name` has this value in an attribute such as `data-muted`. */
  async tileSays(name, attribute, value, options) {
    await until(
      async () => (await this.tile(name).getAttribute(attribute, { timeout: 1_000 }).catch(() => null)) === value,
      `${this.name} to see ${attribute}=${value} on the tile of ${name}`,
      { within: WITHIN_MS, ...options },
    );
  }

  async screenshot(file) {
    await mkdir(SCREENSHOTS, { recursive: true });
    // Transitions are brought to their end: half a ring is no picture of anything.
    await this.page.screenshot({ path: `${SCREENSHOTS}/${file}.png`, animations: 'disabled' });
  }

  async close() {
    await this.page.context().close();
    assert.deepEqual(this.errors, [], `errors in the page of ${this.name}`);
  }
}
