import { Avatar } from '../components/Avatar';
import type { Participant } from './model';
import { bitrate, percent, plural } from './words';

const STATES: Record<Participant['state'], string> = {
  joined: 'Connecting',
  active: 'Active',
  closing: 'Leaving',
  away: 'Lost its signal connection, may come back',
  lost: 'Lost',
};

/** One participant in the list. */
export function ParticipantRow({
  participant,
  open,
  onToggle,
}: {
  participant: Participant;
  open: boolean;
  onToggle: () => void;
}) {
  const { name, identity, state, transports, tracks, subscriptions } = participant;
  const sent = tracks.flatMap(({ layers }) => layers).reduce((sum, { rate }) => sum + rate.bits, 0);
  const got = subscriptions.reduce((sum, { rate }) => sum + rate.bits, 0);
  const still = subscriptions.filter(({ why }) => why !== null).length;
  const rtt = transports.map(({ rttMs }) => rttMs).find((ms) => ms !== null) ?? null;
  const loss = Math.max(0, ...transports.flatMap(({ uplinkLoss, downlinkLoss }) => [uplinkLoss, downlinkLoss]));
  return (
    <button
      className="person"
      aria-expanded={open}
      onClick={onToggle}
      data-testid="participant"
      data-identity={identity}
      data-state={state}
    >
      <span className="person-who">
        <span className="person-avatar">
          <Avatar name={name || identity} identity={identity} />
          <span className="state-dot" data-state={state} title={STATES[state]} />
        </span>
        <span className="person-names">
          <strong>{name || identity}</strong>
          {name && name !== identity && <small>{identity}</small>}
        </span>
        {participant.hidden && <span className="tag">hidden</span>}
      </span>
      <span className="person-client">{participant.client}</span>
      <span className="person-link">
        {rtt === null ? '–' : `${Math.round(rtt)} ms`}
        <small data-bad={loss > 0.05}>{percent(loss)} lost</small>
      </span>
      <span>
        {plural(tracks.length, 'track')}
        <small>{bitrate(sent)}</small>
      </span>
      <span>
        {plural(subscriptions.length - still, 'stream')}
        <small>{bitrate(got)}</small>
        {still > 0 && <span className="tag tag-warn">{still} still</span>}
      </span>
    </button>
  );
}
