import { useParticipants } from '@livekit/components-react';
import { useState } from 'react';
import { shareableLink } from '../session/link';
import { Brand } from './Brand';
import { CheckIcon, LinkIcon, PeopleIcon } from './icons';

/** The confirmation stays for as long as a glance takes. */
const COPIED_FOR_MS = 2_000;

/** Which room this is, how many are here, and how others get in. */
export function CallHeader({ roomName, mayInvite }: { roomName: string; mayInvite: boolean }) {
  const count = useParticipants().length;
  return (
    <header className="call-header">
      <Brand />
      <h1 title={roomName}>{roomName}</h1>
      <span className="people" data-testid="participant-count" aria-label={`${count} in this meeting`}>
        <PeopleIcon />
        {count}
        {count === 1 && <span className="people-alone">Nobody else is here yet</span>}
      </span>
      {mayInvite && <InviteButton roomName={roomName} />}
    </header>
  );
}

function InviteButton({ roomName }: { roomName: string }) {
  const [copied, setCopied] = useState(false);
  const link = shareableLink(roomName);

  const copy = async () => {
    try {
      await navigator.clipboard.writeText(link);
      setCopied(true);
      setTimeout(() => setCopied(false), COPIED_FOR_MS);
    } catch {
      // Without a secure context there is no clipboard: show the link for copying by hand.
      window.prompt('Copy this link:', link);
    }
  };

  return (
    <button type="button" className="button button-small" data-testid="invite" title={link} onClick={() => void copy()}>
      {copied ? <CheckIcon /> : <LinkIcon />}
      <span aria-live="polite">{copied ? 'Link copied' : 'Copy invite link'}</span>
    </button>
  );
}
