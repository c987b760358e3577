/**
 * Choose the corners of one outline together, as `edgehrnet/decoding/outline.py` does.
 *
 * A heatmap may have several peaks, and the highest may belong to the wrong object. A network with a signed distance field
 * also predicts how far each cell lies from the outline. If one corner is wrong, the sides that end there leave the
 * predicted outline. If two are wrong, the area that the corners enclose differs from the area inside it.
 */

import type { Point } from "./letterbox.js";
import { highestCell, peakCells, type Cell, type FloatMap } from "./peaks.js";

const SECOND_PEAK = 0.02; // activation above which a lower peak is considered as well
const COMBINATIONS = 256; // limit for the number of outlines compared: four peaks for each of four corners
const SHORTEST_SIDE = 2; // cells; a side of length 0 would lie on any outline
const SHORT_SIDE_DISTANCE = 100; // cells; distance from the outline that is assigned to a side shorter than that
const SAMPLES = 25; // points along a side at which the field is sampled
const [FIRST_SAMPLE, LAST_SAMPLE] = [0.02, 0.98]; // their ends, as fractions of the side's length
const OVERLAP_POWER = 2; // exponent of the overlap between an outline and the predicted one
const SKEW_COST = 4; // subtracted from the log-likelihood for a skew of 1, in nats

/** A peak that may be a corner. */
interface Candidate {
  readonly cell: Cell;
  /** Activation in 0..1. */
  readonly peak: number;
  /** The cell with its offset. */
  readonly point: Point;
}

/** The chosen cell of a corner, and the score of its peak in 0..1. */
export interface Choice {
  readonly cell: Cell;
  readonly score: number;
}

/**
 * Choose one peak for each corner of an outline.
 *
 * @param heatmaps Activations, one map per corner, in order along the outline.
 * @param step Returns the offset of corner k at a cell, in cells.
 * @param sdf Signed distance to the outline in cells, negative inside.
 * @param mask 0 where no peak counts.
 */
export function choose(
  heatmaps: readonly FloatMap[],
  step: (k: number, cell: Cell) => Point,
  sdf: FloatMap,
  mask: Uint8Array,
): Choice[] {
  const limit = Math.max(1, Math.trunc(COMBINATIONS ** (1 / heatmaps.length)));
  const candidates = heatmaps.map((map, k) => candidatesOf(map, limit, mask, (cell) => step(k, cell)));
  const sides = candidates.map((starts, k) => {
    const ends = candidates[(k + 1) % candidates.length]!;
    return starts.map((start) => ends.map((end) => sideDistance(sdf, start.point, end.point)));
  });
  const inside = insideLeft(sdf);
  let best: Choice[] = [];
  let highest = -Infinity;
  for (const indices of product(candidates.map((list) => list.length))) {
    const corners = indices.map((index, k) => candidates[k]![index]!);
    const scores = scoresOf(corners, indices, sides);
    const fit = fitOf(corners.map(({ point }) => point), scores, inside);
    if (fit > highest || best.length === 0) {
      highest = fit;
      best = corners.map(({ cell }, k) => ({ cell, score: scores[k]! }));
    }
  }
  return best;
}

/** Return the cyclic shift of an outline that starts at the smallest x / width + y / height, as indices. */
export function cyclicOrder(points: readonly Point[], width: number, height: number): number[] {
  const places = points.map(([x, y]) => x / width + y / height);
  const first = places.indexOf(Math.min(...places));
  return points.map((_, k) => (k + first) % points.length);
}

/** Lower the activation of a peak whose sides lie off the outline: its odds are divided by 1 + `distance`. */
export function scorePeak(peak: number, distance: number): number {
  return Math.fround(peak / (peak + Math.fround(1 - peak) * (1 + distance)));
}

function scoresOf(corners: readonly Candidate[], indices: readonly number[], sides: number[][][]): number[] {
  const count = corners.length;
  const side = indices.map((index, k) => sides[k]![index]![indices[(k + 1) % count]!]!);
  return corners.map(({ peak }, k) => scorePeak(peak, (side[k]! + side[(k + count - 1) % count]!) / 2));
}

/** Return the logarithm of how well an outline fits. */
function fitOf(points: readonly Point[], scores: readonly number[], inside: InsideLeft): number {
  const likelihood = scores.reduce((sum, score) => sum + Math.log(Math.max(score, 1e-9)), 0);
  return likelihood + OVERLAP_POWER * Math.log(Math.max(overlap(points, inside), 0.01)) - SKEW_COST * skew(points);
}

function candidatesOf(map: FloatMap, limit: number, mask: Uint8Array, step: (cell: Cell) => Point): Candidate[] {
  const cells = peakCells(map, limit, SECOND_PEAK, mask);
  if (cells.length === 0) cells.push(highestCell(map, mask, -Infinity));
  return cells.map((cell) => {
    const [dx, dy] = step(cell);
    const peak = Math.min(Math.max(map.data[cell[1] * map.width + cell[0]]!, 0), 1);
    return { cell, peak, point: [cell[0] + dx, cell[1] + dy] };
  });
}

/** Return the mean distance in cells from the outline along the side between two points. */
function sideDistance(sdf: FloatMap, start: Point, end: Point): number {
  const [dx, dy] = [end[0] - start[0], end[1] - start[1]];
  if (Math.hypot(dx, dy) < SHORTEST_SIDE) return SHORT_SIDE_DISTANCE;
  let sum = 0;
  for (let i = 0; i < SAMPLES; i++) {
    const t = i * ((LAST_SAMPLE - FIRST_SAMPLE) / (SAMPLES - 1)) + FIRST_SAMPLE;
    sum += Math.abs(bilinear(sdf, start[0] + t * dx, start[1] + t * dy));
  }
  return sum / SAMPLES;
}

function bilinear({ data, width, height }: FloatMap, x: number, y: number): number {
  x = Math.min(Math.max(x, 0), width - 1);
  y = Math.min(Math.max(y, 0), height - 1);
  const [left, top] = [Math.min(Math.trunc(x), width - 2), Math.min(Math.trunc(y), height - 2)];
  const [right, down] = [x - left, y - top];
  const at = top * width + left;
  const upper = data[at]! * (1 - right) + data[at + 1]! * right;
  const lower = data[at + width]! * (1 - right) + data[at + width + 1]! * right;
  return upper * (1 - down) + lower * down;
}

/** For each row, how many of its first n cells are inside the predicted outline, n = 0..width. */
interface InsideLeft {
  readonly counts: Int32Array;
  readonly width: number;
  readonly height: number;
  readonly total: number;
}

function insideLeft({ data, width, height }: FloatMap): InsideLeft {
  const counts = new Int32Array((width + 1) * height);
  let total = 0;
  for (let y = 0; y < height; y++) {
    let count = 0;
    for (let x = 0; x < width; x++) {
      if (data[y * width + x]! < 0) count++;
      counts[y * (width + 1) + x + 1] = count;
    }
    total += count;
  }
  return { counts, width, height, total };
}

/** Return the intersection over union of an outline's area and the cells inside the predicted outline. */
function overlap(points: readonly Point[], inside: InsideLeft): number {
  let [both, enclosed] = [0, 0];
  points.forEach(([x, y], k) => {
    const [endX, endY] = points[(k + 1) % points.length]!;
    for (let row = 0; row < inside.height; row++) {
      // 1 if the side crosses the row downwards, -1 if upwards, else 0.
      const crosses = Number(endY > row) - Number(y > row);
      if (crosses === 0) continue;
      const at = x + ((row - y) * (endX - x)) / (endY - y);
      const left = Math.min(Math.max(Math.ceil(at), 0), inside.width);
      enclosed += crosses * left;
      both += crosses * inside.counts[row * (inside.width + 1) + left]!;
    }
  });
  [both, enclosed] = [Math.abs(both), Math.abs(enclosed)];
  return both / Math.max(enclosed + inside.total - both, 1);
}

/** Return how far an outline of four corners is from a parallelogram, and 0 for other outlines. */
function skew(points: readonly Point[]): number {
  const [a, b, c, d] = points;
  if (points.length !== 4 || !a || !b || !c || !d) return 0;
  const extent = [0, 1].map((axis) => {
    const values = points.map((point) => point[axis as 0 | 1]);
    return Math.max(...values) - Math.min(...values);
  });
  const apart = Math.hypot(a[0] - b[0] + c[0] - d[0], a[1] - b[1] + c[1] - d[1]);
  return apart / Math.max(Math.hypot(...extent), 1);
}

/** Yield all combinations of indices below the given counts, the last one changing fastest. */
function* product(counts: readonly number[]): Generator<number[]> {
  const indices = counts.map(() => 0);
  for (;;) {
    yield [...indices];
    let k = counts.length - 1;
    while (k >= 0 && ++indices[k]! === counts[k]) indices[k--] = 0;
    if (k < 0) return;
  }
}
