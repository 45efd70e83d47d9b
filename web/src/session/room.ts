import {
  ConnectionError,
  Room,
  VideoPreset,
  VideoPresets,
  type AudioCaptureOptions,
  type LocalAudioTrack,
  type LocalVideoTrack,
  type TrackPublishDefaults,
  type VideoCaptureOptions,
} from 'livekit-client';
import { serverUrl } from './admission';
import type { Choices } from './choices';
import type { VideoProfile } from './link';
import { deviceProblem, type MeetingProblem } from './problem';

/** Tracks that the lobby has opened already, to be published as they are. */
export interface OpenTracks {
  camera: LocalVideoTrack | null;
  microphone: LocalAudioTrack | null;
  /** Called before they are published: from then on the lobby must not stop them. */
  handOver: () => void;
}

/** What the camera is asked for. */
export function cameraOptions(profile: VideoProfile, deviceId: string): VideoCaptureOptions {
  const device = deviceId ? { deviceId } : {};
  return profile === '360p15'
    ? { ...device, resolution: { width: 640, height: 360, frameRate: 15 } }
    : { ...device, resolution: VideoPresets.h720.resolution };
}

/** What the microphone is asked for. */
export function microphoneOptions(deviceId: string): AudioCaptureOptions {
  return { ...(deviceId ? { deviceId } : {}), echoCancellation: true, noiseSuppression: true, autoGainControl: true };
}

/** A room that is not connected yet, set up for `choices`. */
export function createRoom(profile: VideoProfile, choices: Choices): Room {
  return new Room({
    adaptiveStream: true,
    dynacast: true,
    videoCaptureDefaults: cameraOptions(profile, choices.cameraId),
    audioCaptureDefaults: microphoneOptions(choices.microphoneId),
    publishDefaults: publishDefaults(profile),
  });
}

/**
 * The client gives each of its own steps 15 s, but between a server that has no signaling at all and itself it
 * goes round for ever.
 */
const CONNECT_WITHIN_MS = 40_000;

/** Connects `room`; on an error it is left disconnected. */
export async function connect(room: Room, token: string): Promise<void> {
  let timer: number | undefined;
  const tooLong = new Promise<never>((_, reject) => {
    timer = window.setTimeout(
      () => reject(ConnectionError.timeout(`not connected within ${CONNECT_WITHIN_MS} ms`)),
      CONNECT_WITHIN_MS,
    );
  });
  try {
    await Promise.race([room.connect(serverUrl(), token), tooLong]);
  } catch (error) {
    await room.disconnect();
    throw error;
  } finally {
    window.clearTimeout(timer);
  }
}

/** Publishes what the person chose to show, each track on its own: a broken camera must not silence anyone. */
export async function publishChoices(
  room: Room,
  choices: Choices,
  open: OpenTracks | null,
  report: (problem: MeetingProblem) => void,
): Promise<void> {
  const me = room.localParticipant;
  if (me.permissions && !me.permissions.canPublish) {
    open?.camera?.stop();
    open?.microphone?.stop();
    return;
  }
  const microphone = async () => {
    if (!choices.microphoneOn) return;
    if (open?.microphone) await me.publishTrack(open.microphone);
    else await me.setMicrophoneEnabled(true);
  };
  const camera = async () => {
    if (!choices.cameraOn) return;
    if (open?.camera) await me.publishTrack(open.camera);
    else await me.setCameraEnabled(true);
  };
  await Promise.all([
    microphone().catch((error: unknown) => report(deviceProblem(error, 'microphone'))),
    camera().catch((error: unknown) => report(deviceProblem(error, 'camera'))),
  ]);
}

function publishDefaults(profile: VideoProfile): TrackPublishDefaults {
  if (profile === '360p15') {
    return {
      simulcast: true,
      videoEncoding: { maxBitrate: 450_000, maxFramerate: 15 },
      videoSimulcastLayers: [new VideoPreset(320, 180, 120_000, 15)],
    };
  }
  return { simulcast: true, videoSimulcastLayers: [VideoPresets.h180, VideoPresets.h360] };
}
