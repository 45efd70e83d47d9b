// Media between Chromium pages, on one peer connection (`/rtc/v1`) and on two (`/rtc`): what is decoded and played,
// not what is sent.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { figure, pause, still, until } from './expect.mjs';
import { assertMutual } from './person.mjs';
import { MODES, callStage, newRoom } from './stage.mjs';

/** How long one waits for what must not come. */
const QUIET_MS = 1_000;
/** What a second of silence adds to the energy of sound; a second of the voice adds a hundred times as much. */
const SILENT_ENERGY = 1e-6;

const stage = callStage();

for (const [mode, path] of MODES) {
  describe(`media on ${path}`, () => {
    // covers: in.offer, in.answer, in.add_track, in.trickle, out.join, out.offer, out.answer, out.track_published, sdk.single_peer_connection
    // covers: sdk.dual_peer_connection, sdk.publish_camera, sdk.publish_microphone, codec.vp8, codec.opus
    test('two pages see and hear each other', async () => {
      const room = newRoom();
      const [ada, bob] = await stage.people('ada', 'bob');
      await ada.join(stage.server, room, { mode });
      await ada.showAndSpeak();
      const started = performance.now();
      await bob.join(stage.server, room, { mode });
      const joined = performance.now();
      await bob.showAndSpeak();
      await assertMutual(ada, bob);
      assert.deepEqual(await ada.signalPaths(), [path]);
      assert.deepEqual(await bob.signalPaths(), [path]);
      const first = (await bob.frameTimes(ada))[0] - performance.timeOrigin;
      figure(`browser_join_${mode}_ms`, joined - started, 'ms', 1000);
      figure(`browser_first_frame_${mode}_ms`, first - started, 'ms', 1500);
    });

    // covers: sdk.late_join
    test('who comes late gets a picture at once', async () => {
      const room = newRoom();
      const [ada, bob, carol] = await stage.people('ada', 'bob', 'carol');
      await ada.join(stage.server, room, { mode });
      await ada.showAndSpeak();
      await bob.join(stage.server, room, { mode });
      await bob.sees(ada);

      const started = performance.timeOrigin + performance.now();
      await carol.join(stage.server, room, { mode });
      await carol.sees(ada);
      await carol.hears(ada);
      const [first] = await carol.frameTimes(ada);
      figure(`browser_late_first_frame_${mode}_ms`, first - started, 'ms', 1500);
    });

    // covers: in.subscription, sdk.auto_subscribe_off
    test('tracks are sent to those who subscribe, while they do', async () => {
      const room = newRoom();
      const [ada, bob] = await stage.people('ada', 'bob');
      await ada.join(stage.server, room, { mode });
      await ada.showAndSpeak();
      await bob.join(stage.server, room, { mode, autoSubscribe: false });
      await until(() => bob.publication(ada, 'video'), 'bob to know of the camera');
      await pause(QUIET_MS);
      assert.equal(await bob.inbound(ada, 'video'), null);

      await bob.do(() => window.client.publication('ada', 'video').setSubscribed(true));
      await bob.sees(ada);
      assert.equal((await bob.publication(ada, 'audio')).subscribed, false);

      await bob.do(() => window.client.publication('ada', 'video').setSubscribed(false));
      await bob.event('trackUnsubscribed');
      await still(async () => (await bob.frameTimes(ada)).length, 'the picture to stop');
    });

    test('four pages all see each other', async () => {
      const room = newRoom();
      const people = await stage.people('ada', 'bob', 'carol', 'dan');
      for (const person of people) {
        await person.join(stage.server, room, { mode });
        await person.showAndSpeak();
      }
      await Promise.all(
        people.flatMap((person) =>
          people
            .filter((other) => other !== person)
            .flatMap((other) => [person.sees(other, { within: 20_000 }), person.hears(other, { within: 20_000 })]),
        ),
      );
    });

    describe('in the course of a call', () => {
      const inCall = stage.longCall(({ meet }) => meet(mode));

      // covers: in.mute, sdk.mute
      test('a muted microphone is silent and says so, and comes back', () =>
        inCall(async (ada, bob) => {
          await ada.do(() => window.client.room.localParticipant.setMicrophoneEnabled(false));
          await until(async () => (await bob.publication(ada, 'audio'))?.muted, 'bob to be told of the mute');
          await bob.event('trackMuted');
          await still(async () => (await bob.inbound(ada, 'audio')).totalAudioEnergy, 'silence', { tolerance: SILENT_ENERGY });

          await ada.do(() => window.client.room.localParticipant.setMicrophoneEnabled(true));
          await bob.event('trackUnmuted');
          await bob.hears(ada);
        }));

      // covers: in.mute, sdk.mute
      test('a camera that is switched off stops, and comes back with a picture', () =>
        inCall(async (ada, bob) => {
          await ada.do(() => window.client.room.localParticipant.setCameraEnabled(false));
          await until(async () => (await bob.publication(ada, 'video'))?.muted, 'bob to be told of the mute');
          await still(async () => (await bob.inbound(ada, 'video')).framesDecoded, 'the picture to stop');

          await ada.do(() => window.client.room.localParticipant.setCameraEnabled(true));
          await bob.sees(ada);
        }));

      // covers: sdk.unpublish, edge.sections_are_used_again
      test('an unpublished track goes away, and can be published again', () =>
        inCall(async (ada, bob) => {
          await ada.do(async () => {
            const { localParticipant } = window.client.room;
            for (const publication of localParticipant.videoTrackPublications.values()) {
              await localParticipant.unpublishTrack(publication.track);
            }
          });
          await bob.event('trackUnpublished');
          assert.equal(await bob.publication(ada, 'video'), undefined);
          await bob.hears(ada);

          await ada.show();
          await bob.sees(ada);
        }));

      // covers: in.track_setting, sdk.simulcast, sdk.video_quality
      test('the layer follows the wanted quality', () =>
        inCall(async (ada, bob) => {
          const width = (wanted) =>
            until(async () => (await bob.inbound(ada, 'video'))?.frameWidth === wanted, `a picture ${wanted} wide`, {
              within: 15_000,
            });
          await width(640);
          await bob.do(() => window.client.wantQuality('ada', 'LOW'));
          await width(320);
          await bob.sees(ada);
          await bob.do(() => window.client.wantQuality('ada', 'HIGH'));
          await width(640);
          await bob.sees(ada);
        }));

      // covers: in.track_setting, sdk.pause_subscription
      test('a track that is paused by its subscriber stops and comes back', () =>
        inCall(async (ada, bob) => {
          await bob.do(() => window.client.publication('ada', 'video').setEnabled(false));
          await still(async () => (await bob.inbound(ada, 'video')).framesDecoded, 'the picture to stop');

          await bob.do(() => window.client.publication('ada', 'video').setEnabled(true));
          await bob.sees(ada);
        }));

      // covers: out.speakers_changed, sdk.active_speakers
      test('speakers are announced', () =>
        inCall(async (ada, bob) => {
          for (const [listener, speaker] of [
            [bob, ada],
            [ada, bob],
          ]) {
            await until(
              () => listener.do((identity) => window.client.speakers.has(identity), speaker.identity),
              `${listener.identity} to be told that ${speaker.identity} speaks`,
            );
          }
        }));
    });
  });
}

// covers: sdk.single_peer_connection, sdk.dual_peer_connection
test('a page on one peer connection and a page on two meet', async () => {
  const room = newRoom();
  const [ada, bob] = await stage.people('ada', 'bob');
  await ada.join(stage.server, room, { mode: 'single' });
  await bob.join(stage.server, room, { mode: 'dual' });
  await ada.showAndSpeak();
  await bob.showAndSpeak();
  await assertMutual(ada, bob);
});

// covers: out.connection_quality, sdk.connection_quality
test('the quality of the connection is told', async () => {
  const [ada] = await stage.meet('single');
  await until(
    () => ada.do(() => ['excellent', 'good', 'poor'].includes(window.client.room.localParticipant.connectionQuality)),
    'ada to be told the quality of her connection',
    { within: 15_000 },
  );
});
