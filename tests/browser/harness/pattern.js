// Pictures of a known brightness and tones of a known frequency: what a page sends, and what it finds in what arrives.

const FPS = 15;
const WIDTH = 640;
const HEIGHT = 360;
/** A bar that moves gives encoders something to do. */
const BAR = 16;
const SAMPLE_RATE = 48_000;
/** So much of a track is recorded to find its tone, and so much of that is looked at: the beginning may be silence. */
const RECORDED_MS = 700;
const WINDOW = SAMPLE_RATE / 4;
/** Where tones are looked for. */
const LOWEST_HZ = 100;
const HIGHEST_HZ = 3_000;
const STEP_HZ = 4;
/** A flash and a beep last this long, and begin at whole multiples of the period. */
const FLASH_MS = 200;
export const FLASH_PERIOD_MS = 1_000;
const BEEP_HZ = 1_000;

let audio;
/** One context for all: browsers allow only some. */
function context() {
  audio ??= new AudioContext({ sampleRate: SAMPLE_RATE, latencyHint: 'interactive' });
  return audio;
}

/** A video track; `luma` says how bright it is at a time of the page's clock, 0 to 255. */
function painted(luma) {
  const canvas = document.createElement('canvas');
  canvas.width = WIDTH;
  canvas.height = HEIGHT;
  const brush = canvas.getContext('2d');
  let number = 0;
  setInterval(() => {
    const light = luma(performance.now());
    brush.fillStyle = `rgb(${light},${light},${light})`;
    brush.fillRect(0, 0, WIDTH, HEIGHT);
    brush.fillStyle = light > 127 ? '#000' : '#fff';
    brush.fillRect((number++ * 8) % (WIDTH - BAR), 0, BAR, BAR);
  }, 1000 / FPS);
  return canvas.captureStream(FPS).getVideoTracks()[0];
}

/** A picture of one brightness. */
export function picture(luma) {
  return painted(() => luma);
}

/** A steady tone. */
export function tone(hertz) {
  const { oscillator, sink } = voice(hertz, 0.5);
  oscillator.start();
  return sink.stream.getAudioTracks()[0];
}

/** A tone that the page itself plays. */
export function playTone(hertz) {
  const { oscillator, volume } = voice(hertz, 0.5);
  volume.connect(context().destination);
  oscillator.start();
}

/** Waits until a track says that it has one channel: before its first samples Chromium takes it for stereo. */
export async function oneChannel(track) {
  for (let tries = 0; tries < 100 && track.getSettings().channelCount > 1; tries += 1) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return track;
}

/** A steady tone for each ear. */
export function twoTones(left, right) {
  const merger = new ChannelMergerNode(context(), { numberOfInputs: 2 });
  [left, right].forEach((hertz, channel) => {
    const { oscillator, volume } = voice(hertz, 0.5);
    volume.connect(merger, 0, channel);
    oscillator.start();
  });
  const sink = new MediaStreamAudioDestinationNode(context(), { channelCount: 2 });
  merger.connect(sink);
  return sink.stream.getAudioTracks()[0];
}

/** Nothing to hear. */
export function silence() {
  const { oscillator, sink } = voice(LOWEST_HZ, 0);
  oscillator.start();
  return sink.stream.getAudioTracks()[0];
}

/** A picture that flashes and a sound that beeps, both at the same times. */
export function flashAndBeep() {
  const { oscillator, volume, sink } = voice(BEEP_HZ, 0);
  oscillator.start();
  const flashing = (at) => at % FLASH_PERIOD_MS < FLASH_MS;
  // Beeps are set ahead of time: the context keeps its own clock, and timers are late.
  let next = (Math.floor(performance.now() / FLASH_PERIOD_MS) + 1) * FLASH_PERIOD_MS;
  setInterval(() => {
    const ahead = performance.now() + 2 * FLASH_PERIOD_MS;
    for (; next < ahead; next += FLASH_PERIOD_MS) {
      const start = context().currentTime + (next - performance.now()) / 1000;
      volume.gain.setValueAtTime(0.5, Math.max(0, start));
      volume.gain.setValueAtTime(0, Math.max(0, start + FLASH_MS / 1000));
    }
  }, FLASH_PERIOD_MS / 4);
  return { video: painted((at) => (flashing(at) ? 235 : 16)), audio: sink.stream.getAudioTracks()[0] };
}

function voice(hertz, gain) {
  const oscillator = new OscillatorNode(context(), { frequency: hertz });
  const volume = new GainNode(context(), { gain });
  // One channel, as a microphone has: stereo is published otherwise.
  const sink = new MediaStreamAudioDestinationNode(context(), { channelCount: 1, channelCountMode: 'explicit' });
  oscillator.connect(volume).connect(sink);
  void context().resume();
  return { oscillator, volume, sink };
}

const small = Object.assign(document.createElement('canvas'), { width: 32, height: 18 });
const reading = small.getContext('2d', { willReadFrequently: true });

/** Mean brightness of what a video element shows; null while it shows nothing. */
export function lumaOf(video) {
  if (!video?.videoWidth) return null;
  reading.drawImage(video, 0, 0, small.width, small.height);
  const { data } = reading.getImageData(0, 0, small.width, small.height);
  let sum = 0;
  for (let at = 0; at < data.length; at += 4) sum += 0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2];
  return sum / (data.length / 4);
}

/**
 * The loudest frequency in a channel of a track of sound, in hertz, and its level in decibels below full scale. The track is recorded for a
 * moment: a context of Web Audio runs only where there is a sound card, and Firefox makes no other.
 */
export async function toneOf(mediaStreamTrack, channel = 0) {
  const recorder = new MediaRecorder(new MediaStream([mediaStreamTrack]));
  const parts = [];
  recorder.ondataavailable = ({ data }) => parts.push(data);
  const ended = new Promise((resolve) => (recorder.onstop = resolve));
  recorder.start();
  await new Promise((resolve) => setTimeout(resolve, RECORDED_MS));
  recorder.stop();
  await ended;
  const recorded = await new Blob(parts).arrayBuffer();
  const decoder = new OfflineAudioContext(1, 1, SAMPLE_RATE);
  const whole = await decoder.decodeAudioData(recorded).catch(() => null);
  // A recording that has hardly begun can't be decoded.
  return whole && channel < whole.numberOfChannels ? loudest(whole.getChannelData(channel).subarray(-WINDOW)) : null;
}

/** Strength of each frequency in question, one after the other (Goertzel's filter). */
function loudest(samples) {
  let best = { hertz: 0, power: 0 };
  for (let hertz = LOWEST_HZ; hertz <= HIGHEST_HZ; hertz += STEP_HZ) {
    const turn = 2 * Math.cos((2 * Math.PI * hertz) / SAMPLE_RATE);
    let [last, before] = [0, 0];
    for (const sample of samples) [last, before] = [sample + turn * last - before, last];
    const power = last * last + before * before - turn * last * before;
    if (power > best.power) best = { hertz, power };
  }
  const amplitude = (2 * Math.sqrt(best.power)) / Math.max(1, samples.length);
  return { hertz: best.hertz, decibels: 20 * Math.log10(Math.max(amplitude, 1e-10)) };
}

/** Times, by the page's clock, at which `video` begins to flash and `mediaStreamTrack` begins to beep. */
export async function watchFlashes(video, mediaStreamTrack) {
  const seen = { flashes: [], beeps: [] };
  let light = false;
  const look = (now, { expectedDisplayTime }) => {
    const bright = lumaOf(video) > 125;
    if (bright && !light) seen.flashes.push(expectedDisplayTime ?? now);
    light = bright;
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);

  const processor = `registerProcessor('onset', class extends AudioWorkletProcessor {
    process([[samples]]) {
      const loud = samples?.some((sample) => Math.abs(sample) > 0.1) ?? false;
      if (loud) {
        if (currentTime - (this.last ?? -1) > 0.3) this.port.postMessage(currentTime);
        this.last = currentTime;
      }
      return true;
    }
  });`;
  await context().audioWorklet.addModule(URL.createObjectURL(new Blob([processor], { type: 'text/javascript' })));
  const onset = new AudioWorkletNode(context(), 'onset');
  new MediaStreamAudioSourceNode(context(), { mediaStream: new MediaStream([mediaStreamTrack]) }).connect(onset);
  await context().resume();
  onset.port.onmessage = ({ data }) => {
    const { contextTime, performanceTime } = context().getOutputTimestamp();
    seen.beeps.push(performanceTime + (data - contextTime) * 1000);
  };
  return seen;
}

/** How much later than its beep each flash was seen, in milliseconds. */
export function offsets({ flashes, beeps }) {
  const nearest = (at) => beeps.reduce((best, beep) => (Math.abs(beep - at) < Math.abs(best - at) ? beep : best), Infinity);
  return flashes.map((at) => at - nearest(at)).filter((offset) => Math.abs(offset) < FLASH_PERIOD_MS / 2);
}
