import { useConnectionQualityIndicator } from '@livekit/components-react';
import { ConnectionQuality, type Participant } from 'livekit-client';

const MEANING: Record<ConnectionQuality, { bars: number; label: string }> = {
  [ConnectionQuality.Excellent]: { bars: 3, label: 'Excellent connection' },
  [ConnectionQuality.Good]: { bars: 2, label: 'Good connection' },
  [ConnectionQuality.Poor]: { bars: 1, label: 'Poor connection' },
  [ConnectionQuality.Lost]: { bars: 0, label: 'Connection lost' },
  [ConnectionQuality.Unknown]: { bars: 0, label: 'Connection not measured yet' },
};

/** How well a participant is connected, as the server sees it. */
export function QualityBars({ participant }: { participant: Participant }) {
  const { quality } = useConnectionQualityIndicator({ participant });
  const { bars, label } = MEANING[quality];
  return (
    <span className="quality" role="img" aria-label={label} title={label} data-testid="quality" data-quality={quality}>
      {[1, 2, 3].map((bar) => (
        <span key={bar} data-lit={bar <= bars} />
      ))}
    </span>
  );
}
