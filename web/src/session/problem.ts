import { ConnectionError, ConnectionErrorReason, DisconnectReason, MediaDeviceFailure } from 'livekit-client';

/** Something a person has to know: what happened, and what to do about it. */
export class MeetingProblem extends Error {
  readonly remedy: string;

  constructor(message: string, remedy: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'MeetingProblem';
    this.remedy = remedy;
  }
}

/** Says in plain words why joining failed. */
export function joinProblem(error: unknown): MeetingProblem {
  if (error instanceof MeetingProblem) return error;
  if (error instanceof ConnectionError) {
    switch (error.reason) {
      case ConnectionErrorReason.NotAllowed:
        return error.status === 404
          ? new MeetingProblem('This meeting does not exist.', 'It may be over. Ask the host for a new link.', error)
          : new MeetingProblem(
              'The server did not accept your invitation.',
              'It may have expired or be meant for another server. Ask the host for a new link.',
              error,
            );
      case ConnectionErrorReason.Timeout:
        return new MeetingProblem(
          'The connection took too long.',
          'Check your network. If a firewall is in the way, it must let UDP through to the server.',
          error,
        );
      case ConnectionErrorReason.LeaveRequest:
        return new MeetingProblem(
          'The server turned the connection away.',
          'The meeting may be full or closing. Wait a moment, then try again.',
          error,
        );
      case ConnectionErrorReason.Cancelled:
        return new MeetingProblem('Joining was interrupted.', 'Try again.', error);
      case ConnectionErrorReason.InternalError:
      case ConnectionErrorReason.ServerUnreachable:
      case ConnectionErrorReason.WebSocket:
      case ConnectionErrorReason.ServiceNotFound:
        return new MeetingProblem(
          'The server cannot be reached.',
          'Check that it is running and that you are online, then try again.',
          error,
        );
    }
  }
  return new MeetingProblem('Joining failed.', detail(error), error);
}

/** Says in plain words why a camera, a microphone or the screen cannot be used. */
export function deviceProblem(error: unknown, what: 'camera' | 'microphone' | 'screen'): MeetingProblem {
  const name = what === 'screen' ? 'Screen sharing' : `Your ${what}`;
  switch (MediaDeviceFailure.getFailure(error)) {
    case MediaDeviceFailure.PermissionDenied:
      return new MeetingProblem(
        `${name} is blocked.`,
        'Allow it for this site with the icon beside the address, then switch it on again.',
        error,
      );
    case MediaDeviceFailure.NotFound:
      return new MeetingProblem(`No ${what} was found.`, 'Plug one in or choose another device.', error);
    case MediaDeviceFailure.DeviceInUse:
      return new MeetingProblem(`${name} is in use by another program.`, 'Close that program, then try again.', error);
    case MediaDeviceFailure.Other:
    case undefined:
      return new MeetingProblem(`${name} could not be started.`, detail(error), error);
  }
}

/** True if the person, or the browser on their behalf, said no. */
export function isRefusal(error: unknown): boolean {
  return MediaDeviceFailure.getFailure(error) === MediaDeviceFailure.PermissionDenied;
}

/** Why a call ended, for the page that follows it. */
export interface Ending {
  title: string;
  text: string;
  /** False where coming back cannot work with the same token. */
  mayRejoin: boolean;
}

/** Explains the end of a call by the reason that the server or the client gave. */
export function ending(reason: DisconnectReason | undefined): Ending {
  switch (reason) {
    case DisconnectReason.CLIENT_INITIATED:
      return { title: 'You left the meeting', text: 'Left by accident? You can go straight back in.', mayRejoin: true };
    case DisconnectReason.DUPLICATE_IDENTITY:
      return {
        title: 'You joined from somewhere else',
        text: 'The same invitation was opened in another tab or on another device, so this one was closed.',
        mayRejoin: true,
      };
    case DisconnectReason.PARTICIPANT_REMOVED:
      return { title: 'You were removed', text: 'The host took you out of this meeting.', mayRejoin: false };
    case DisconnectReason.ROOM_DELETED:
    case DisconnectReason.ROOM_CLOSED:
      return { title: 'The meeting has ended', text: 'The host closed it for everyone.', mayRejoin: false };
    case DisconnectReason.SERVER_SHUTDOWN:
      return { title: 'The server is shutting down', text: 'Try again in a minute.', mayRejoin: true };
    default:
      return {
        title: 'The connection was lost',
        text: 'The meeting could not be reached again. Check your network, then rejoin.',
        mayRejoin: true,
      };
  }
}

function detail(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return `Try again. If it happens again, tell the host: “${message}”.`;
}
