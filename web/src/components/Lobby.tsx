import { createLocalAudioTrack, createLocalVideoTrack, type LocalTrack } from 'livekit-client';
import { useCallback, useState } from 'react';
import { useDevices } from '../hooks/useDevices';
import { useLocalTrack } from '../hooks/useLocalTrack';
import type { Admission } from '../session/admission';
import { hasMediaDevices } from '../session/capabilities';
import { loadChoices, type Choices } from '../session/choices';
import type { MeetingLink } from '../session/link';
import { joinProblem, type MeetingProblem } from '../session/problem';
import { cameraOptions, microphoneOptions, type OpenTracks } from '../session/room';
import { suggestRoomName } from '../session/roomNames';
import { Brand } from './Brand';
import { CameraPreview } from './CameraPreview';
import { ClosedDoor, ExpiredInvitation, InsecureContext } from './LobbyNotes';
import { DevicePicker } from './DevicePicker';
import { CameraIcon, CameraOffIcon, MicrophoneIcon, MicrophoneOffIcon } from './icons';
import { LevelMeter } from './LevelMeter';
import { ProblemNote } from './ProblemNote';
import { ToggleButton } from './ToggleButton';

interface LobbyProps {
  link: MeetingLink;
  /** Null while the server is being asked. */
  admission: Admission | null;
  onJoin: (choices: Choices, open: OpenTracks) => Promise<void>;
}

/** Before the call: who one is, where one goes, and how one looks and sounds there. */
export function Lobby({ link, admission, onJoin }: LobbyProps) {
  const { invitation, profile } = link;
  const [choices, setChoices] = useState<Choices>(() => {
    const last = loadChoices();
    return { ...last, name: invitation?.name || last.name, room: link.room || suggestRoomName() };
  });
  const [joining, setJoining] = useState(false);
  const [problem, setProblem] = useState<MeetingProblem | null>(null);
  const change = (part: Partial<Choices>) => setChoices((before) => ({ ...before, ...part }));

  const mayCapture = hasMediaDevices();
  const { cameraId, microphoneId } = choices;
  const openCamera = useCallback(() => createLocalVideoTrack(cameraOptions(profile, cameraId)), [profile, cameraId]);
  const openMicrophone = useCallback(() => createLocalAudioTrack(microphoneOptions(microphoneId)), [microphoneId]);
  const camera = useLocalTrack('camera', mayCapture && choices.cameraOn, openCamera);
  const microphone = useLocalTrack('microphone', mayCapture && choices.microphoneOn, openMicrophone);
  const cameras = useDevices('videoinput', camera.track);
  const microphones = useDevices('audioinput', microphone.track);

  const name = choices.name.trim();
  const room = choices.room.trim();
  const ready = admission !== null && admission.kind !== 'closed' && name !== '' && room !== '' && !joining;

  const join = async () => {
    setJoining(true);
    setProblem(null);
    try {
      const handOver = () => {
        camera.handOver();
        microphone.handOver();
      };
      await onJoin({ ...choices, name, room }, { camera: camera.track, microphone: microphone.track, handOver });
    } catch (error) {
      setProblem(joinProblem(error));
      setJoining(false);
    }
  };

  const cameraShown = choices.cameraOn && !camera.problem && mayCapture;
  const microphoneShown = choices.microphoneOn && !microphone.problem && mayCapture;

  return (
    <main className="lobby" data-testid="lobby">
      <header className="lobby-header">
        <Brand />
      </header>
      <div className="lobby-columns">
        <section className="lobby-preview" aria-label="Camera and microphone">
          <div className="preview-frame">
            <CameraPreview
              track={camera.track}
              name={name}
              hint={previewHint(mayCapture, choices.cameraOn, camera.problem)}
            />
            <div className="preview-controls">
              <ToggleButton
                testId="toggle-microphone"
                on={microphoneShown}
                label="Microphone"
                iconOn={<MicrophoneIcon />}
                iconOff={<MicrophoneOffIcon />}
                disabled={!mayCapture || joining}
                onClick={() => change({ microphoneOn: !choices.microphoneOn })}
              />
              <ToggleButton
                testId="toggle-camera"
                on={cameraShown}
                label="Camera"
                iconOn={<CameraIcon />}
                iconOff={<CameraOffIcon />}
                disabled={!mayCapture || joining}
                onClick={() => change({ cameraOn: !choices.cameraOn })}
              />
            </div>
          </div>
          {mayCapture && (
            <div className="lobby-devices">
              <DevicePicker
                label="Camera"
                testId="select-camera"
                devices={cameras}
                value={deviceInUse(camera.track) ?? cameraId}
                disabled={joining}
                onChange={(id) => change({ cameraId: id })}
              />
              <div>
                <DevicePicker
                  label="Microphone"
                  testId="select-microphone"
                  devices={microphones}
                  value={deviceInUse(microphone.track) ?? microphoneId}
                  disabled={joining}
                  onChange={(id) => change({ microphoneId: id })}
                />
                <div className="lobby-level">
                  {microphone.track ? <LevelMeter track={microphone.track} /> : <p>Microphone is off</p>}
                </div>
              </div>
            </div>
          )}
        </section>

        <section className="lobby-form" aria-labelledby="lobby-title">
          <p className="eyebrow">{invitation ? 'You are invited' : 'Your meeting'}</p>
          <h1 id="lobby-title">{joiningTitle(link)}</h1>
          <form
            onSubmit={(event) => {
              event.preventDefault();
              if (ready) void join();
            }}
          >
            <div className="field">
              <label htmlFor="name">Your name</label>
              <input
                id="name"
                data-testid="name-input"
                value={choices.name}
                onChange={(event) => change({ name: event.target.value })}
                readOnly={Boolean(invitation?.name)}
                maxLength={80}
                autoComplete="name"
                autoFocus={!invitation?.name}
                placeholder="How others will see you"
              />
            </div>
            <div className="field">
              <label htmlFor="room">Room</label>
              <input
                id="room"
                data-testid="room-input"
                value={choices.room}
                onChange={(event) => change({ room: event.target.value })}
                readOnly={Boolean(invitation)}
                maxLength={120}
                autoComplete="off"
                spellCheck={false}
              />
            </div>
            {!mayCapture && <InsecureContext />}
            {admission?.kind === 'closed' && <ClosedDoor />}
            {invitation?.expiresAt && <ExpiredInvitation expiresAt={invitation.expiresAt} />}
            {camera.problem && <ProblemNote problem={camera.problem} />}
            {microphone.problem && <ProblemNote problem={microphone.problem} />}
            {problem && <ProblemNote problem={problem} />}
            <button type="submit" className="button button-primary" data-testid="join" disabled={!ready}>
              {joining ? 'Joining…' : mayCapture ? 'Join meeting' : 'Join to watch and listen'}
            </button>
          </form>
          {admission?.kind === 'open' && (
            <p className="lobby-footnote">
              Development server: anyone who reaches this page can join any room.
            </p>
          )}
        </section>
      </div>
    </main>
  );
}

/** The browser may give another device than the one asked for, such as one that is still plugged in. */
function deviceInUse(track: LocalTrack | null): string | undefined {
  return track?.mediaStreamTrack.getSettings().deviceId;
}

function joiningTitle(link: MeetingLink): string {
  return link.room ? `Join ${link.room}` : 'Ready to meet?';
}

function previewHint(mayCapture: boolean, cameraOn: boolean, problem: MeetingProblem | null): string {
  if (!mayCapture) return 'No camera on this page';
  if (problem) return problem.message;
  return cameraOn ? 'Starting your camera…' : 'Your camera is off';
}
