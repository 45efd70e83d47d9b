import type { DecisionKind, Stall } from './model';

/** A reason as a heading, and as a sentence that says what to do about it. */
export const STALLS: Record<Stall, { title: string; subscriber: string; publisher: string }> = {
  permission: {
    title: 'Not permitted',
    subscriber: 'The token may not subscribe, or the publisher’s list of subscribers leaves this participant out.',
    publisher: 'The token may not publish this.',
  },
  codec: {
    title: 'Codec not supported',
    subscriber: 'The client cannot decode what the publisher sends, and there is no other codec of this track.',
    publisher: 'No subscriber can decode this codec.',
  },
  muted: {
    title: 'Muted',
    subscriber: 'The publisher has muted the track, or the server API has. It comes back when it is unmuted.',
    publisher: 'The publisher has muted it, or the server API has.',
  },
  adaptive_stream_hidden: {
    title: 'Not shown',
    subscriber: 'The client says that it does not show this track: its element is hidden, scrolled away or paused by the application.',
    publisher: 'No subscriber shows it.',
  },
  dynacast: {
    title: 'Resting',
    subscriber: 'The publisher rested since nobody watched, and was told to go on a moment ago.',
    publisher: 'Nobody wants it, so the publisher was told to encode nothing. It starts as soon as somebody does.',
  },
  no_packets: {
    title: 'No packets',
    subscriber: 'Nothing comes from the publisher, or the media path to this client is not open yet. Look at both connections.',
    publisher: 'The track is published and not muted, and yet no packets come: look at the publisher’s connection and device.',
  },
  bandwidth: {
    title: 'Too narrow',
    subscriber: 'More is to be sent than the way to this client takes: its queue drops packets, or the picture pauses. Ask for a smaller layer.',
    publisher: 'The publisher’s way is too narrow.',
  },
  awaiting_key_frame: {
    title: 'Waiting for a key frame',
    subscriber: 'Packets come, but a picture can only begin with a key frame; the publisher has been asked for one.',
    publisher: 'The publisher has been asked for a key frame.',
  },
};

const SOURCES: Record<string, string> = {
  camera: 'Camera',
  microphone: 'Microphone',
  screen_share: 'Screen',
  screen_share_audio: 'Screen sound',
};

export function sourceName(source: string): string {
  return SOURCES[source] ?? 'Track';
}

export function bitrate(bits: number): string {
  if (bits >= 999_500) return `${(bits / 1e6).toFixed(1)} Mbit/s`;
  return `${Math.round(bits / 1e3)} kbit/s`;
}

export function percent(share: number): string {
  const value = share * 100;
  return `${value > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} %`;
}

/** A length of time for people: `0.4 s`, `12 s`, `3 min`, `2 h 5 min`. */
export function span(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function clock(ms: number): string {
  const date = new Date(ms);
  const two = (value: number) => String(value).padStart(2, '0');
  const millis = String(date.getMilliseconds()).padStart(3, '0');
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${millis}`;
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** Layer 0 of one is nothing to talk about; 255 is the protocol's "all of them". */
function layer(spatial: unknown): string {
  return spatial === 255 ? 'the highest layer' : `layer ${String(spatial)}`;
}

const KEY_FRAME_REASONS: Record<string, string> = {
  layer: 'a subscriber begins or changes its layer',
  subscriber: 'a subscriber asked',
  loss: 'too much is missing',
  dropped: 'packets to a subscriber were dropped',
  repeated: 'the last request had no answer',
};

const DROP_REASONS: Record<string, string> = {
  full: 'the queue was full',
  late: 'they had waited for too long',
  no_path: 'there was no way to the client',
  gone: 'they were not kept any more',
};

const PLAIN: Record<string, string> = {
  connected: 'Connected',
  disconnected: 'No sign of life from the client for some seconds',
  path_changed: 'Another network path is used',
  paused: 'Paused',
  resumed: 'Resumed',
};

/** How much a decision matters at a glance. */
export type Tone = 'good' | 'bad' | 'plain';

/** A decision in words. */
export function decisionText(what: DecisionKind): { text: string; tone: Tone } {
  if (typeof what === 'string') {
    return { text: PLAIN[what] ?? what, tone: what === 'disconnected' ? 'bad' : what === 'connected' ? 'good' : 'plain' };
  }
  const [[kind, detail] = ['', '']] = Object.entries(what);
  const of = (name: string) => (typeof detail === 'object' ? detail[name] : undefined);
  switch (kind) {
    case 'failed':
      return { text: `Connection over: ${String(detail)}`, tone: 'bad' };
    case 'targeted':
      return {
        text: `The subscriber wants ${layer(of('spatial'))}${Number(of('fps')) > 0 ? `, ${of('fps')} frames a second` : ''}`,
        tone: 'plain',
      };
    case 'affords':
      return detail === null
        ? { text: 'Paused: its smallest layer does not fit into what may be sent', tone: 'bad' }
        : { text: `What may be sent takes ${layer(detail)}`, tone: 'plain' };
    case 'chose':
      return { text: `Chose ${layer(detail)}, the best that is live`, tone: 'plain' };
    case 'began':
      return { text: `Sending begins with ${layer(detail)}`, tone: 'good' };
    case 'switched':
      return { text: `Switched from ${layer(of('from'))} to ${layer(of('to'))}`, tone: 'good' };
    case 'asked_key_frame':
      return {
        text: `Asked for a key frame of ${layer(of('layer'))}: ${KEY_FRAME_REASONS[String(of('why'))] ?? String(of('why'))}`,
        tone: 'plain',
      };
    case 'got_key_frame':
      return { text: `Key frame of ${layer(detail)} came`, tone: 'good' };
    case 'layer_live':
      return { text: `Packets of ${layer(detail)} come`, tone: 'good' };
    case 'layer_silent':
      return { text: `No packets of ${layer(detail)} any more`, tone: 'bad' };
    case 'source_replaced':
      return { text: `Packets of ${layer(detail)} come from a new source`, tone: 'plain' };
    case 'dropped':
      return {
        text: `Packets dropped (${String(of('queue'))}): ${DROP_REASONS[String(of('why'))] ?? String(of('why'))}`,
        tone: 'bad',
      };
    default:
      return { text: kind, tone: 'plain' };
  }
}
