import { useTrackVolume } from '@livekit/components-react';
import type { LocalAudioTrack } from 'livekit-client';

const SEGMENTS = 12;
/** Speech at arm's length measures about a quarter of full scale; the meter should then be well in use. */
const GAIN = 3;

/** How loud the microphone is, so that one knows it hears. */
export function LevelMeter({ track }: { track: LocalAudioTrack }) {
  const volume = Math.min(1, useTrackVolume(track) * GAIN);
  const lit = Math.round(volume * SEGMENTS);
  return (
    <div
      className="level"
      role="meter"
      aria-label="Microphone level"
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(volume * 100)}
      data-testid="mic-level"
      data-level={volume.toFixed(2)}
    >
      {Array.from({ length: SEGMENTS }, (_, index) => (
        <span key={index} data-lit={index < lit} />
      ))}
    </div>
  );
}
