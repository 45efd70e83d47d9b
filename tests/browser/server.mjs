// A plenum-sfu, started for one test file and ended by its process id: in dev mode, or in production.

import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pause, until } from './expect.mjs';
import { DEV_KEYS } from './tokens.mjs';

/** UDP ports that one server gets: one a Shard. */
const MEDIA_PORTS = 4;
/** Lines of the log that a failed start shows. */
const SHOWN_LINES = 40;
/** How long an orderly end may take before the process is killed. */
const END_WITHIN_MS = 5_000;
/** How often free ports are looked for. */
const ATTEMPTS = 3;
/** Keys of a server in production, which refuses those of dev mode. */
const PRODUCTION_KEYS = { key: 'operations', secret: 'a secret for tests, longer than 32 bytes' };

export class Server {
  #process;
  #log = [];
  #folder;
  keys = DEV_KEYS;

  constructor(port, mediaPort, tcpPort) {
    this.port = port;
    this.mediaPort = mediaPort;
    this.tcpPort = tcpPort;
  }

  /** Starts a server in dev mode on free ports and waits until it is ready. */
  static start(environment = {}) {
    return Server.#launch((server) => server.#start(['--dev'], environment));
  }

  /** The same in production: with a file of settings and an admin port. */
  static startProduction() {
    return Server.#launch(async (server) => {
      server.keys = PRODUCTION_KEYS;
      server.adminPort = await freePort();
      server.#folder = await mkdtemp(join(tmpdir(), 'plenum-server-'));
      const file = join(server.#folder, 'plenum.yaml');
      await writeFile(file, `keys:\n  ${PRODUCTION_KEYS.key}: "${PRODUCTION_KEYS.secret}"\n`);
      await server.#start(['--config', file], { PLENUM_ADMIN_ADDRESS: `127.0.0.1:${server.adminPort}` });
    });
  }

  /** A port that was free a moment ago may be another program's by now: then others are looked for. */
  static async #launch(start) {
    for (let attempt = 1; ; attempt += 1) {
      const server = new Server(await freePort(), await freeMediaPorts(MEDIA_PORTS), await freePort());
      try {
        await start(server);
        return server;
      } catch (error) {
        await server.stop();
        if (attempt === ATTEMPTS || !server.log().includes('Address already in use')) throw new Error(`${error.message}\n${server.log()}`);
      }
    }
  }

  async #start(words, environment) {
    this.#spawn(words, environment);
    await until(() => this.#ready(), 'plenum-sfu to be ready', { within: 15_000 });
  }

  /** For `livekit-client`. */
  get url() {
    return `ws://127.0.0.1:${this.port}`;
  }

  /** For browsers. `localhost` is a secure context, so the page gets a camera. */
  get page() {
    return `http://localhost:${this.port}`;
  }

  /** For operators, in production. */
  get admin() {
    return `http://localhost:${this.adminPort}`;
  }

  /** Its UDP ports, the first and the last. */
  get mediaPorts() {
    return `${this.mediaPort}-${this.mediaPort + MEDIA_PORTS - 1}`;
  }

  /** The last lines that the server wrote. */
  log() {
    return this.#log.slice(-SHOWN_LINES).join('\n');
  }

  async stop() {
    await this.#end();
    if (this.#folder) await rm(this.#folder, { recursive: true, force: true });
  }

  async #end() {
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await Promise.race([ended, pause(END_WITHIN_MS)]);
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await ended;
    }
  }

  #spawn(words, environment) {
    const binary = process.env.PLENUM_SFU;
    if (!binary) throw new Error('PLENUM_SFU names no binary: build plenum-sfu, then set it to the path');
    this.#process = spawn(binary, words, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        PLENUM_PORT: String(this.port),
        RTC_MIN_PORT: String(this.mediaPort),
        RTC_MAX_PORT: String(this.mediaPort + MEDIA_PORTS - 1),
        RTC_TCP_PORT: String(this.tcpPort),
        PLENUM_ADVERTISE: '127.0.0.1',
        LOG_LEVEL: process.env.PLENUM_TEST_LOG ?? 'info',
        ...environment,
      },
    });
    this.#process.on('error', (error) => this.#log.push(error.message));
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream.setEncoding('utf8');
      stream.on('data', (text) => this.#log.push(...text.trimEnd().split('\n')));
    }
  }

  async #ready() {
    if (this.#process.exitCode !== null) throw new Error(`plenum-sfu ended at start (status ${this.#process.exitCode})`);
    const response = await fetch(`http://127.0.0.1:${this.port}/health/ready`).catch(() => null);
    return response?.status === 200;
  }
}

async function freePort() {
  const probe = createServer();
  probe.listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

/** The first of `count` UDP ports in a row that are free together. */
async function freeMediaPorts(count) {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    const first = 20_000 + Math.floor(Math.random() * 10_000);
    const sockets = [];
    try {
      for (let port = first; port < first + count; port += 1) {
        const socket = createSocket('udp4');
        sockets.push(socket);
        socket.bind(port, '0.0.0.0');
        await once(socket, 'listening');
      }
      return first;
    } catch {
      // One of them is taken: try elsewhere.
    } finally {
      await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.close(resolve))));
    }
  }
  throw new Error(`no ${count} free UDP ports in a row between 20000 and 30000`);
}
