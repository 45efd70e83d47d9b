import { useLayoutEffect, useState, type RefObject } from 'react';

/** The number of columns and the width of a tile in CSS pixels. */
export interface TileGrid {
  columns: number;
  tileWidth: number;
}

const ASPECT = 16 / 9;

/** Lays out `count` tiles of 16:9 as large as they fit. */
export function fitTiles(count: number, width: number, height: number, gap: number): TileGrid {
  let best: TileGrid = { columns: 1, tileWidth: 0 };
  for (let columns = 1; columns <= Math.max(1, count); columns += 1) {
    const rows = Math.ceil(count / columns);
    const byWidth = (width - gap * (columns - 1)) / columns;
    const byHeight = ((height - gap * (rows - 1)) / rows) * ASPECT;
    const tileWidth = Math.floor(Math.min(byWidth, byHeight));
    if (tileWidth > best.tileWidth) best = { columns, tileWidth };
  }
  return best;
}

/** Keeps `count` tiles fitted to the element as it is resized. */
export function useTileGrid(area: RefObject<HTMLElement | null>, count: number, gap: number): TileGrid {
  const [size, setSize] = useState({ width: 0, height: 0 });

  useLayoutEffect(() => {
    const element = area.current;
    if (!element) return;
    const observer = new ResizeObserver(([entry]) => {
      if (entry) setSize({ width: entry.contentRect.width, height: entry.contentRect.height });
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, [area]);

  return fitTiles(count, size.width, size.height, gap);
}
