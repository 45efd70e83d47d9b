// A participant played by npm @livekit/rtc-node: it publishes a known picture and tone, and notes what it decodes of whom.

import {
  AudioFrame,
  AudioSource,
  AudioStream,
  LocalAudioTrack,
  LocalVideoTrack,
  Room,
  RoomEvent,
  TrackKind,
  TrackPublishOptions,
  TrackSource,
  VideoBufferType,
  VideoCodec,
  VideoFrame,
  VideoSource,
  VideoStream,
} from '@livekit/rtc-node';
import { until } from '../browser/expect.mjs';
import { token } from '../browser/tokens.mjs';

const WIDTH = 320;
const HEIGHT = 180;
const FPS = 15;
const SAMPLE_RATE = 48_000;
/** Sound is given to the SDK in pieces of 20 ms. */
const PIECE = SAMPLE_RATE / 50;
/** A tone is told from so many samples; silence is quieter than this. */
const WINDOW = SAMPLE_RATE / 2;
const AUDIBLE = 500;
const LUMA_TOLERANCE = 20;
const TONE_TOLERANCE_HZ = 6;
/** A slow machine; who waits so long has failed. */
const PATIENT = { within: 30_000 };
/** Frames that must be decoded anew before somebody counts as seen. */
const SEEN_FRAMES = 10;

const RECORDED = [
  RoomEvent.ParticipantConnected,
  RoomEvent.ParticipantDisconnected,
  RoomEvent.TrackUnpublished,
  RoomEvent.Reconnecting,
  RoomEvent.Reconnected,
  RoomEvent.Disconnected,
];

export class Caller {
  room = new Room();
  /** By identity: how many frames were decoded, how bright the last one was, how large. */
  pictures = {};
  /** By identity: the frequency that was heard last, in hertz; 0 is silence. */
  tones = {};
  /** `{ from, text, topic }` for each data packet. */
  data = [];
  events = [];
  #timers = [];
  #singing = true;

  constructor(identity) {
    this.identity = identity;
    for (const name of RECORDED) this.room.on(name, (detail) => this.events.push({ name, detail }));
    this.room.on(RoomEvent.TrackSubscribed, (track, _publication, participant) => {
      const work = track.kind === TrackKind.KIND_VIDEO ? this.#watch(track, participant.identity) : this.#listen(track, participant.identity);
      // A stream that ends with its track ends in an error here.
      work.catch(() => {});
    });
    this.room.on(RoomEvent.DataReceived, (payload, participant, _kind, topic) =>
      this.data.push({ from: participant?.identity ?? null, text: new TextDecoder().decode(payload), topic: topic ?? null }),
    );
  }

  get me() {
    return this.room.localParticipant;
  }

  /** Joins; `grants` and `claims` go into the token, `options` to the SDK. */
  async join(server, room, { grants = {}, claims = {}, options = {} } = {}) {
    await this.room.connect(server.url, await token(room, this.identity, grants, claims), { autoSubscribe: true, dynacast: false, ...options });
    return this;
  }

  async #watch(track, identity) {
    for await (const { frame } of new VideoStream(track)) {
      const picture = frame.type === VideoBufferType.I420 ? frame : frame.convert(VideoBufferType.I420);
      const luma = picture.data.subarray(0, picture.width * picture.height);
      let sum = 0;
      for (let at = 0; at < luma.length; at += 97) sum += luma[at];
      const frames = (this.pictures[identity]?.frames ?? 0) + 1;
      this.pictures[identity] = { frames, luma: sum / Math.ceil(luma.length / 97), width: picture.width, height: picture.height };
    }
  }

  async #listen(track, identity) {
    let window = [];
    for await (const frame of new AudioStream(track, SAMPLE_RATE, 1)) {
      window.push(...frame.data);
      if (window.length < WINDOW) continue;
      this.tones[identity] = pitch(window);
      window = [];
    }
  }

  /** Publishes a picture of one brightness with a moving bar, so that encoders have something to do. */
  async shows(luma) {
    const source = new VideoSource(WIDTH, HEIGHT);
    const track = LocalVideoTrack.createVideoTrack('camera', source);
    const options = new TrackPublishOptions({ source: TrackSource.SOURCE_CAMERA, videoCodec: VideoCodec.VP8, simulcast: false });
    const publication = await this.me.publishTrack(track, options);
    let number = 0;
    this.#every(1000 / FPS, () => {
      const data = new Uint8Array(WIDTH * HEIGHT * 1.5).fill(128);
      data.fill(luma, 0, WIDTH * HEIGHT);
      const bar = (number++ * 8) % (WIDTH - 8);
      for (let y = 0; y < HEIGHT; y += 1) data.fill(255 - luma, y * WIDTH + bar, y * WIDTH + bar + 8);
      source.captureFrame(new VideoFrame(data, WIDTH, HEIGHT, VideoBufferType.I420));
    });
    return publication;
  }

  /** Publishes a tone. */
  async sings(hertz) {
    const source = new AudioSource(SAMPLE_RATE, 1, 200);
    const track = LocalAudioTrack.createAudioTrack('microphone', source);
    const options = new TrackPublishOptions({ source: TrackSource.SOURCE_MICROPHONE, dtx: false, red: false });
    const publication = await this.me.publishTrack(track, options);
    const sing = async () => {
      for (let start = 0; this.#singing; start += PIECE) {
        const samples = Int16Array.from({ length: PIECE }, (_, at) => 12_000 * Math.sin((2 * Math.PI * hertz * (start + at)) / SAMPLE_RATE));
        await source.captureFrame(new AudioFrame(samples, SAMPLE_RATE, 1, PIECE));
      }
    };
    sing().catch(() => {});
    return publication;
  }

  #every(ms, work) {
    this.#timers.push(setInterval(work, ms));
  }

  async sees(identity, luma) {
    const start = this.pictures[identity]?.frames ?? 0;
    const seen = () => this.pictures[identity];
    await until(
      () => seen()?.frames >= start + SEEN_FRAMES && Math.abs(seen().luma - luma) < LUMA_TOLERANCE,
      `${this.identity} to see ${identity} at a brightness of ${luma}`,
      { diagnose: seen, ...PATIENT },
    );
  }

  async hears(identity, hertz) {
    const heard = () => this.tones[identity];
    await until(() => Math.abs(heard() - hertz) < TONE_TOLERANCE_HZ, `${this.identity} to hear ${identity} at ${hertz} Hz`, {
      diagnose: heard,
      ...PATIENT,
    });
  }

  async knows(identity) {
    await until(() => this.room.remoteParticipants.has(identity), `${this.identity} to know ${identity}`, PATIENT);
  }

  async event(name, since = 0) {
    return until(() => this.events.slice(since).find((event) => event.name === name), `${this.identity} to get ${name}`, PATIENT);
  }

  async leave() {
    this.#singing = false;
    for (const timer of this.#timers) clearInterval(timer);
    await this.room.disconnect();
  }
}

/** Frequency by counting where the wave goes up through nought; 0 for silence. */
function pitch(samples) {
  const ups = [];
  let loudest = 0;
  for (let at = 1; at < samples.length; at += 1) {
    loudest = Math.max(loudest, Math.abs(samples[at]));
    if (samples[at - 1] < 0 && samples[at] >= 0) ups.push(at - samples[at] / (samples[at] - samples[at - 1]));
  }
  if (loudest < AUDIBLE || ups.length < 2) return 0;
  return ((ups.length - 1) * SAMPLE_RATE) / (ups.at(-1) - ups[0]);
}
