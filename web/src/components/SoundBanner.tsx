import { useAudioPlayback } from '@livekit/components-react';

/** Browsers play no sound before a click on the page; this is the click. */
export function SoundBanner() {
  const { canPlayAudio, startAudio } = useAudioPlayback();
  if (canPlayAudio) return null;
  return (
    <div className="banner" role="status">
      Your browser holds the sound back.
      <button type="button" className="button button-small" data-testid="start-audio" onClick={() => void startAudio()}>
        Turn sound on
      </button>
    </div>
  );
}
