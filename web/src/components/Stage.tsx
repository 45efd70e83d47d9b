import { isTrackReference, useTracks, type TrackReferenceOrPlaceholder } from '@livekit/components-react';
import { Track } from 'livekit-client';
import { useState } from 'react';
import { FocusLayout } from './FocusLayout';
import { GridLayout } from './GridLayout';

/** Everyone in the call: as a grid, or around a shared screen or a pinned participant. */
export function Stage() {
  const tracks = useTracks(
    [
      { source: Track.Source.Camera, withPlaceholder: true },
      { source: Track.Source.ScreenShare, withPlaceholder: false },
    ],
    { onlySubscribed: false },
  );
  const [pinned, setPinned] = useState<string | null>(null);
  const togglePin = (key: string) => setPinned((before) => (before === key ? null : key));

  const focused =
    tracks.find((track) => tileKey(track) === pinned) ??
    tracks.find((track) => isTrackReference(track) && track.source === Track.Source.ScreenShare);

  return (
    <section className="stage" aria-label="Participants" data-testid="stage">
      {focused ? (
        <FocusLayout
          focused={focused}
          others={tracks.filter((track) => track !== focused)}
          pinned={pinned}
          onPin={togglePin}
        />
      ) : (
        <GridLayout tracks={tracks} onPin={togglePin} />
      )}
    </section>
  );
}

/** What stays the same for one tile while tracks come and go. */
export function tileKey(track: TrackReferenceOrPlaceholder): string {
  return `${track.participant.identity}/${track.source}`;
}
