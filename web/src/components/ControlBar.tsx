import { useLocalParticipantPermissions, useRoomContext, useTrackToggle } from '@livekit/components-react';
import { supportsAudioOutputSelection, Track } from 'livekit-client';
import { useCallback, type RefObject } from 'react';
import { useShortcut } from '../hooks/useShortcut';
import { canShareScreen, hasMediaDevices } from '../session/capabilities';
import type { Choices } from '../session/choices';
import { deviceProblem, isRefusal, type MeetingProblem } from '../session/problem';
import { DeviceMenu } from './DeviceMenu';
import { CameraIcon, CameraOffIcon, ChatIcon, LeaveIcon, MicrophoneIcon, MicrophoneOffIcon, ScreenIcon } from './icons';
import { ToggleButton } from './ToggleButton';

interface ControlBarProps {
  chatOpen: boolean;
  chatButton: RefObject<HTMLButtonElement | null>;
  unread: number;
  onToggleChat: () => void;
  report: (problem: MeetingProblem) => void;
  remember: (change: Partial<Choices>) => void;
}

/** What one does during a call. */
export function ControlBar({ chatOpen, chatButton, unread, onToggleChat, report, remember }: ControlBarProps) {
  const room = useRoomContext();
  const permissions = useLocalParticipantPermissions();
  const mayPublish = hasMediaDevices() && permissions?.canPublish !== false;

  return (
    <div className="control-bar" role="toolbar" aria-label="Call controls">
      {mayPublish ? (
        <>
          <MicrophoneControl report={report} remember={remember} />
          <CameraControl report={report} remember={remember} />
          {canShareScreen() && <ScreenControl report={report} />}
        </>
      ) : (
        <p className="control-note" data-testid="watch-only">
          You are watching and listening
        </p>
      )}
      <button
        ref={chatButton}
        type="button"
        className="round-button"
        aria-label={unread > 0 ? `Chat, ${unread} unread` : 'Chat'}
        aria-expanded={chatOpen}
        title="Chat"
        data-testid="chat-toggle"
        data-active={chatOpen}
        onClick={onToggleChat}
      >
        <ChatIcon />
        {unread > 0 && (
          <span className="badge" aria-hidden="true" data-testid="chat-unread">
            {unread > 9 ? '9+' : unread}
          </span>
        )}
      </button>
      <button
        type="button"
        className="round-button button-leave"
        aria-label="Leave"
        title="Leave the meeting"
        data-testid="leave"
        onClick={() => void room.disconnect()}
      >
        <LeaveIcon />
      </button>
    </div>
  );
}

type DeviceControlProps = Pick<ControlBarProps, 'report' | 'remember'>;

function MicrophoneControl({ report, remember }: DeviceControlProps) {
  const fail = useCallback((error: unknown) => report(deviceProblem(error, 'microphone')), [report]);
  const { enabled, pending, toggle } = useTrackToggle({ source: Track.Source.Microphone, onDeviceError: fail });
  const press = useCallback(async () => {
    const on = await toggle();
    if (typeof on === 'boolean') remember({ microphoneOn: on });
  }, [toggle, remember]);
  useShortcut('d', press);

  return (
    <div className="split-button">
      <ToggleButton
        testId="microphone"
        label="Microphone"
        shortcut="Ctrl+D"
        on={enabled}
        iconOn={<MicrophoneIcon />}
        iconOff={<MicrophoneOffIcon />}
        disabled={pending}
        onClick={() => void press()}
      />
      <DeviceMenu
        label="Choose microphone and speaker"
        testId="microphone-menu"
        kinds={supportsAudioOutputSelection() ? ['audioinput', 'audiooutput'] : ['audioinput']}
        onError={fail}
      />
    </div>
  );
}

function CameraControl({ report, remember }: DeviceControlProps) {
  const fail = useCallback((error: unknown) => report(deviceProblem(error, 'camera')), [report]);
  const { enabled, pending, toggle } = useTrackToggle({ source: Track.Source.Camera, onDeviceError: fail });
  const press = useCallback(async () => {
    const on = await toggle();
    if (typeof on === 'boolean') remember({ cameraOn: on });
  }, [toggle, remember]);
  useShortcut('e', press);

  return (
    <div className="split-button">
      <ToggleButton
        testId="camera"
        label="Camera"
        shortcut="Ctrl+E"
        on={enabled}
        iconOn={<CameraIcon />}
        iconOff={<CameraOffIcon />}
        disabled={pending}
        onClick={() => void press()}
      />
      <DeviceMenu label="Choose camera" testId="camera-menu" kinds={['videoinput']} onError={fail} />
    </div>
  );
}

function ScreenControl({ report }: Pick<ControlBarProps, 'report'>) {
  const { enabled, pending, toggle } = useTrackToggle({
    source: Track.Source.ScreenShare,
    captureOptions: { audio: true, selfBrowserSurface: 'include', surfaceSwitching: 'include' },
    // Closing the browser's own dialog is a choice, not a fault.
    onDeviceError: (error) => {
      if (!isRefusal(error)) report(deviceProblem(error, 'screen'));
    },
  });
  const action = enabled ? 'Stop sharing your screen' : 'Share your screen';
  return (
    <button
      type="button"
      className="round-button"
      aria-pressed={enabled}
      aria-label="Share screen"
      title={action}
      data-testid="screen-share"
      data-active={enabled}
      disabled={pending}
      onClick={() => void toggle()}
    >
      <ScreenIcon />
    </button>
  );
}
