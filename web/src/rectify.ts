/** Flatten a rectangular sheet that was photographed at an angle, as `edgehrnet/drawing/rectification.py` does. */

import { EdgeHRNetError } from "./errors.js";
import type { Point } from "./letterbox.js";
import { boxAverage, type Pixels } from "./resample.js";

// Focal lengths are divided by the longer side of the picture.
const PHONE_FOCAL = 0.8; // a phone's main lens: 28 mm for a frame of 36 mm
const FOCAL_RANGE = [0.5, 4]; // a wide lens to a short telephoto; values outside are measurement noise
const MAX_PIXELS = 12e6; // of a page, unless another limit is given

type Vector = readonly [number, number, number];
type Corners = readonly [Point, Point, Point, Point];

/** The 8 coefficients a..h of x' = (ax + by + c) / (gx + hy + 1), y' = (dx + ey + f) / (gx + hy + 1). */
export type Homography = readonly number[];

/**
 * Flatten the sheet between four corners, clockwise from the one that becomes the top-left.
 *
 * @param picture The picture.
 * @param corners The corners in picture pixels.
 * @param size Width and height of the page in pixels. By default it keeps the proportions of the page in space.
 */
export function rectify(picture: Pixels, corners: readonly Point[], size?: readonly [number, number]): ImageLike {
  const four = fourCorners(corners);
  const [width, height] = size ?? limited(sheetSize(four, picture.width, picture.height));
  const square = [[0.5, 0.5], [width - 0.5, 0.5], [width - 0.5, height - 0.5], [0.5, height - 0.5]] as const;
  const found = homography(square, four.map(([x, y]): Point => [x + 0.5, y + 0.5]));
  const extent = (axis: 0 | 1): number => {
    const values = four.map((corner) => corner[axis]);
    return Math.max(...values) - Math.min(...values);
  };
  // Before shrinking, remove detail that the result cannot represent.
  const shrink = Math.trunc(Math.max(1, extent(0) / width, extent(1) / height) + 0.25);
  const scaled = found.map((value, i) => (i < 6 ? value / shrink : value));
  return warp(boxAverage(picture, shrink), scaled, width, height);
}

/** An opaque RGBA picture, as the constructor of ImageData takes it. */
export interface ImageLike {
  readonly data: Uint8ClampedArray<ArrayBuffer>;
  readonly width: number;
  readonly height: number;
}

/** Return the width and height in pixels at which a rectangular sheet keeps all of its detail (Zhang & He, 2007). */
export function sheetSize(corners: readonly Point[], width: number, height: number): [number, number] {
  const four = fourCorners(corners);
  const side = (k: number): number => {
    const [a, b] = [four[k]!, four[(k + 1) % 4]!];
    return Math.hypot(b[0] - a[0], b[1] - a[1]);
  };
  const [across, down] = [Math.max(side(0), side(2)), Math.max(side(1), side(3))];
  const center = [(width - 1) / 2, (height - 1) / 2] as const;
  const long = Math.max(width, height);
  const ratio = ratioOf(four.map(([x, y]): Vector => [(x - center[0]) / long, (y - center[1]) / long, 1]));
  const stretch = (ratio * down) / Math.max(across, 1e-9);
  if (!Number.isFinite(ratio) || !(stretch > 0.02 && stretch < 50)) return [across, down];
  return across > ratio * down ? [across, across / ratio] : [ratio * down, down];
}

/** Return the transform that maps four points to four others. No three may lie on a line. */
export function homography(source: readonly Point[], target: readonly Point[]): Homography {
  const rows: number[][] = [];
  source.forEach(([x, y], i) => {
    const [u, v] = target[i]!;
    rows.push([x, y, 1, 0, 0, 0, -u * x, -u * y, u], [0, 0, 0, x, y, 1, -v * x, -v * y, v]);
  });
  return solve(rows);
}

/** Return width / height of the rectangle, NaN if three corners lie on a line. */
function ratioOf([m1, m2, m4, m3]: readonly Vector[]): number {
  if (!m1 || !m2 || !m3 || !m4) return NaN;
  const below = [dot(cross(m2, m4), m3), dot(cross(m3, m4), m2)] as const;
  if (Math.min(Math.abs(below[0]), Math.abs(below[1])) < 1e-9) return NaN;
  const across = minus(times(dot(cross(m1, m4), m3) / below[0], m2), m1);
  const down = minus(times(dot(cross(m1, m4), m2) / below[1], m3), m1);
  let squared = PHONE_FOCAL ** 2;
  if (Math.abs(across[2] * down[2]) > 1e-4) {
    const measured = -(across[0] * down[0] + across[1] * down[1]) / (across[2] * down[2]);
    if (measured > FOCAL_RANGE[0]! ** 2 && measured < FOCAL_RANGE[1]! ** 2) squared = measured;
  }
  const length = (v: Vector): number => (v[0] ** 2 + v[1] ** 2) / squared + v[2] ** 2;
  return length(down) > 1e-12 ? Math.sqrt(length(across) / length(down)) : NaN;
}

/** Sample a picture bicubically at the transformed centers of the page's pixels. Pixels outside it are black. */
function warp(picture: Pixels, [a, b, c, d, e, f, g, h]: Homography, width: number, height: number): ImageLike {
  const data = new Uint8ClampedArray(width * height * 4);
  for (let y = 0, to = 0; y < height; y++) {
    const v = y + 0.5;
    for (let x = 0; x < width; x++, to += 4) {
      const u = x + 0.5;
      const scale = 1 / (g! * u + h! * v + 1);
      bicubic(picture, (a! * u + b! * v + c!) * scale, (d! * u + e! * v + f!) * scale, data, to);
      data[to + 3] = 255;
    }
  }
  return { data, width, height };
}

/** Write the color at a point, in pixels from the picture's top-left edge. Beyond the edges the edge repeats. */
function bicubic({ data, width, height }: Pixels, x: number, y: number, out: Uint8ClampedArray, to: number): void {
  if (!(x >= 0 && x < width && y >= 0 && y < height)) return;
  const [left, top] = [Math.floor(x - 0.5), Math.floor(y - 0.5)];
  const [wx, wy] = [cubicWeights(x - 0.5 - left), cubicWeights(y - 0.5 - top)];
  let [red, green, blue] = [0, 0, 0];
  for (let j = 0; j < 4; j++) {
    const row = Math.min(Math.max(top + j - 1, 0), height - 1) * width;
    for (let i = 0; i < 4; i++) {
      const at = (row + Math.min(Math.max(left + i - 1, 0), width - 1)) * 4;
      const weight = wx[i]! * wy[j]!;
      red += weight * data[at]!;
      green += weight * data[at + 1]!;
      blue += weight * data[at + 2]!;
    }
  }
  // Pillow cuts off the fractions, too.
  out[to] = Math.trunc(red);
  out[to + 1] = Math.trunc(green);
  out[to + 2] = Math.trunc(blue);
}

/** Return the weights of four neighbors for a point at a distance t behind the second one (Keys' cubic, a = -1). */
function cubicWeights(t: number): [number, number, number, number] {
  const s = 1 - t;
  return [-t * s * s, 1 - 2 * t * t + t * t * t, 1 - 2 * s * s + s * s * s, -s * t * t];
}

function limited([width, height]: readonly [number, number]): [number, number] {
  const shrink = Math.min(1, Math.sqrt(MAX_PIXELS / Math.max(width * height, 1)));
  return [Math.max(1, Math.trunc(width * shrink)), Math.max(1, Math.trunc(height * shrink))];
}

function fourCorners(corners: readonly Point[]): Corners {
  const finite = corners.every(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
  if (corners.length !== 4 || !finite) {
    throw new EdgeHRNetError(`a page has four corners with finite x and y; given: ${JSON.stringify(corners)}`);
  }
  return corners as unknown as Corners;
}

/** Solve linear equations by Gaussian elimination. Each row ends with its right side. */
function solve(rows: number[][]): number[] {
  const count = rows.length;
  for (let k = 0; k < count; k++) {
    let best = k;
    for (let i = k + 1; i < count; i++) if (Math.abs(rows[i]![k]!) > Math.abs(rows[best]![k]!)) best = i;
    [rows[k], rows[best]] = [rows[best]!, rows[k]!];
    const pivot = rows[k]!;
    if (Math.abs(pivot[k]!) < 1e-12) throw new EdgeHRNetError("three of the four points lie on a line");
    for (const row of rows) {
      if (row === pivot) continue;
      const factor = row[k]! / pivot[k]!;
      for (let j = k; j <= count; j++) row[j]! -= factor * pivot[j]!;
    }
  }
  return rows.map((row, k) => row[count]! / row[k]!);
}

function cross(a: Vector, b: Vector): Vector {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}

function dot(a: Vector, b: Vector): number {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

function times(factor: number, a: Vector): Vector {
  return [factor * a[0], factor * a[1], factor * a[2]];
}

function minus(a: Vector, b: Vector): Vector {
  return [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
}
