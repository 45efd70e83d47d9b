import { useConnectionState } from '@livekit/components-react';
import { ConnectionState } from 'livekit-client';

/** Shown while the client finds its way back to the server. */
export function ConnectionBanner() {
  const state = useConnectionState();
  if (state !== ConnectionState.Reconnecting && state !== ConnectionState.SignalReconnecting) return null;
  return (
    <div className="banner" role="status" data-testid="reconnecting">
      <span className="spinner" aria-hidden="true" />
      {state === ConnectionState.SignalReconnecting
        ? 'Reconnecting. You can go on talking.'
        : 'The connection was lost. Getting you back in…'}
    </div>
  );
}
