import { useId } from 'react';

interface DevicePickerProps {
  label: string;
  testId: string;
  devices: MediaDeviceInfo[];
  value: string;
  disabled: boolean;
  onChange: (deviceId: string) => void;
}

/** A camera or microphone by name; the system chooses as long as none is known. */
export function DevicePicker({ label, testId, devices, value, disabled, onChange }: DevicePickerProps) {
  const id = useId();
  const known = devices.some((device) => device.deviceId === value);
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <select
        id={id}
        data-testid={testId}
        value={known ? value : ''}
        disabled={disabled}
        onChange={(event) => onChange(event.target.value)}
      >
        {!known && <option value="">System default</option>}
        {devices.map((device, index) => (
          <option key={device.deviceId} value={device.deviceId}>
            {device.label || `${label} ${index + 1}`}
          </option>
        ))}
      </select>
    </div>
  );
}
