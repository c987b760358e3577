/** Draw the pictures and maps of the golden vectors as `tools/web_golden.py` does. */

import type { Outputs } from "../src/decoding.js";
import type { Pixels } from "../src/resample.js";

/** Return pseudo-random integers of 32 bits. */
export function noise(seed: number, count: number): Uint32Array {
  const values = new Uint32Array(count);
  for (let i = 0; i < count; i++) {
    let value = (Math.imul(i, 2654435761) + seed * 40503 + 1) >>> 0;
    for (const [shift, factor] of [[15, 2246822519], [13, 3266489917]] as const) {
      value = Math.imul(value ^ (value >>> shift), factor) >>> 0;
    }
    values[i] = value ^ (value >>> 16);
  }
  return values;
}

/** Return a picture of slanted bands with noise. */
export function drawnPicture(seed: number, width: number, height: number): Pixels {
  const grain = noise(seed, width * height * 3);
  const data = new Uint8Array(width * height * 4).fill(255);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < 3; channel++, i++) {
        const band = Math.floor((x * 3 + y * 5 + channel * 37) / 7) % 192;
        data[(y * width + x) * 4 + channel] = band + (grain[i]! & 63);
      }
    }
  }
  return { data, width, height };
}

/** Return logits, offsets and a signed distance field of an upright box, with peaks that do not belong to it. */
export function drawnMaps(seed: number, width: number, height: number): Required<Outputs> {
  const random = Array.from(noise(seed, 64), (value) => value / 2 ** 32);
  const at = (i: number): number => random[i]!;
  const [left, top] = [2 + (at(0) * width) / 4, 2 + (at(1) * height) / 4];
  const [right, bottom] = [width - 3 - (at(2) * width) / 4, height - 3 - (at(3) * height) / 4];
  const area = width * height;
  const heatmaps = new Float32Array(4 * area);
  const sdf = new Float32Array(area);
  const corners = [[left, top], [right, top], [right, bottom], [left, bottom]] as const;
  corners.forEach((corner, k) => {
    const chance = (i: number): number => at(4 + 10 * k + i);
    const peaks = [
      [...corner, 6 * chance(0) - 2],
      [chance(1) * width, chance(2) * height, 6 * chance(3) - 3],
      [chance(4) * width, chance(5) * height, 5 * chance(6) - 5],
    ] as const;
    for (let i = 0; i < area; i++) {
      const [x, y] = [i % width, Math.floor(i / width)];
      const bumps = peaks.map(([px, py, strength]) => strength - ((x - px) * (x - px) + (y - py) * (y - py)) / 4);
      heatmaps[k * area + i] = Math.max(...bumps, -9);
      sdf[i] = Math.max(left - x, x - right, top - y, y - bottom);
    }
  });
  const offsets = Float32Array.from(noise(seed + 1, 8 * area), (value) => value / 2 ** 32 - 0.5);
  return { width, height, heatmaps, offsets, sdf };
}
