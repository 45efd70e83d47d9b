import { usePagination, type TrackReferenceOrPlaceholder } from '@livekit/components-react';
import { useRef, type CSSProperties } from 'react';
import { useTileGrid } from '../hooks/useTileGrid';
import { Pager } from './Pager';
import { tileKey } from './Stage';
import { Tile } from './Tile';

/** More on one page are too small to see who speaks, and cost a decoder each. */
const TILES_PER_PAGE = 16;
/** Same as `--tile-gap`. */
const GAP_PX = 12;

interface GridLayoutProps {
  tracks: TrackReferenceOrPlaceholder[];
  onPin: (key: string) => void;
}

/** Equal tiles, as large as they fit; speakers are kept on the first page. */
export function GridLayout({ tracks, onPin }: GridLayoutProps) {
  const area = useRef<HTMLDivElement>(null);
  const pages = usePagination(TILES_PER_PAGE, tracks);
  const { columns, tileWidth } = useTileGrid(area, pages.tracks.length, GAP_PX);

  return (
    <div className="grid-layout">
      <div className="grid-area" ref={area}>
        <div className="grid" style={{ '--columns': columns, '--tile-width': `${tileWidth}px` } as CSSProperties}>
          {pages.tracks.map((track) => (
            <Tile key={tileKey(track)} track={track} pinned={false} onPin={() => onPin(tileKey(track))} />
          ))}
        </div>
      </div>
      {pages.totalPageCount > 1 && (
        <Pager
          page={pages.currentPage}
          pages={pages.totalPageCount}
          onPrevious={pages.prevPage}
          onNext={pages.nextPage}
        />
      )}
    </div>
  );
}
