import { useEffect, useState } from 'react';
import { Call } from './components/Call';
import { Farewell } from './components/Farewell';
import { Lobby } from './components/Lobby';
import { Notices } from './components/Notices';
import { useAdmission } from './hooks/useAdmission';
import { useMeeting } from './hooks/useMeeting';
import { useNotices } from './hooks/useNotices';
import { readLink } from './session/link';

/** The page: a lobby, the call, and what comes after it. */
export function App() {
  const [link] = useState(() => readLink(window.location));
  const admission = useAdmission(link);
  const { notices, report, dismiss } = useNotices();
  const { stage, join, rejoin, backToLobby, remember } = useMeeting(link, admission, report);
  const roomName = stage.kind === 'lobby' ? link.room : stage.roomName;

  useEffect(() => {
    document.title = roomName ? `${roomName} · Plenum` : 'Plenum';
  }, [roomName]);

  return (
    <>
      {stage.kind === 'lobby' && <Lobby link={link} admission={admission} onJoin={join} />}
      {stage.kind === 'call' && (
        <Call
          room={stage.room}
          roomName={stage.roomName}
          mayInvite={admission?.kind === 'open'}
          report={report}
          remember={remember}
        />
      )}
      {stage.kind === 'left' && (
        <Farewell ending={stage.ending} roomName={stage.roomName} onRejoin={rejoin} onBack={backToLobby} />
      )}
      <Notices notices={notices} dismiss={dismiss} />
    </>
  );
}
