/** Decode a network's outputs into keypoints, as `edgehrnet/decoding` does with the method `offset`. */

import type { Letterbox, Point } from "./letterbox.js";
import { choose, cyclicOrder, type Choice } from "./outline.js";
import { finite, highestCell, type Cell, type FloatMap } from "./peaks.js";
import type { ModelSpec } from "./spec.js";

/** Smallest confidence of a keypoint that counts as found. */
export const CONFIDENCE_THRESHOLD = 0.25;

/** Outputs of a network with K keypoints on maps of height x width cells, as the file gives them. */
export interface Outputs {
  readonly width: number;
  readonly height: number;
  /** Logits, K maps. */
  readonly heatmaps: Float32Array;
  /** Offsets in cells, 2K maps: dx, then dy of each keypoint. */
  readonly offsets: Float32Array;
  /** Signed distance to the outline in cells, negative inside, if the network has it. */
  readonly sdf?: Float32Array;
}

/** Keypoints of one picture. */
export interface Located {
  /** Points in picture pixels. */
  readonly xy: readonly Point[];
  /** Probability that each point is where it was found. */
  readonly confidence: readonly number[];
  /** The channel in which each was found. */
  readonly order: readonly number[];
}

/** Convert a logit to a probability, in 32-bit floats. */
export function sigmoid(logit: number): number {
  const half = Math.fround(0.5 * Math.fround(logit));
  return Math.fround(Math.fround(0.5 * Math.fround(Math.tanh(half))) + 0.5);
}

/** Convert a peak activation to the probability that the keypoint is there (beta calibration). */
export function probability(peak: number, calibration: readonly [number, number, number] | null): number {
  if (calibration === null) return peak;
  const [a, b, c] = calibration;
  const p = Math.min(Math.max(peak, 1e-6), 1 - 1e-6);
  return sigmoid(a * Math.log(p) - b * Math.log1p(-p) + c);
}

/**
 * Decode the maps of one picture into picture coordinates.
 *
 * With a signed distance field the corners of an outline are chosen together. The result starts at the corner with the
 * smallest x / width + y / height if all corners are confident. Otherwise only their cyclic order is known.
 */
export function locate(outputs: Outputs, spec: ModelSpec, box: Letterbox): Located {
  const { width, height, sdf } = outputs;
  const mask = box.cellMask(spec.stride, spec.cellOffset);
  const maps = spec.keypoints.map((_, k) => activations(outputs, k));
  const step = (k: number, [x, y]: Cell): Point => {
    const at = y * width + x;
    const area = width * height;
    return [finite(outputs.offsets[2 * k * area + at]!), finite(outputs.offsets[(2 * k + 1) * area + at]!)];
  };
  const field = sdf && { data: sdf.map(finite), width, height };
  const choices = field && spec.cyclic ? choose(maps, step, field, mask) : maps.map((map) => highest(map, mask));
  const xy = choices.map(({ cell }, k): Point => {
    const [dx, dy] = step(k, cell);
    const pixel = (value: number): number => value * spec.stride + spec.cellOffset;
    return box.inverse([pixel(cell[0] + dx), pixel(cell[1] + dy)]);
  });
  const confident = choices.every(({ score }) => score >= CONFIDENCE_THRESHOLD);
  const order = spec.cyclic && confident ? cyclicOrder(xy, box.width, box.height) : xy.map((_, k) => k);
  const confidence = choices.map(({ score }) => probability(score, spec.confidence));
  return { xy: order.map((k) => xy[k]!), confidence: order.map((k) => confidence[k]!), order };
}

function activations({ heatmaps, width, height }: Outputs, k: number): FloatMap {
  const area = width * height;
  const data = heatmaps.subarray(k * area, (k + 1) * area).map((logit) => finite(sigmoid(logit)));
  return { data, width, height };
}

function highest(map: FloatMap, mask: Uint8Array): Choice {
  const cell = highestCell(map, mask);
  return { cell, score: Math.max(map.data[cell[1] * map.width + cell[0]]!, 0) };
}
