// The firewall of `no-udp.mjs` (closed.nft): nothing goes over UDP but what a test lets pass.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** UDP to and from one server. */
export class Passage {
  /** The set of the firewall that has the server's ports. */
  #set = null;

  /** Nothing passes yet, and nothing once `test` has ended. */
  constructor(test, server) {
    this.ports = server.mediaPorts;
    test.after(() => this.nothing());
  }

  everything() {
    return this.#move('everything');
  }

  /** Only ICE passes, as through a firewall that knows STUN and cuts what it doesn't know. */
  checks() {
    return this.#move('checks');
  }

  nothing() {
    return this.#move(null);
  }

  /** In one step: at no time something else passes. */
  async #move(set) {
    const change = (verb, set) => (set ? [`${verb} element inet closed ${set} { ${this.ports} }`] : []);
    const commands = [...change('delete', this.#set), ...change('add', set)];
    this.#set = set;
    if (commands.length > 0) await promisify(execFile)('nft', [commands.join('; ')]);
  }
}
