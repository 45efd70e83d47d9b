import type { LocalAudioTrack, LocalVideoTrack } from 'livekit-client';
import { useCallback, useEffect, useRef, useState } from 'react';
import { deviceProblem, type MeetingProblem } from '../session/problem';

/** A camera or microphone that the lobby holds open. */
export interface LocalTrackPreview<T> {
  track: T | null;
  problem: MeetingProblem | null;
  /** Gives the track away: it then outlives the lobby, and whoever took it must stop it. */
  handOver: () => void;
}

/**
 * Keeps a device open while `enabled`, and stops it afterwards, so that no camera light stays on.
 * `open` must be stable between renders: another function means another device.
 */
export function useLocalTrack<T extends LocalVideoTrack | LocalAudioTrack>(
  what: 'camera' | 'microphone',
  enabled: boolean,
  open: () => Promise<T>,
): LocalTrackPreview<T> {
  const [track, setTrack] = useState<T | null>(null);
  const [problem, setProblem] = useState<MeetingProblem | null>(null);
  const givenAway = useRef(false);

  useEffect(() => {
    if (!enabled) return;
    let wanted = true;
    let opened: T | null = null;
    open().then(
      (fresh) => {
        if (!wanted) {
          fresh.stop();
          return;
        }
        opened = fresh;
        setTrack(fresh);
        setProblem(null);
      },
      (error: unknown) => {
        if (wanted) setProblem(deviceProblem(error, what));
      },
    );
    return () => {
      wanted = false;
      if (!givenAway.current) opened?.stop();
      setTrack(null);
      setProblem(null);
    };
  }, [what, enabled, open]);

  const handOver = useCallback(() => {
    givenAway.current = true;
  }, []);

  return { track, problem, handOver };
}
