import type { Layer, Participant, RoomView, Subscription, Track, Transport } from './model';
import { Decisions } from './Decisions';
import { Reason } from './RoomDetail';
import { bitrate, percent, plural, sourceName, span, STALLS } from './words';

const ROLES: Record<Transport['role'], string> = {
  both: 'Both directions',
  publisher: 'Sending',
  subscriber: 'Receiving',
};

/** One participant in full: its connections, what it sends and gets, and the last decisions about it. */
export function ParticipantDetail({ participant, room }: { participant: Participant; room: RoomView }) {
  const nameOf = new Map(room.participants.map(({ identity, name }) => [identity, name || identity]));
  const { may } = participant;
  const denied = [!may.publish && 'publish', !may.subscribe && 'subscribe', !may.publishData && 'send data'].filter(Boolean);
  return (
    <div className="detail" data-testid="detail" data-identity={participant.identity}>
      <p className="detail-sid">
        <code>{participant.sid}</code>
        <span>In the room for {span(room.atMs - participant.joinedAtMs)}</span>
        <span>Media thread {participant.shard}</span>
        {denied.length > 0 && <span>May not {denied.join(', ')}</span>}
      </p>

      <h3>Connection</h3>
      <div className="cards">
        {participant.transports.map((transport) => (
          <TransportCard key={transport.role} transport={transport} />
        ))}
        {participant.transports.length === 0 && <p className="nothing">No media connection yet.</p>}
      </div>

      <h3>Sends</h3>
      {participant.tracks.length === 0 && <p className="nothing">Nothing is published.</p>}
      {participant.tracks.map((track) => (
        <TrackCard key={track.sid} track={track} />
      ))}

      <h3>Gets</h3>
      {participant.subscriptions.length === 0 ? (
        <p className="nothing">There is nothing to get.</p>
      ) : (
        <ol className="streams">
          {participant.subscriptions.map((subscription) => (
            <Stream
              key={subscription.track}
              subscription={subscription}
              publisher={nameOf.get(subscription.publisher) ?? subscription.publisher}
              layers={layersOf(room, subscription.track)}
            />
          ))}
        </ol>
      )}

      <h3>Decisions</h3>
      <Decisions participant={participant} room={room} />
    </div>
  );
}

function layersOf(room: RoomView, sid: string): number {
  const track = room.participants.flatMap(({ tracks }) => tracks).find((one) => one.sid === sid);
  // A second codec has layers of its own.
  return Math.max(0, ...(track?.layers ?? []).map(({ spatial }) => spatial + 1));
}

function TransportCard({ transport }: { transport: Transport }) {
  const { connected, path, remote, rttMs } = transport;
  return (
    <dl className="card facts" data-testid="transport">
      <Fact label={ROLES[transport.role]}>{connected ? 'Connected' : 'Not connected'}</Fact>
      <Fact label="Path">{path ? `${path.toUpperCase()} ${remote ?? ''}` : '–'}</Fact>
      <Fact label="Encryption">
        {transport.srtp ?? '–'}
        {transport.dtls && ` · DTLS ${transport.dtls}`}
      </Fact>
      <Fact label="Round trip">{rttMs === null ? 'not measured yet' : `${rttMs.toFixed(1)} ms`}</Fact>
      <Fact label="Lost on the way here">{percent(transport.uplinkLoss)}</Fact>
      <Fact label="Lost on the way there">{percent(transport.downlinkLoss)}</Fact>
      <Fact label="Queue">{transport.dropped > 0 ? `${transport.dropped} packets dropped` : 'nothing dropped'}</Fact>
    </dl>
  );
}

function Fact({ label, children }: { label: string; children: React.ReactNode }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function TrackCard({ track }: { track: Track }) {
  const highest = (quality: string | null) => (quality === null ? 'off' : track.kind === 'audio' ? 'on' : quality);
  const wanted = track.demand.map(({ mime, quality }) => `${codec(mime)} ${highest(quality)}`).join(', ');
  return (
    <article className="card track" data-testid="track" data-source={track.source} data-why={track.why ?? ''}>
      <header>
        <strong>{sourceName(track.source)}</strong>
        <span>{codec(track.mime)}</span>
        {track.width > 0 && (
          <span>
            {track.width}×{track.height}
          </span>
        )}
        <span>{plural(track.subscribers, 'subscriber')}</span>
        {wanted && <span>wanted: {wanted}</span>}
        <code>{track.sid}</code>
        {track.why ? <Reason why={track.why} /> : <span className="flows">Flows</span>}
      </header>
      {track.why && <p className="words">{STALLS[track.why].publisher}</p>}
      <ol className="layers">
        {track.layers.map((layer) => (
          <LayerRow
            key={`${layer.mime ?? ''} ${layer.spatial}`}
            layer={layer}
            video={track.kind === 'video'}
            second={layer.mime !== null && layer.mime !== track.layers[0]?.mime}
          />
        ))}
      </ol>
    </article>
  );
}

function LayerRow({ layer, video, second }: { layer: Layer; video: boolean; second: boolean }) {
  return (
    <li className="layer" data-live={layer.live} data-testid="layer">
      <span className="layer-name">
        <span className="lamp" />
        {video ? `Layer ${layer.spatial}` : 'Sound'}
        {layer.rid && <small>{layer.rid}</small>}
        {second && layer.mime && <small>{codec(layer.mime)}</small>}
      </span>
      <span>{layer.width > 0 ? `${layer.width}×${layer.height}` : ''}</span>
      <span className="number">{layer.live ? bitrate(layer.rate.bits) : 'silent'}</span>
      <span className="number">{layer.live ? `${layer.rate.packets} packets/s` : ''}</span>
      <span className="number" data-bad={layer.lost > 0.05 * (layer.received + layer.lost)}>
        {layer.lost > 0 ? `${layer.lost} lost` : 'none lost'}
      </span>
      <span>
        {video &&
          (layer.awaitsKeyFrame
            ? 'key frame asked for'
            : layer.sinceKeyFrameMs !== null && `key frame ${span(layer.sinceKeyFrameMs)} ago`)}
      </span>
    </li>
  );
}

function Stream({ subscription, publisher, layers }: { subscription: Subscription; publisher: string; layers: number }) {
  const { why, target, current, kind } = subscription;
  const several = kind === 'video' && layers > 1;
  const wants = target === null ? 'no subscription' : target.spatial >= layers ? 'wants all' : `wants layer ${target.spatial}`;
  return (
    <li className="stream" data-testid="stream" data-publisher={subscription.publisher} data-source={subscription.source} data-why={why ?? ''}>
      <span>
        <strong>{sourceName(subscription.source)}</strong> of {publisher}
      </span>
      <span className="steps" aria-label={current === null ? 'nothing is sent' : `layer ${current} is sent`}>
        {several &&
          Array.from({ length: layers }, (_, step) => (
            <i key={step} data-sent={current !== null && step <= current} />
          ))}
        {several && <small>{current === null ? wants : `layer ${current}, ${wants}`}</small>}
      </span>
      <span className="number">{why ? '–' : bitrate(subscription.rate.bits)}</span>
      <span className="number" data-bad={subscription.loss > 0.05}>
        {percent(subscription.loss)} lost
      </span>
      {why ? <Reason why={why} /> : <span className="flows">Flows</span>}
      {why && <p className="words">{STALLS[why].subscriber}</p>}
    </li>
  );
}

/** `video/VP8` is `VP8` here. */
function codec(mime: string): string {
  return mime.split('/')[1] ?? mime;
}
