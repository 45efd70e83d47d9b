// Everything of a room but its media: data, text, RPC, what participants say about themselves, who may do what.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { figure, pause, until } from './expect.mjs';
import { acquainted } from './person.mjs';
import { MODES, callStage, newRoom } from './stage.mjs';
import { forgedToken } from './tokens.mjs';

/** `DisconnectReason.DUPLICATE_IDENTITY` of the protocol. */
const DUPLICATE_IDENTITY = 2;
/** `ConnectionErrorReason.NotAllowed` of livekit-client. */
const NOT_ALLOWED = 0;
/** How long one waits for what must not come. */
const QUIET_MS = 700;

const stage = callStage();

for (const [mode, path] of MODES) {
  describe(`data on ${path}`, () => {
    // covers: data.user, data.reliable, sdk.data_packets
    test('reliable data arrives in order and complete', async () => {
      const [ada, bob] = await room(mode, 'ada', 'bob');
      await ada.do(async () => {
        for (let number = 0; number < 100; number += 1) {
          const payload = new TextEncoder().encode(String(number));
          await window.client.room.localParticipant.publishData(payload, { reliable: true, topic: 'numbers' });
        }
      });
      const received = await dataOf(bob, 100);
      assert.deepEqual(
        received.map(({ text }) => Number(text)),
        Array.from({ length: 100 }, (_, number) => number),
      );
      assert.ok(received.every(({ from, topic }) => from === 'ada' && topic === 'numbers'));
    });

    // covers: data.lossy, sdk.data_packets
    test('lossy data arrives', async () => {
      const [ada, bob] = await room(mode, 'ada', 'bob');
      await until(async () => {
        await ada.do(() => window.client.room.localParticipant.publishData(new Uint8Array([120]), { reliable: false }));
        return (await bob.do(() => window.client.data.length)) > 0;
      }, 'lossy data to arrive');
      assert.deepEqual((await dataOf(bob, 1))[0], { from: 'ada', text: 'x', topic: null });
    });

    // covers: data.destinations
    test('data for one goes to nobody else', async () => {
      const [ada, bob, carol] = await room(mode, 'ada', 'bob', 'carol');
      await ada.do(async () => {
        const { localParticipant } = window.client.room;
        const send = (text, destinationIdentities) =>
          localParticipant.publishData(new TextEncoder().encode(text), { reliable: true, destinationIdentities });
        await send('for bob', ['bob']);
        await send('for all');
      });
      assert.deepEqual((await dataOf(bob, 2)).map(({ text }) => text), ['for bob', 'for all']);
      assert.deepEqual((await dataOf(carol, 1)).map(({ text }) => text), ['for all']);
      assert.equal(await ada.do(() => window.client.data.length), 0);
    });

    // covers: data.stream_header, data.stream_chunk, data.stream_trailer, sdk.text_streams
    test('a long text arrives whole', async () => {
      const [ada, bob] = await room(mode, 'ada', 'bob');
      const text = 'Grüße aus dem Plenum. '.repeat(5_000);
      await bob.do(() => window.client.listenForText('letters'));
      await ada.do((text) => window.client.room.localParticipant.sendText(text, { topic: 'letters' }), text);
      const [letter] = await until(
        () => bob.do(() => (window.client.texts.length > 0 ? window.client.texts : null)),
        'the text to arrive',
      );
      assert.equal(letter.from, 'ada');
      assert.equal(letter.text, text);
    });

    // covers: data.rpc_request, data.rpc_ack, data.rpc_response, sdk.rpc
    test('a call of a procedure is answered', async () => {
      const [ada, bob] = await room(mode, 'ada', 'bob');
      await bob.do(() =>
        window.client.room.registerRpcMethod('greet', async ({ callerIdentity, payload }) => `${payload}, ${callerIdentity}`),
      );
      const answer = await ada.do(() =>
        window.client.room.localParticipant.performRpc({ destinationIdentity: 'bob', method: 'greet', payload: 'hello' }),
      );
      assert.equal(answer, 'hello, ada');
    });
  });
}

// covers: data.rpc_response, sdk.rpc
test('a procedure that nobody offers fails by its code', async () => {
  const [ada] = await room('single', 'ada', 'bob');
  const code = await ada.do(() =>
    window.client.room.localParticipant
      .performRpc({ destinationIdentity: 'bob', method: 'unknown', payload: '' })
      .then(() => null, (error) => error.code),
  );
  assert.equal(code, 1400); // UNSUPPORTED_METHOD
});

// covers: data.encrypted_packet
test('data that is encrypted from end to end reaches who has the key, and the server can not read it', async () => {
  const name = newRoom();
  const [ada, bob, eve] = await stage.people('ada', 'bob', 'eve');
  const options = { passphrase: 'only for us', sealData: true };
  await ada.join(stage.server, name, { options });
  await bob.join(stage.server, name, { options });
  await eve.join(stage.server, name);
  await acquainted(ada, bob, eve);
  // Streams are compressed; this one has many chunks all the same.
  const letter = `a secret letter ${randomBytes(30_000).toString('hex')}`;
  await bob.do(() => {
    window.client.listenForText('letters');
    window.client.room.registerRpcMethod('greet', async ({ payload }) => `${payload}, a secret answer`);
  });
  const answer = await ada.do(async (letter) => {
    const me = window.client.room.localParticipant;
    await me.publishData(new TextEncoder().encode('a secret packet'), { reliable: true, topic: 'whispers' });
    await me.sendText(letter, { topic: 'letters' });
    return me.performRpc({ destinationIdentity: 'bob', method: 'greet', payload: 'a secret question' });
  }, letter);
  assert.equal(answer, 'a secret question, a secret answer');
  assert.deepEqual(await dataOf(bob, 1), [{ from: 'ada', text: 'a secret packet', topic: 'whispers' }]);
  const [read] = await until(() => bob.do(() => (window.client.texts.length > 0 ? window.client.texts : null)), 'the letter');
  assert.deepEqual(read, { from: 'ada', text: letter, topic: 'letters' });

  // Whatever is not encrypted can be read on its way.
  await eve.do(() => window.client.room.localParticipant.publishData(new TextEncoder().encode('an open packet'), { reliable: true }));
  await until(() => bob.do(() => window.client.arrived.some((bytes) => bytes.includes('an open packet'))), 'the open packet');
  await until(() => eve.do(() => window.client.arrived.join('').length > 10_000), 'the letter to reach eve');
  for (const person of [bob, eve]) {
    const bytes = await person.do(() => window.client.arrived.join(''));
    for (const word of ['secret', 'whispers', 'letters', 'greet']) assert.ok(!bytes.includes(word), `${person.identity} got "${word}" in the open`);
  }
  assert.deepEqual(await eve.do(() => window.client.data), []);
});

// covers: in.update_metadata, out.update, sdk.participant_metadata
test('metadata, attributes and names reach the others, and who comes later', async () => {
  const name = newRoom();
  const [ada, bob, carol] = await stage.people('ada', 'bob', 'carol');
  await ada.join(stage.server, name);
  await bob.join(stage.server, name);
  await ada.do(async () => {
    const me = window.client.room.localParticipant;
    await me.setMetadata('{"seat":7}');
    await me.setAttributes({ hand: 'raised', mood: 'calm' });
    await me.setName('Ada Lovelace');
    await me.setAttributes({ mood: '' });
  });
  const known = () => {
    const ada = window.client.room.remoteParticipants.get('ada');
    return ada && { metadata: ada.metadata, attributes: ada.attributes, name: ada.name };
  };
  const expected = { metadata: '{"seat":7}', attributes: { hand: 'raised' }, name: 'Ada Lovelace' };
  await until(async () => {
    const now = await bob.do(known);
    return now?.name === expected.name && !('mood' in now.attributes);
  }, 'bob to know what ada says');
  assert.deepEqual(await bob.do(known), expected);
  await carol.join(stage.server, name);
  assert.deepEqual(await carol.do(known), expected);
});

// covers: grant.canUpdateOwnMetadata, out.request_response
test('a token without the grant cannot change its own metadata', async () => {
  const name = newRoom();
  const [ada] = await stage.people('ada');
  await ada.join(stage.server, name, { grants: { canUpdateOwnMetadata: false } });
  const refused = await ada.do(() =>
    window.client.room.localParticipant.setMetadata('mine').then(() => null, (error) => error.message),
  );
  assert.ok(refused, 'the change was not refused');
});

// covers: in.leave, sdk.participant_events
test('a participant who leaves is gone for the others', async () => {
  const [ada, bob] = await room('single', 'ada', 'bob');
  const left = performance.now();
  await ada.leave();
  await bob.event('participantDisconnected', { every: 20 });
  figure('browser_leave_seen_ms', performance.now() - left, 'ms', 500);
  assert.equal(await bob.knows(ada), false);
});

// covers: grant.hidden
test('a hidden participant sees and is not seen', async () => {
  const name = newRoom();
  const [ada, ghost] = await stage.people('ada', 'ghost');
  await ada.join(stage.server, name);
  await ada.show();
  await ghost.join(stage.server, name, { grants: { hidden: true, canPublish: false } });
  await ghost.sees(ada);
  assert.equal(await ada.knows(ghost), false);
});

// covers: grant.canSubscribe
test('a token that may not subscribe gets no media', async () => {
  const name = newRoom();
  const [ada, bob] = await stage.people('ada', 'bob');
  await ada.join(stage.server, name);
  await ada.show();
  await bob.join(stage.server, name, { grants: { canSubscribe: false } });
  await until(() => bob.knows(ada), 'bob to know ada');
  await pause(QUIET_MS);
  assert.equal(await bob.inbound(ada, 'video'), null);
});

// covers: out.leave, sdk.duplicate_identity
test('the same identity joining again puts the first one out', async () => {
  const name = newRoom();
  const [first, second] = await stage.people('ada', 'ada');
  await first.join(stage.server, name);
  await second.join(stage.server, name);
  assert.equal((await first.event('disconnected')).reason, DUPLICATE_IDENTITY);
  assert.equal(await second.do(() => window.client.room.state), 'connected');
});

// covers: sdk.connection_errors
test('a token signed with another secret is refused', async () => {
  const [ada] = await stage.people('ada');
  const jwt = await forgedToken(newRoom(), 'ada');
  const error = await ada.do(
    ([url, jwt]) =>
      window.client.join(url, jwt).then(
        () => null,
        ({ name, status, reason }) => ({ name, status, reason }),
      ),
    [stage.server.url, jwt],
  );
  assert.deepEqual(error, { name: 'ConnectionError', status: 401, reason: NOT_ALLOWED });
});

/** People of these identities in a room, each knowing all others. */
async function room(mode, ...identities) {
  const name = newRoom();
  const people = await stage.people(...identities);
  for (const person of people) await person.join(stage.server, name, { mode });
  await acquainted(...people);
  return people;
}

async function dataOf(person, count) {
  return until(
    () => person.do((count) => (window.client.data.length >= count ? window.client.data : null), count),
    `${person.identity} to get ${count} data messages`,
  );
}
