import type { LocalVideoTrack } from 'livekit-client';
import { useEffect, useRef } from 'react';
import { Avatar } from './Avatar';

interface CameraPreviewProps {
  track: LocalVideoTrack | null;
  name: string;
  /** Says why there is no picture. */
  hint: string;
}

/** What others will see. Mirrored, as people know themselves. */
export function CameraPreview({ track, name, hint }: CameraPreviewProps) {
  const video = useRef<HTMLVideoElement>(null);

  useEffect(() => {
    const element = video.current;
    if (!track || !element) return;
    track.attach(element);
    return () => {
      track.detach(element);
    };
  }, [track]);

  return (
    <div className="preview">
      {track ? (
        <video ref={video} className="mirrored" muted playsInline autoPlay data-testid="preview-video" />
      ) : (
        <div className="preview-empty">
          <Avatar name={name} identity={name || 'you'} />
          <p>{hint}</p>
        </div>
      )}
    </div>
  );
}
