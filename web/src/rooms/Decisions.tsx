import { useState } from 'react';
import type { Participant, RoomView } from './model';
import { clock, decisionText, sourceName } from './words';

/** Rows at first: the last ones. The server keeps 200 of each connection. */
const SHOWN = 20;

/** The last decisions about a participant's media, newest first. */
export function Decisions({ participant, room }: { participant: Participant; room: RoomView }) {
  const [all, setAll] = useState(false);
  const tracks = new Map(
    room.participants.flatMap(({ identity, name, tracks }) =>
      tracks.map((track) => [track.sid, { source: track.source, who: name || identity }] as const),
    ),
  );
  const decisions = participant.transports
    .flatMap(({ decisions }) => decisions)
    .sort((a, b) => b.atMs - a.atMs);
  if (decisions.length === 0) return <p className="nothing">None yet.</p>;
  return (
    <>
      <ol className="decisions" data-testid="decisions">
        {decisions.slice(0, all ? decisions.length : SHOWN).map((decision, place) => {
          const { text, tone } = decisionText(decision.what);
          const track = decision.track ? tracks.get(decision.track) : undefined;
          return (
            <li key={`${decision.atMs}-${decisions.length - place}`} data-tone={tone}>
              <time>{clock(decision.atMs)}</time>
              <span className="decision-about">
                {track ? `${sourceName(track.source)}${decision.subscribed ? ` of ${track.who}` : ''}` : 'Connection'}
              </span>
              <span>{text}</span>
            </li>
          );
        })}
      </ol>
      {decisions.length > SHOWN && (
        <button className="button button-small" onClick={() => setAll(!all)}>
          {all ? 'Show the last ones only' : `Show all ${decisions.length}`}
        </button>
      )}
    </>
  );
}
