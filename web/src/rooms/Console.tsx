import { useEffect, useState } from 'react';
import { Brand } from '../components/Brand';
import type { RoomList } from './model';
import { RoomDetail } from './RoomDetail';
import { TokenGate } from './TokenGate';
import { useLive } from './useLive';
import { useToken } from './useToken';
import { plural, span } from './words';

/** The rooms of this server, live: a list, and what is in the one that was picked. */
export function Console() {
  const [state, useThisToken] = useToken();
  const [room, setRoom] = useState(() => new URLSearchParams(window.location.search).get('room'));
  const token = state.kind === 'there' ? state.token : null;
  const list = useLive<RoomList>('/debug/rooms', token);
  const rooms = list.data?.rooms ?? [];

  // The address is a link to what is shown; the token stays in the fragment.
  useEffect(() => {
    const address = new URL(window.location.href);
    if (room) address.searchParams.set('room', room);
    else address.searchParams.delete('room');
    window.history.replaceState(null, '', address);
    document.title = room ? `${room} · Rooms · Plenum` : 'Rooms · Plenum';
  }, [room]);

  if (state.kind === 'waiting') return <div className="console-wait" aria-busy="true" />;
  const refused = list.problem && [401, 403].includes(list.problem.status) ? list.problem.text : null;
  if (state.kind === 'needed' || refused) return <TokenGate problem={refused} onToken={useThisToken} />;

  const participants = rooms.reduce((sum, { participants }) => sum + participants, 0);
  return (
    <div className="console" data-testid="console">
      <header className="console-bar">
        <Brand />
        <span className="console-title">Rooms</span>
        <span className="console-facts">
          {list.data && (
            <>
              <span>{plural(rooms.length, 'room')}</span>
              <span>{plural(participants, 'participant')}</span>
              <code>{list.data.node}</code>
            </>
          )}
        </span>
        <span className="pulse" data-on={!list.problem} data-testid="pulse">
          {list.problem ? 'Not live' : 'Live'}
        </span>
      </header>
      <nav className="room-list" aria-label="Rooms">
        {list.problem && (
          <p className="note-line" role="alert" data-testid="list-problem">
            {list.problem.text}
          </p>
        )}
        {list.data && rooms.length === 0 && (
          <p className="room-list-empty">No room is open. It appears here as soon as somebody joins one.</p>
        )}
        <ol>
          {rooms.map((listed) => (
            <li key={listed.sid}>
              <button
                className="room-row"
                aria-current={listed.name === room}
                data-testid="room-row"
                data-room={listed.name}
                onClick={() => setRoom(listed.name)}
              >
                <span className="room-row-name">{listed.name}</span>
                <span className="room-row-age">{span((list.data?.atMs ?? 0) - listed.createdAtMs)}</span>
                <span className="room-row-facts">
                  {plural(listed.participants, 'participant')} · {plural(listed.tracks, 'track')} ·{' '}
                  {plural(listed.subscriptions, 'stream')}
                </span>
              </button>
            </li>
          ))}
        </ol>
        {list.data?.truncated && <p className="note-line">There are more rooms than this page shows.</p>}
      </nav>
      <main className="console-main">
        {room && token ? (
          <RoomDetail key={room} name={room} token={token} />
        ) : (
          <div className="console-empty">
            <h1>Why is this video frozen?</h1>
            <p>Pick a room to see who is in it, what each of them sends and gets, and why something stands still.</p>
          </div>
        )}
      </main>
    </div>
  );
}
