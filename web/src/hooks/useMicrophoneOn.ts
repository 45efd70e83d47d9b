import { ParticipantEvent, type Participant } from 'livekit-client';
import { useCallback, useSyncExternalStore } from 'react';

const EVENTS = [
  ParticipantEvent.TrackMuted,
  ParticipantEvent.TrackUnmuted,
  ParticipantEvent.TrackPublished,
  ParticipantEvent.TrackUnpublished,
  ParticipantEvent.LocalTrackPublished,
  ParticipantEvent.LocalTrackUnpublished,
] as const;

/** Whether a participant can be heard: a microphone is published and not muted. */
export function useMicrophoneOn(participant: Participant): boolean {
  const subscribe = useCallback(
    (changed: () => void) => {
      for (const event of EVENTS) participant.on(event, changed);
      return () => {
        for (const event of EVENTS) participant.off(event, changed);
      };
    },
    [participant],
  );
  return useSyncExternalStore(subscribe, () => participant.isMicrophoneEnabled);
}
