import type { TrackReferenceOrPlaceholder } from '@livekit/components-react';
import { tileKey } from './Stage';
import { Tile } from './Tile';

interface FocusLayoutProps {
  focused: TrackReferenceOrPlaceholder;
  others: TrackReferenceOrPlaceholder[];
  pinned: string | null;
  onPin: (key: string) => void;
}

/** One large tile with everyone else in a strip beside it. */
export function FocusLayout({ focused, others, pinned, onPin }: FocusLayoutProps) {
  const key = tileKey(focused);
  return (
    <div className="focus-layout">
      <div className="focus-main">
        <Tile key={key} track={focused} pinned={pinned === key} onPin={() => onPin(key)} />
      </div>
      <div className="focus-strip">
        {others.map((track) => (
          <Tile key={tileKey(track)} track={track} pinned={false} onPin={() => onPin(tileKey(track))} />
        ))}
      </div>
    </div>
  );
}
