// What Chromium's fake microphone hears. Its own beep lasts 20 ms in every 500: nobody would call that speaking.

import { writeFile } from 'node:fs/promises';

const SAMPLE_RATE = 48_000;
const SECONDS = 4;
/** Syllables and pitch change as in speech: noise suppression takes a steady tone for noise and removes it. */
const SYLLABLES_PER_SECOND = 4;
const PITCH_HZ = 140;
const HARMONICS = [1, 0.7, 0.5, 0.35, 0.25, 0.2, 0.15, 0.1];

/** Writes a WAV file that `--use-file-for-fake-audio-capture` plays in a loop: somebody who talks without a pause. */
export async function writeVoice(path) {
  const samples = new Int16Array(SAMPLE_RATE * SECONDS);
  let phase = 0;
  for (let index = 0; index < samples.length; index += 1) {
    const time = index / SAMPLE_RATE;
    phase += (2 * Math.PI * (PITCH_HZ + 25 * Math.sin(2 * Math.PI * time * 0.75))) / SAMPLE_RATE;
    const envelope = 0.25 + 0.75 * Math.sin(Math.PI * time * SYLLABLES_PER_SECOND) ** 2;
    const wave = HARMONICS.reduce((sum, strength, order) => sum + strength * Math.sin(phase * (order + 1)), 0);
    samples[index] = Math.round(7_000 * envelope * wave);
  }
  await writeFile(path, Buffer.concat([header(samples.byteLength), Buffer.from(samples.buffer)]));
}

/** The header of a RIFF file with 16-bit mono PCM. */
function header(bytes) {
  const buffer = Buffer.alloc(44);
  buffer.write('RIFF', 0);
  buffer.writeUInt32LE(36 + bytes, 4);
  buffer.write('WAVEfmt ', 8);
  buffer.writeUInt32LE(16, 16);
  buffer.writeUInt16LE(1, 20);
  buffer.writeUInt16LE(1, 22);
  buffer.writeUInt32LE(SAMPLE_RATE, 24);
  buffer.writeUInt32LE(SAMPLE_RATE * 2, 28);
  buffer.writeUInt16LE(2, 32);
  buffer.writeUInt16LE(16, 34);
  buffer.write('data', 36);
  buffer.writeUInt32LE(bytes, 40);
  return buffer;
}
