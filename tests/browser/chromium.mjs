// Debian's Chromium with devices that need no hardware and no click.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { writePortrait } from './portrait.mjs';
import { writeVoice } from './voice.mjs';

const EXECUTABLE = process.env.PLENUM_CHROMIUM ?? '/usr/bin/chromium';

const FLAGS = [
  '--headless=new',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
  '--autoplay-policy=no-user-gesture-required',
];

/** Devices and a screen that need no hardware and no click. The screen is a drawn one, too. */
const FAKE_DEVICES = [
  '--use-fake-device-for-media-stream',
  '--use-fake-ui-for-media-stream',
  '--auto-select-desktop-capture-source=Entire screen',
];

/** A page may capture itself, and nobody is asked. */
const OWN_TAB = ['--auto-accept-this-tab-capture'];

/** Browsers of one test file, and the folder with what their cameras and microphones play. */
export class Browsers {
  #open = [];

  constructor(folder) {
    this.folder = folder;
  }

  static async prepare() {
    const folder = await mkdtemp(join(tmpdir(), 'plenum-browser-'));
    await writeVoice(join(folder, 'voice.wav'));
    return new Browsers(folder);
  }

  /** Starts a Chromium whose microphone hears a voice; `flags` are added. */
  async launch(flags = []) {
    const voice = `--use-file-for-fake-audio-capture=${join(this.folder, 'voice.wav')}`;
    const browser = await chromium.launch({ executablePath: EXECUTABLE, args: [...FLAGS, ...FAKE_DEVICES, voice, ...flags] });
    this.#open.push(browser);
    return browser;
  }

  /** Starts a Chromium whose pages can share themselves with their sound; it has no other devices. */
  async launchSharing() {
    const browser = await chromium.launch({ executablePath: EXECUTABLE, ignoreDefaultArgs: ['--mute-audio'], args: [...FLAGS, ...OWN_TAB] });
    this.#open.push(browser);
    return browser;
  }

  /** The same with a drawn person of this hue before the camera, for what people look at. */
  async launchPortrait(name, hue, flags = []) {
    // Chromium names the camera by the path that it is given, and a screenshot shows the name.
    process.chdir(this.folder);
    const picture = `Camera of ${name}.y4m`;
    await writePortrait(picture, hue);
    return this.launch([`--use-file-for-fake-video-capture=${picture}`, ...flags]);
  }

  async close() {
    await Promise.all(this.#open.map((browser) => browser.close()));
    await rm(this.folder, { recursive: true });
  }
}
