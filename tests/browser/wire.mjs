// A TCP connection to the server that can be cut: the page and its signaling go over it, media goes its own way.

import { once } from 'node:events';
import { connect, createServer } from 'node:net';

export class Wire {
  #sockets = new Set();
  #listener;
  #whole = true;

  /** Lays a wire from a free port to `port` on loopback. */
  static async to(port) {
    const wire = new Wire();
    wire.#listener = createServer((near) => wire.#carry(near, port));
    wire.#listener.listen(0, '127.0.0.1');
    await once(wire.#listener, 'listening');
    return wire;
  }

  get page() {
    return `http://localhost:${this.#listener.address().port}`;
  }

  /** Breaks every connection, and each new one at once, until `mend`. */
  cut() {
    this.#whole = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend() {
    this.#whole = true;
  }

  close() {
    this.cut();
    this.#listener.close();
  }

  #carry(near, port) {
    if (!this.#whole) {
      near.destroy();
      return;
    }
    const far = connect(port, '127.0.0.1');
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ]) {
      this.#sockets.add(socket);
      socket.pipe(other);
      // A broken end is what this is for: the other end is broken with it.
      socket.on('error', () => {});
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
  }
}
