/** Find the local maxima of one heatmap. */

/** One map of floats, row by row. */
export interface FloatMap {
  readonly data: Float32Array;
  readonly width: number;
  readonly height: number;
}

/** A cell of a heatmap, x and y. */
export type Cell = readonly [number, number];

const RADIUS = 2; // cells in each direction, a square, within which no other cell may be higher

/** Return a value, or 0 in place of NaN and infinity, which are neither a peak nor a distance. */
export function finite(value: number): number {
  return Number.isFinite(value) ? value : 0;
}

/**
 * Find the cells of the highest local maxima, highest first. Of equal neighbors the first in reading order is the peak.
 *
 * @param map Activations. Peaks are above 0.
 * @param limit Largest number of peaks.
 * @param threshold Smallest activation of a peak.
 * @param mask 0 where no cell counts.
 */
export function peakCells(map: FloatMap, limit: number, threshold: number, mask: Uint8Array): Cell[] {
  const { width, height } = map;
  const lowest = Math.max(Math.fround(threshold), Number.MIN_VALUE);
  const found: { x: number; y: number; value: number }[] = [];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = y * width + x;
      const value = mask[at] ? map.data[at]! : 0;
      if (value >= lowest && value >= highestAround(map, x, y, mask)) found.push({ x, y, value });
    }
  }
  found.sort((a, b) => b.value - a.value);
  const peaks: Cell[] = [];
  for (const { x, y } of found) {
    const near = peaks.some(([px, py]) => Math.max(Math.abs(x - px), Math.abs(y - py)) <= RADIUS);
    if (!near) peaks.push([x, y]);
  }
  return peaks.slice(0, limit);
}

/** Return the cell of the highest value in the mask. Without a value above `floor` it is the first cell of the mask. */
export function highestCell(map: FloatMap, mask: Uint8Array, floor = 0): Cell {
  let best = Math.max(0, mask.indexOf(1));
  let value = floor;
  for (let at = 0; at < map.data.length; at++) {
    if (mask[at] && map.data[at]! > value) {
      best = at;
      value = map.data[at]!;
    }
  }
  return [best % map.width, Math.floor(best / map.width)];
}

function highestAround({ data, width, height }: FloatMap, x: number, y: number, mask: Uint8Array): number {
  let highest = 0;
  for (let j = Math.max(0, y - RADIUS); j <= Math.min(height - 1, y + RADIUS); j++) {
    for (let i = Math.max(0, x - RADIUS); i <= Math.min(width - 1, x + RADIUS); i++) {
      const at = j * width + i;
      if (mask[at] && data[at]! > highest) highest = data[at]!;
    }
  }
  return highest;
}
