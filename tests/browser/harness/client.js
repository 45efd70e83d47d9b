// One participant in a page: livekit-client as any application uses it, plus a record of what was seen and heard.

import { ExternalE2EEKeyProvider, Room, RoomEvent, Track, VideoPreset, VideoQuality } from 'livekit-client';
import { highProfile, sayHighProfile } from './high.js';
import {
  flashAndBeep,
  lumaOf,
  offsets,
  oneChannel,
  picture,
  playTone,
  silence,
  tone,
  toneOf,
  twoTones,
  watchFlashes,
} from './pattern.js';

/** What test publishers send: two cores must feed every page of a test. */
const CAMERA = { width: 640, height: 360, frameRate: 15 };
const LOW_LAYER = new VideoPreset(320, 180, 120_000, 15);

const RECORDED = [
  RoomEvent.Connected,
  RoomEvent.SignalReconnecting,
  RoomEvent.Reconnecting,
  RoomEvent.Reconnected,
  RoomEvent.Disconnected,
  RoomEvent.ParticipantConnected,
  RoomEvent.ParticipantDisconnected,
  RoomEvent.TrackPublished,
  RoomEvent.TrackUnpublished,
  RoomEvent.TrackSubscribed,
  RoomEvent.TrackSubscriptionFailed,
  RoomEvent.TrackUnsubscribed,
  RoomEvent.TrackMuted,
  RoomEvent.TrackUnmuted,
  RoomEvent.RoomMetadataChanged,
];

const SOURCES = {
  video: Track.Source.Camera,
  audio: Track.Source.Microphone,
  screen: Track.Source.ScreenShare,
  screenAudio: Track.Source.ScreenShareAudio,
};

/** Milliseconds of the wall clock, so that pages and the test can be compared. */
const now = () => performance.timeOrigin + performance.now();

/** Addresses of the WebSockets that the page opened: not every browser tells its driver. */
const sockets = [];
window.WebSocket = class extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols);
    sockets.push(String(url));
  }
};

const wishes = new URLSearchParams(location.search);
const high = wishes.has('high');
if (high) sayHighProfile();
/** Codecs that this page does without, as if its browser lacked them, by media type or parameter: `?lacks=video/VP9,audio/red`. */
const lacks = wishes.get('lacks')?.split(',') ?? [];
const isLacking = ({ mimeType, sdpFmtpLine }) => lacks.some((lack) => mimeType === lack || sdpFmtpLine?.includes(lack));
/** With `?gated` every frame of a picture that leaves the page passes here, and key frames only until it is told otherwise. */
const gate = wishes.has('gated') ? frameGate() : null;
if (lacks.length > 0 || gate || high) {
  const add = RTCPeerConnection.prototype.addTransceiver;
  RTCPeerConnection.prototype.addTransceiver = function (trackOrKind, init) {
    const transceiver = add.call(this, trackOrKind, init);
    const { kind } = transceiver.receiver.track;
    if (lacks.length > 0) {
      const { codecs } = RTCRtpReceiver.getCapabilities(kind);
      transceiver.setCodecPreferences(codecs.filter((codec) => !isLacking(codec)));
    }
    // Chromium looks for it once, right after a sender was made.
    if (gate && kind === 'video') transceiver.sender.transform = new RTCRtpScriptTransform(gate);
    if (high && kind === 'video') transceiver.sender.transform = highProfile();
    return transceiver;
  };
}

function frameGate() {
  const program = `let closed = false;
    onmessage = () => { closed = true; postMessage('closed'); };
    onrtctransform = ({ transformer }) => transformer.readable
      .pipeThrough(new TransformStream({ transform: (frame, out) => { if (!closed || frame.type !== 'key') out.enqueue(frame); } }))
      .pipeTo(transformer.writable);`;
  return new Worker(URL.createObjectURL(new Blob([program], { type: 'text/javascript' })));
}

/** What came on data channels, as the server sent it. */
const arrived = [];
const { get, set, ...property } = Object.getOwnPropertyDescriptor(RTCDataChannel.prototype, 'onmessage');
Object.defineProperty(RTCDataChannel.prototype, 'onmessage', {
  ...property,
  get,
  set(listener) {
    this.addEventListener('message', ({ data }) => arrived.push(new TextDecoder('latin1').decode(data)));
    set.call(this, listener);
  },
});

class Client {
  room = null;
  sockets = sockets;
  arrived = arrived;
  /** `{ at, name }` for each event of RECORDED; Disconnected has its reason. */
  events = [];
  /** Times of decoded frames by the publisher's identity. */
  frames = {};
  /** Identities that were announced as speaking. */
  speakers = new Set();
  /** `{ from, text, topic }` for each data packet. */
  data = [];
  /** `{ from, text, topic }` for each text stream. */
  texts = [];
  /** `{ of, track, text, final }` for each segment of a transcription. */
  transcriptions = [];

  /** Joins; with a `passphrase` among the options all media is encrypted from end to end, with `sealData` data too. */
  async join(url, token, { passphrase, sealData, ...roomOptions } = {}, connectOptions, publishDefaults) {
    if (passphrase) {
      const keyProvider = new ExternalE2EEKeyProvider();
      await keyProvider.setKey(passphrase);
      roomOptions[sealData ? 'encryption' : 'e2ee'] = { keyProvider, worker: new Worker('/e2ee.worker.js', { type: 'module' }) };
    }
    this.room = new Room({
      adaptiveStream: false,
      dynacast: false,
      videoCaptureDefaults: { resolution: CAMERA },
      publishDefaults: {
        videoCodec: 'vp8',
        simulcast: true,
        videoEncoding: { maxBitrate: 450_000, maxFramerate: CAMERA.frameRate },
        videoSimulcastLayers: [LOW_LAYER],
        ...publishDefaults,
      },
      ...roomOptions,
    });
    this.#record(this.room);
    if (passphrase) await this.room.setE2EEEnabled(true);
    await this.room.connect(url, token, connectOptions);
  }

  /** Looks at the server before there is a token. */
  async prepare(url) {
    await new Room().prepareConnection(url);
  }

  /** Stats of what is received from `identity`: the inbound-rtp report of its camera or microphone. */
  async inbound(identity, kind) {
    const report = await this.publication(identity, kind)?.track?.getRTCStatsReport();
    for (const stats of report?.values() ?? []) {
      if (stats.type !== 'inbound-rtp') continue;
      const { mimeType = null, sdpFmtpLine = '' } = report.get(stats.codecId) ?? {};
      return { ...stats, codec: mimeType, parameters: sdpFmtpLine };
    }
    return null;
  }

  /** Frames encoded so far by the rid of each layer of the own camera. */
  async encoded() {
    const { track } = this.room.localParticipant.getTrackPublication(Track.Source.Camera);
    const frames = {};
    for (const stats of (await track.getRTCStatsReport()).values()) {
      if (stats.type === 'outbound-rtp') frames[stats.rid] = stats.framesEncoded;
    }
    return frames;
  }

  /** What `identity` publishes: its camera (`video`), microphone (`audio`), `screen` or `screenAudio`. */
  publication(identity, kind) {
    return this.room.remoteParticipants.get(identity)?.getTrackPublication(SOURCES[kind]);
  }

  /** Names of the streams in which tracks of `identity` arrive: tracks of one stream are played together. */
  streamsOf(identity) {
    const tracks = Object.keys(SOURCES).map((kind) => [kind, this.publication(identity, kind)?.track]);
    return Object.fromEntries(tracks.filter(([, track]) => track).map(([kind, track]) => [kind, track.mediaStream?.id]));
  }

  /** Shares this very page, which plays a tone. */
  async shareTab(hertz) {
    document.body.style.background = '#fff';
    playTone(hertz);
    await this.room.localParticipant.setScreenShareEnabled(true, {
      audio: true,
      preferCurrentTab: true,
      selfBrowserSurface: 'include',
      resolution: { width: 640, height: 360, frameRate: 15 },
    });
  }

  /** `udp` or `tcp` for each peer connection that has selected a pair. */
  async protocols() {
    const { publisher, subscriber } = this.room.engine.pcManager;
    const found = [];
    for (const transport of [publisher, subscriber]) {
      const report = await transport?.getStats();
      for (const stats of report?.values() ?? []) {
        if (stats.type !== 'transport' || !stats.selectedCandidatePairId) continue;
        const pair = report.get(stats.selectedCandidatePairId);
        found.push(report.get(pair.remoteCandidateId).protocol);
      }
    }
    return found;
  }

  wantQuality(identity, quality) {
    this.publication(identity, 'video').setVideoQuality(VideoQuality[quality]);
  }

  /** Publishes a camera that shows one brightness. */
  async paint(luma, options) {
    await this.room.localParticipant.publishTrack(picture(luma), { source: Track.Source.Camera, ...options });
  }

  /** Publishes a microphone that hears one tone. */
  async sing(hertz, options) {
    await this.room.localParticipant.publishTrack(await oneChannel(tone(hertz)), { source: Track.Source.Microphone, dtx: false, ...options });
  }

  /** Publishes a microphone with a tone for each ear. */
  async singTwice(left, right) {
    const options = { source: Track.Source.Microphone, dtx: false, forceStereo: true };
    await this.room.localParticipant.publishTrack(twoTones(left, right), options);
  }

  /** Publishes a microphone that hears nothing. */
  async hush(options) {
    await this.room.localParticipant.publishTrack(await oneChannel(silence()), { source: Track.Source.Microphone, ...options });
  }

  /** What is sent of the own camera or microphone: the outbound-rtp reports with their codecs. */
  async outbound(kind) {
    const source = kind === 'video' ? Track.Source.Camera : Track.Source.Microphone;
    const report = await this.room.localParticipant.getTrackPublication(source)?.track?.getRTCStatsReport();
    return [...(report?.values() ?? [])]
      .filter(({ type }) => type === 'outbound-rtp')
      .map((stats) => ({ ...stats, codec: report.get(stats.codecId)?.mimeType ?? null }));
  }

  /** From now on no key frame leaves the page: a publisher that does not answer requests. It must have been opened as `gated`. */
  async withholdKeyFrames() {
    const closed = new Promise((resolve) => (gate.onmessage = resolve));
    gate.postMessage('close');
    await closed;
  }

  /** Publishes a camera that flashes while its microphone beeps. */
  async flash() {
    const { video, audio } = flashAndBeep();
    await this.room.localParticipant.publishTrack(video, { source: Track.Source.Camera });
    await this.room.localParticipant.publishTrack(audio, { source: Track.Source.Microphone, dtx: false });
  }

  /** Brightness of what is shown of `identity`. */
  luma(identity, kind = 'video') {
    return lumaOf(this.publication(identity, kind)?.track?.attachedElements[0]);
  }

  /** The loudest frequency in what is heard of `identity`. */
  tone(identity, kind = 'audio', channel = 0) {
    const track = this.publication(identity, kind)?.track;
    return track ? toneOf(track.mediaStreamTrack, channel) : null;
  }

  /** Begins to note flashes and beeps of `identity`. */
  async watchFlashes(identity) {
    const [video, audio] = ['video', 'audio'].map((kind) => this.publication(identity, kind).track);
    this.flashes = await watchFlashes(video.attachedElements[0], audio.mediaStreamTrack);
  }

  /** How much later than its beep each flash since `since` was seen, in milliseconds; times are of the page's clock. */
  avOffsets(since) {
    const later = (times) => times.filter((at) => at > since);
    return offsets({ flashes: later(this.flashes.flashes), beeps: this.flashes.beeps });
  }

  listenForText(topic) {
    this.room.registerTextStreamHandler(topic, async (reader, sender) => {
      this.texts.push({ from: sender.identity, text: await reader.readAll(), topic });
    });
  }

  #record(room) {
    for (const name of RECORDED) {
      room.on(name, (detail) => {
        this.events.push({ at: now(), name, reason: name === RoomEvent.Disconnected ? detail : undefined });
      });
    }
    room.on(RoomEvent.TrackSubscribed, (track, _publication, participant) => {
      // Chromium plays out, and counts, only audio that is attached to something.
      const element = track.attach();
      document.body.append(element);
      if (track.kind === Track.Kind.Video) void this.#watch(participant.identity, track.mediaStreamTrack, element);
    });
    room.on(RoomEvent.TrackUnsubscribed, (track) => track.detach().forEach((element) => element.remove()));
    room.on(RoomEvent.ActiveSpeakersChanged, (speakers) => {
      for (const speaker of speakers) this.speakers.add(speaker.identity);
    });
    room.on(RoomEvent.TranscriptionReceived, (segments, participant, publication) => {
      const said = { of: participant?.identity ?? null, track: publication?.trackSid ?? null };
      for (const { text, final } of segments) this.transcriptions.push({ ...said, text, final });
    });
    room.on(RoomEvent.DataReceived, (payload, participant, _kind, topic) => {
      this.data.push({ from: participant?.identity ?? null, text: new TextDecoder().decode(payload), topic: topic ?? null });
    });
  }

  /** Notes the time of every decoded frame until the track ends. Times of one publisher survive its tracks. */
  async #watch(identity, mediaStreamTrack, element) {
    const times = (this.frames[identity] ??= []);
    // Firefox has no MediaStreamTrackProcessor: there the shown frames are noted.
    if (!('MediaStreamTrackProcessor' in window)) {
      const note = () => {
        times.push(now());
        element.requestVideoFrameCallback(note);
      };
      element.requestVideoFrameCallback(note);
      return;
    }
    const reader = new MediaStreamTrackProcessor({ track: mediaStreamTrack }).readable.getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      times.push(now());
      value.close();
    }
  }
}

window.client = new Client();
