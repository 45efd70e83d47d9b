// What is around a codec: redundancy, silence and stereo of sound, a second codec for who lacks the first, encryption from
// end to end. What is decoded and played, not what is sent.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { pause, until } from './expect.mjs';
import { callStage, newRoom } from './stage.mjs';

const TONE_HZ = 440;
const OTHER_TONE_HZ = 880;
const LUMA = 120;
/** Over which packets are counted, and how many there may be in silence: Opus says that it is still there 2.5 times a second. */
const COUNTED_MS = 2_000;
const MAX_SILENT_PACKETS = 30;
/** Shares of frames that come twice: with redundancy all but the first, without it none; some are late on a busy machine. */
const MOST = 0.8;
const FEW = 0.4;
/** How long nothing must be encoded to count as resting; a frame takes 67 ms. */
const QUIET_MS = 1_000;
/** `BackupCodecPolicy` of livekit-client. */
const SIMULCAST = 1;
/** Two encoders and four decoders on two cores. */
const PATIENT = { within: 30_000 };

const stage = callStage();

describe('sound', () => {
  // covers: codec.red, codec.opus
  test('redundancy reaches who can read it, and is taken off for who cannot', async () => {
    const room = newRoom();
    const [ada, bob] = await stage.people('ada', 'bob');
    const carol = await stage.person('carol', { lacks: ['audio/red'] });
    for (const person of [ada, bob, carol]) await person.join(stage.server, room);
    await ada.sings(TONE_HZ);
    await Promise.all([bob.hearsTone(ada, TONE_HZ), carol.hearsTone(ada, TONE_HZ)]);
    assert.equal((await bob.publication(ada, 'audio')).mime, 'audio/red');
    await until(async () => (await repeats(bob, ada)) > MOST, 'bob to get most frames twice');
    assert.ok((await repeats(carol, ada)) < FEW);
    // Mute and come back.
    await ada.do(() => window.client.room.localParticipant.setMicrophoneEnabled(false));
    await bob.event('trackMuted');
    await ada.do(() => window.client.room.localParticipant.setMicrophoneEnabled(true));
    await Promise.all([bob.hearsTone(ada, TONE_HZ), carol.hearsTone(ada, TONE_HZ)]);
  });

  test('redundancy on two peer connections', async () => {
    const { ada, bob } = await pair({ mode: 'dual' });
    await ada.sings(TONE_HZ);
    await bob.hearsTone(ada, TONE_HZ);
    await until(async () => (await repeats(bob, ada)) > MOST, 'bob to get most frames twice');
  });

  test('a track without redundancy is plain Opus', async () => {
    const { ada, bob } = await pair();
    await ada.sings(TONE_HZ, { red: false });
    await bob.hearsTone(ada, TONE_HZ);
    assert.equal((await bob.publication(ada, 'audio')).mime, 'audio/opus');
    assert.ok((await repeats(bob, ada)) < FEW);
  });

  // covers: codec.dtx
  test('silence costs nothing, unless the track says that it should', async () => {
    const [ada, bob] = await stage.people('ada', 'bob');
    const room = newRoom();
    await ada.join(stage.server, room);
    await bob.join(stage.server, room);
    await ada.do(() => window.client.hush({ dtx: true }));
    await bob.do(() => window.client.hush({ dtx: false }));
    for (const person of [ada, bob]) await until(async () => (await packets(person)) > 0, 'sound to be sent');
    const before = [await packets(ada), await packets(bob)];
    await pause(COUNTED_MS);
    const [still, lively] = [(await packets(ada)) - before[0], (await packets(bob)) - before[1]];
    assert.ok(still < MAX_SILENT_PACKETS, `${still} packets of silence`);
    assert.ok(lively > 2 * MAX_SILENT_PACKETS, `${lively} packets without DTX`);
  });

  // covers: codec.stereo
  test('stereo keeps its two channels', async () => {
    const { ada, bob } = await pair();
    await ada.do(([left, right]) => window.client.singTwice(left, right), [TONE_HZ, OTHER_TONE_HZ]);
    await bob.hearsTone(ada, TONE_HZ, { channel: 0 });
    await bob.hearsTone(ada, OTHER_TONE_HZ, { channel: 1 });
    assert.equal((await bob.publication(ada, 'audio')).mime, 'audio/opus');
  });
});

describe('a subscriber that lacks the first codec', () => {
  // covers: codec.backup, out.subscribed_quality_update
  test('gets the second one, and the others keep the first if the publisher sends both', async () => {
    const room = newRoom();
    const [ada, bob] = await stage.people('ada', 'bob');
    const carol = await stage.person('carol', { lacks: ['video/VP9'] });
    await ada.join(stage.server, room, { publish: { videoCodec: 'vp9', backupCodecPolicy: SIMULCAST } });
    await bob.join(stage.server, room);
    await ada.show();
    await bob.seesIn('video/VP9', ada);
    assert.equal((await ada.outbound('video')).length, 1);

    await carol.join(stage.server, room);
    await carol.seesIn('video/VP8', ada, PATIENT);
    await bob.seesIn('video/VP9', ada, PATIENT);

    await ada.do(() => window.client.room.localParticipant.setCameraEnabled(false));
    await until(async () => (await carol.publication(ada, 'video'))?.muted, 'carol to be told of the mute');
    await ada.do(() => window.client.room.localParticipant.setCameraEnabled(true));
    await Promise.all([carol.seesIn('video/VP8', ada, PATIENT), bob.seesIn('video/VP9', ada, PATIENT)]);

    await ada.do(async () => {
      const { localParticipant } = window.client.room;
      for (const { track } of localParticipant.videoTrackPublications.values()) await localParticipant.unpublishTrack(track);
    });
    await carol.event('trackUnpublished');
    await ada.show();
    await Promise.all([carol.seesIn('video/VP8', ada, PATIENT), bob.seesIn('video/VP9', ada, PATIENT)]);
  });

  for (const mode of ['single', 'dual']) {
    // covers: codec.backup
    test(`makes all go over to the second one, and the first rests (${mode})`, async () => {
      const room = newRoom();
      const [ada, bob, dave] = await stage.people('ada', 'bob', 'dave');
      const carol = await stage.person('carol', { lacks: ['video/VP9'] });
      await ada.join(stage.server, room, { mode, publish: { videoCodec: 'vp9' } });
      await bob.join(stage.server, room, { mode });
      await ada.show();
      await bob.seesIn('video/VP9', ada);

      await carol.join(stage.server, room);
      await carol.seesIn('video/VP8', ada, PATIENT);
      await until(async () => (await bob.inbound(ada, 'video')).codec === 'video/VP8', 'bob to get VP8', PATIENT);
      await bob.seesIn('video/VP8', ada, PATIENT);
      const encoded = async () => (await ada.outbound('video')).find(({ codec }) => codec === 'video/VP9').framesEncoded;
      const rests = async () => {
        const before = await encoded();
        await pause(QUIET_MS);
        return (await encoded()) === before;
      };
      await until(rests, 'ada to encode no VP9', PATIENT);

      await dave.join(stage.server, room, { mode });
      await dave.seesIn('video/VP8', ada, PATIENT);
      await Promise.all([bob.sees(ada, PATIENT), carol.sees(ada, PATIENT)]);
    });
  }

  // covers: out.subscription_response
  test('is told when there is none', async () => {
    const room = newRoom();
    const [ada] = await stage.people('ada');
    const carol = await stage.person('carol', { lacks: ['video/VP9'] });
    await ada.join(stage.server, room, { publish: { videoCodec: 'vp9', backupCodec: false } });
    await carol.join(stage.server, room);
    await ada.show();
    await carol.event('trackSubscriptionFailed');
    assert.equal(await carol.inbound(ada, 'video'), null);
  });
});

describe('end-to-end encryption', () => {
  for (const [codec, mime] of [
    ['vp8', 'video/VP8'],
    ['vp9', 'video/VP9'],
    ['h264', 'video/H264'],
  ]) {
    // covers: codec.e2ee, sdk.e2ee
    test(`${codec} and sound reach who has the key, also late and after a mute`, async () => {
      const room = newRoom();
      const [ada, bob, carol, eve] = await stage.people('ada', 'bob', 'carol', 'eve');
      const secret = { passphrase: 'only for us' };
      await ada.join(stage.server, room, { publish: { videoCodec: codec }, options: secret });
      await bob.join(stage.server, room, { options: secret });
      await ada.paints(LUMA, { videoCodec: codec });
      await ada.sings(TONE_HZ);
      await bob.seesIn(mime, ada, PATIENT);
      await bob.seesLuma(ada, LUMA);
      await bob.hearsTone(ada, TONE_HZ);
      await carol.join(stage.server, room, { options: secret });
      await carol.seesLuma(ada, LUMA, PATIENT);

      await ada.do(() => window.client.room.localParticipant.setCameraEnabled(false));
      await until(async () => (await bob.publication(ada, 'video'))?.muted, 'bob to be told of the mute');
      await ada.do(() => window.client.room.localParticipant.setCameraEnabled(true));
      await bob.seesIn(mime, ada, PATIENT);

      if (codec !== 'vp9') {
        await bob.do(() => window.client.wantQuality('ada', 'LOW'));
        await until(async () => (await bob.inbound(ada, 'video'))?.frameWidth === 320, 'the small layer', PATIENT);
        await bob.sees(ada);
      }

      await eve.join(stage.server, room, { options: { passphrase: 'a guess' } });
      await until(async () => (await eve.inbound(ada, 'video'))?.packetsReceived > 0, 'eve to receive something');
      await pause(COUNTED_MS);
      assert.equal(await eve.do(() => window.client.luma('ada')), null, 'eve sees a picture');
    });
  }
});

/** How many frames of sound came once more inside a later packet, of those that came: such ones are discarded. */
async function repeats(person, other) {
  const { packetsDiscarded = 0, packetsReceived = 0 } = await person.inbound(other, 'audio');
  return packetsDiscarded / Math.max(1, packetsReceived);
}

async function packets(person) {
  const [sent] = await person.outbound('audio');
  return sent?.packetsSent ?? 0;
}

/** Ada and Bob in a room. */
async function pair({ mode } = {}) {
  const room = newRoom();
  const [ada, bob] = await stage.people('ada', 'bob');
  await ada.join(stage.server, room, { mode });
  await bob.join(stage.server, room, { mode });
  return { ada, bob };
}
