import {
  isTrackReference,
  useIsMuted,
  useIsSpeaking,
  useParticipantInfo,
  VideoTrack,
  type TrackReferenceOrPlaceholder,
} from '@livekit/components-react';
import { Track } from 'livekit-client';
import { useMicrophoneOn } from '../hooks/useMicrophoneOn';
import { Avatar } from './Avatar';
import { MicrophoneOffIcon, PinIcon, ScreenIcon } from './icons';
import { QualityBars } from './QualityBars';

interface TileProps {
  track: TrackReferenceOrPlaceholder;
  pinned: boolean;
  onPin: () => void;
}

/** One participant's camera or screen, with what one has to know about it. */
export function Tile({ track, pinned, onPin }: TileProps) {
  const { participant, source } = track;
  const info = useParticipantInfo({ participant });
  const speaking = useIsSpeaking(participant);
  const microphoneOn = useMicrophoneOn(participant);
  const cameraMuted = useIsMuted(track);

  const isScreen = source === Track.Source.ScreenShare;
  const isLocal = participant.isLocal;
  const name = info.name || info.identity || 'Guest';
  const label = tileLabel(name, isLocal, isScreen);
  const showsVideo = isTrackReference(track) && !cameraMuted && Boolean(track.publication.track);

  return (
    <article
      className="tile"
      aria-label={label}
      data-testid={isScreen ? 'screen-tile' : 'tile'}
      data-identity={participant.identity}
      data-name={name}
      data-local={isLocal}
      data-speaking={!isScreen && speaking && microphoneOn}
      data-muted={!microphoneOn}
      data-video={showsVideo}
      data-screen={isScreen}
    >
      {showsVideo ? (
        <VideoTrack trackRef={track} className={isLocal && !isScreen ? 'mirrored' : undefined} />
      ) : (
        <Avatar name={name} identity={participant.identity} />
      )}
      <button
        type="button"
        className="icon-button tile-pin"
        aria-pressed={pinned}
        aria-label={pinned ? `Stop showing ${label} large` : `Show ${label} large`}
        title={pinned ? 'Back to the grid' : 'Show large'}
        data-testid="pin"
        onClick={onPin}
      >
        <PinIcon />
      </button>
      <footer className="tile-footer">
        <span className="tile-name">
          {isScreen ? <ScreenIcon /> : !microphoneOn && <MutedMark />}
          <span>{label}</span>
        </span>
        {!isScreen && <QualityBars participant={participant} />}
      </footer>
    </article>
  );
}

function MutedMark() {
  return (
    <span className="muted-mark" role="img" aria-label="Muted" data-testid="muted-mark">
      <MicrophoneOffIcon />
    </span>
  );
}

function tileLabel(name: string, isLocal: boolean, isScreen: boolean): string {
  if (isScreen) return isLocal ? 'Your screen' : `${name}’s screen`;
  return isLocal ? `${name} (you)` : name;
}
