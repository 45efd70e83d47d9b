/** What `/debug/rooms` and `/debug/rooms/{name}` answer. */

export type Stall =
  | 'permission'
  | 'codec'
  | 'muted'
  | 'adaptive_stream_hidden'
  | 'dynacast'
  | 'no_packets'
  | 'bandwidth'
  | 'awaiting_key_frame';

export interface Rate {
  /** Bits a second. */
  bits: number;
  /** Packets a second. */
  packets: number;
}

export interface RoomList {
  node: string;
  atMs: number;
  rooms: ListedRoom[];
  truncated: boolean;
}

export interface ListedRoom {
  name: string;
  sid: string;
  epoch: number;
  createdAtMs: number;
  participants: number;
  publishers: number;
  tracks: number;
  subscriptions: number;
}

export interface RoomView {
  name: string;
  sid: string;
  atMs: number;
  createdAtMs: number;
  participants: Participant[];
  truncated: boolean;
  silentShards: number[];
}

export interface Participant {
  sid: string;
  identity: string;
  name: string;
  state: 'joined' | 'active' | 'closing' | 'away' | 'lost';
  hidden: boolean;
  client: string;
  joinedAtMs: number;
  shard: number;
  may: { publish: boolean; subscribe: boolean; publishData: boolean };
  quality: string | null;
  transports: Transport[];
  tracks: Track[];
  subscriptions: Subscription[];
}

export interface Transport {
  role: 'both' | 'publisher' | 'subscriber';
  connected: boolean;
  path: string | null;
  remote: string | null;
  srtp: string | null;
  dtls: string | null;
  rttMs: number | null;
  uplinkLoss: number;
  downlinkLoss: number;
  waiting: number;
  dropped: number;
  decisions: Decision[];
}

export interface Track {
  sid: string;
  name: string;
  kind: 'audio' | 'video';
  source: string;
  mime: string;
  muted: boolean;
  width: number;
  height: number;
  subscribers: number;
  demand: { mime: string; quality: string | null }[];
  layers: Layer[];
  why: Stall | null;
}

export interface Layer {
  spatial: number;
  rid: string | null;
  mime: string | null;
  ssrc: number | null;
  width: number;
  height: number;
  live: boolean;
  rate: Rate;
  frameRates: number[];
  received: number;
  lost: number;
  sincePacketMs: number | null;
  sinceKeyFrameMs: number | null;
  awaitsKeyFrame: boolean;
}

export interface Subscription {
  track: string;
  publisher: string;
  source: string;
  kind: 'audio' | 'video';
  target: { spatial: number; temporal: number; fps: number; paused: boolean; priority: number } | null;
  chosen: number | null;
  current: number | null;
  rate: Rate;
  sent: number;
  loss: number;
  dropped: number;
  why: Stall | null;
}

/** A word, or a word with its details: `"paused"`, `{"switched": {"from": 0, "to": 2}}`. */
export type DecisionKind = string | Record<string, number | string | Record<string, number | string>>;

export interface Decision {
  atMs: number;
  track: string | null;
  subscribed: boolean;
  what: DecisionKind;
}
