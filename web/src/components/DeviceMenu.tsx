import { useMediaDeviceSelect } from '@livekit/components-react';
import { useCallback, useId, useRef, useState, type KeyboardEvent } from 'react';
import { useDismiss } from '../hooks/useDismiss';
import { CheckIcon, ChevronUpIcon } from './icons';

type DeviceKind = 'audioinput' | 'audiooutput' | 'videoinput';

const TITLES: Record<DeviceKind, string> = {
  audioinput: 'Microphone',
  audiooutput: 'Speaker',
  videoinput: 'Camera',
};

interface DeviceMenuProps {
  label: string;
  testId: string;
  kinds: DeviceKind[];
  onError: (error: unknown) => void;
}

/** Another camera, microphone or speaker in the middle of a call. */
export function DeviceMenu({ label, testId, kinds, onError }: DeviceMenuProps) {
  const [open, setOpen] = useState(false);
  const area = useRef<HTMLDivElement>(null);
  const close = useCallback(() => setOpen(false), []);
  const menuId = useId();
  useDismiss(area, open, close);

  return (
    <div className="menu-anchor" ref={area}>
      <button
        type="button"
        className="menu-button"
        aria-label={label}
        aria-haspopup="menu"
        aria-expanded={open}
        aria-controls={open ? menuId : undefined}
        title={label}
        data-testid={testId}
        onClick={() => setOpen(!open)}
      >
        <ChevronUpIcon />
      </button>
      {open && (
        <div className="menu" id={menuId} role="menu" aria-label={label} onKeyDown={moveFocus}>
          {kinds.map((kind) => (
            <DeviceList key={kind} kind={kind} onChosen={close} onError={onError} />
          ))}
        </div>
      )}
    </div>
  );
}

interface DeviceListProps {
  kind: DeviceKind;
  onChosen: () => void;
  onError: (error: unknown) => void;
}

function DeviceList({ kind, onChosen, onError }: DeviceListProps) {
  const { devices, activeDeviceId, setActiveMediaDevice } = useMediaDeviceSelect({ kind });
  const titleId = useId();
  const current = devices.some((device) => device.deviceId === activeDeviceId)
    ? activeDeviceId
    : devices[0]?.deviceId;

  const choose = (deviceId: string) => {
    setActiveMediaDevice(deviceId).catch(onError);
    onChosen();
  };

  return (
    <div role="group" aria-labelledby={titleId}>
      <p className="menu-title" id={titleId}>
        {TITLES[kind]}
      </p>
      {devices.length === 0 && <p className="menu-empty">None found</p>}
      {devices.map((device, index) => (
        <button
          key={device.deviceId}
          type="button"
          role="menuitemradio"
          aria-checked={device.deviceId === current}
          className="menu-item"
          autoFocus={device.deviceId === current && kind !== 'audiooutput'}
          data-device={device.deviceId}
          onClick={() => choose(device.deviceId)}
        >
          <CheckIcon />
          <span>{device.label || `${TITLES[kind]} ${index + 1}`}</span>
        </button>
      ))}
    </div>
  );
}

/** Arrow keys walk through a menu, as people who use one by keyboard expect. */
function moveFocus(event: KeyboardEvent<HTMLDivElement>) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const items = [...event.currentTarget.querySelectorAll<HTMLElement>('[role=menuitemradio]')];
  const at = items.findIndex((item) => item === document.activeElement);
  items[(at + step + items.length) % items.length]?.focus();
}
