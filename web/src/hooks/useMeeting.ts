import { RoomEvent, type DisconnectReason, type Room } from 'livekit-client';
import { useCallback, useRef, useState } from 'react';
import { newIdentity, requestToken, type Admission } from '../session/admission';
import { saveChoices, type Choices } from '../session/choices';
import { shareableLink, type MeetingLink } from '../session/link';
import { ending, joinProblem, type Ending, type MeetingProblem } from '../session/problem';
import { connect, createRoom, publishChoices, type OpenTracks } from '../session/room';

/** Where a person is: before, in or after the call. */
export type Stage =
  | { kind: 'lobby' }
  | { kind: 'call'; room: Room; roomName: string }
  | { kind: 'left'; ending: Ending; roomName: string };

/** A person's way through a meeting. */
export interface Meeting {
  stage: Stage;
  /** Joins; throws a MeetingProblem and stays where it is if that fails. */
  join: (choices: Choices, open: OpenTracks | null) => Promise<void>;
  /** Joins again as one left: what was muted stays muted. */
  rejoin: () => Promise<void>;
  backToLobby: () => void;
  /** Remembers what was switched during the call, for `rejoin`. */
  remember: (change: Partial<Choices>) => void;
}

/** Runs the stages of a meeting. `report` gets what goes wrong without ending the call. */
export function useMeeting(
  link: MeetingLink,
  admission: Admission | null,
  report: (problem: MeetingProblem) => void,
): Meeting {
  const [stage, setStage] = useState<Stage>({ kind: 'lobby' });
  const current = useRef<Choices | null>(null);
  const identity = useRef<string | null>(null);

  const join = useCallback(
    async (choices: Choices, open: OpenTracks | null) => {
      try {
        identity.current ??= newIdentity(choices.name);
        const token =
          admission?.kind === 'invitation'
            ? admission.invitation.token
            : await requestToken(choices.room, identity.current, choices.name);
        const room = createRoom(link.profile, choices);
        await connect(room, token);
        const roomName = room.name || choices.room;
        room.once(RoomEvent.Disconnected, (reason?: DisconnectReason) => {
          setStage({ kind: 'left', ending: ending(reason), roomName });
        });
        open?.handOver();
        current.current = choices;
        saveChoices(choices);
        if (admission?.kind === 'open') showRoomInAddress(roomName);
        setStage({ kind: 'call', room, roomName });
        void publishChoices(room, choices, open, report);
      } catch (error) {
        throw joinProblem(error);
      }
    },
    [admission, link.profile, report],
  );

  const rejoin = useCallback(async () => {
    if (current.current) await join(current.current, null);
  }, [join]);

  const backToLobby = useCallback(() => setStage({ kind: 'lobby' }), []);

  const remember = useCallback((change: Partial<Choices>) => {
    if (!current.current) return;
    current.current = { ...current.current, ...change };
    saveChoices(current.current);
  }, []);

  return { stage, join, rejoin, backToLobby, remember };
}

/** Makes the address one that can be shared and reloaded; options such as the video profile stay. */
function showRoomInAddress(room: string): void {
  const options = new URLSearchParams(window.location.search);
  const address = new URL(shareableLink(room));
  for (const [key, value] of options) if (key !== 'room') address.searchParams.set(key, value);
  window.history.replaceState(null, '', address);
}
