import { useEffect, useState } from 'react';
import { hasMediaDevices } from '../session/capabilities';

/**
 * The devices of one kind, kept true while they come and go. Browsers name them only after permission was
 * given, so pass something that changes then as `permission`.
 */
export function useDevices(kind: MediaDeviceKind, permission: unknown): MediaDeviceInfo[] {
  const [devices, setDevices] = useState<MediaDeviceInfo[]>([]);

  useEffect(() => {
    if (!hasMediaDevices()) return;
    let wanted = true;
    const read = async () => {
      const all = await navigator.mediaDevices.enumerateDevices();
      if (wanted) setDevices(all.filter((device) => device.kind === kind && device.deviceId !== ''));
    };
    // A failed listing leaves the system's default device, which needs no list.
    const refresh = () => void read().catch(() => undefined);
    refresh();
    navigator.mediaDevices.addEventListener('devicechange', refresh);
    return () => {
      wanted = false;
      navigator.mediaDevices.removeEventListener('devicechange', refresh);
    };
  }, [kind, permission]);

  return devices;
}
