import { useState } from 'react';
import type { Participant, RoomView, Stall } from './model';
import { ParticipantDetail } from './ParticipantDetail';
import { ParticipantRow } from './ParticipantRow';
import { useLive } from './useLive';
import { plural, sourceName, span, STALLS } from './words';

/** Streams that stand still and should not: muted and hidden ones are as people want them. */
const WANTED: ReadonlySet<Stall> = new Set(['muted', 'adaptive_stream_hidden', 'dynacast']);
/** Rows of the list of what stands still; the rest is counted. */
const SHOWN_STALLS = 6;

/** One room: who is in it, what stands still, and one participant in full. */
export function RoomDetail({ name, token }: { name: string; token: string }) {
  const [picked, setPicked] = useState<string | null>(null);
  // Decisions are many: those of the participant that is looked at are asked for.
  const query = picked ? `?participant=${encodeURIComponent(picked)}` : '';
  const path = name.split('/').map(encodeURIComponent).join('/');
  const { data, problem } = useLive<RoomView>(`/debug/rooms/${path}${query}`, token);
  const [last, setLast] = useState<RoomView | null>(null);
  if (data && data !== last) setLast(data);
  const view = data ?? last;

  if (!view) {
    return (
      <div className="console-empty" data-testid="room-problem">
        {problem && <h1>{problem.status === 404 ? 'This room is not here' : 'No answer'}</h1>}
        {problem && <p>{problem.text}</p>}
      </div>
    );
  }
  const participant = view.participants.find(({ identity }) => identity === picked) ?? null;
  const tracks = view.participants.reduce((sum, { tracks }) => sum + tracks.length, 0);
  const streams = view.participants.flatMap(({ subscriptions }) => subscriptions);
  const flowing = streams.filter(({ why }) => why === null).length;
  return (
    <div className="room" data-testid="room" data-room={view.name}>
      <header className="room-head">
        <div>
          <h1>{view.name}</h1>
          <code>{view.sid}</code>
        </div>
        <dl className="figures">
          <Figure label="Participants" value={String(view.participants.length)} />
          <Figure label="Tracks" value={String(tracks)} />
          <Figure label="Streams flowing" value={`${flowing} of ${streams.length}`} />
          <Figure label="Open for" value={span(view.atMs - view.createdAtMs)} />
        </dl>
      </header>
      {problem && (
        <p className="note-line" role="alert" data-testid="room-stale">
          {problem.status === 404 ? 'The room has ended. This is how it was seen last.' : problem.text}
        </p>
      )}
      {view.silentShards.length > 0 && (
        <p className="note-line" role="alert">
          Media thread {view.silentShards.join(', ')} did not answer: what it carries is missing here.
        </p>
      )}
      {view.truncated && <p className="note-line">The room is larger than this page shows.</p>}
      <Stalls view={view} onPick={setPicked} />
      <section className="people" aria-label="Participants">
        <div className="people-head" aria-hidden="true">
          <span>Participant</span>
          <span>Client</span>
          <span>Connection</span>
          <span>Sends</span>
          <span>Gets</span>
        </div>
        <ol>
          {view.participants.map((row) => (
            <li key={row.sid}>
              <ParticipantRow
                participant={row}
                open={row.identity === picked}
                onToggle={() => setPicked(row.identity === picked ? null : row.identity)}
              />
              {row === participant && <ParticipantDetail participant={row} room={view} />}
            </li>
          ))}
        </ol>
      </section>
    </div>
  );
}

function Figure({ label, value }: { label: string; value: string }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>{value}</dd>
    </div>
  );
}

/** What stands still though somebody wants it, in words. */
function Stalls({ view, onPick }: { view: RoomView; onPick: (identity: string) => void }) {
  const nameOf = new Map(view.participants.map(({ identity, name }) => [identity, name || identity]));
  const stalls = view.participants.flatMap((participant: Participant) =>
    participant.subscriptions
      .filter(({ why }) => why !== null && !WANTED.has(why))
      .map((subscription) => ({ participant, subscription })),
  );
  if (view.participants.every(({ subscriptions }) => subscriptions.length === 0)) {
    return (
      <p className="verdict" data-tone="idle" data-testid="verdict">
        Nobody watches or hears anyone here yet.
      </p>
    );
  }
  if (stalls.length === 0) {
    return (
      <p className="verdict" data-tone="good" data-testid="verdict">
        Everything that anyone watches or hears flows.
      </p>
    );
  }
  return (
    <section className="verdict" data-tone="bad" data-testid="verdict">
      <h2>{plural(stalls.length, 'stream stands still', 'streams stand still')}</h2>
      <ol>
        {stalls.slice(0, SHOWN_STALLS).map(({ participant, subscription }) => {
          if (!subscription.why) return null;
          const words = STALLS[subscription.why];
          return (
            <li key={`${participant.sid}${subscription.track}`}>
              <button className="stall" onClick={() => onPick(participant.identity)}>
                <Reason why={subscription.why} />
                <span>
                  {sourceName(subscription.source)} of {nameOf.get(subscription.publisher) ?? subscription.publisher} at{' '}
                  {participant.name || participant.identity}
                </span>
                <span className="stall-words">{words.subscriber}</span>
              </button>
            </li>
          );
        })}
      </ol>
      {stalls.length > SHOWN_STALLS && <p>And {stalls.length - SHOWN_STALLS} more.</p>}
    </section>
  );
}

/** A reason as a coloured word. */
export function Reason({ why }: { why: Stall }) {
  return (
    <span className="reason" data-why={why} data-wanted={WANTED.has(why)} data-testid="reason">
      {STALLS[why].title}
    </span>
  );
}
