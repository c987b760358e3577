/** Shrink pictures with the integer arithmetic of the letterbox in Python, so that the bytes are the same. */

/** A picture of 8-bit RGBA pixels, row by row. An ImageData is one. Alpha is ignored. */
export interface Pixels {
  readonly data: Uint8Array | Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
}

/** Where each returned row or column is sampled: three neighbors and their integer weights. */
interface Taps {
  readonly index: readonly [Int32Array, Int32Array, Int32Array];
  readonly weight: readonly [Uint16Array, Uint16Array, Uint16Array];
}

/** Round to the nearest integer, and halves to the even one, as Python and NumPy do. */
export function roundHalfEven(value: number): number {
  const low = Math.floor(value);
  const rest = value - low;
  if (rest !== 0.5) return rest < 0.5 ? low : low + 1;
  return low % 2 === 0 ? low : low + 1;
}

/** Average blocks of k x k pixels. The last row and column average the pixels that are left over. */
export function boxAverage(picture: Pixels, k: number): Pixels {
  if (k === 1) return picture;
  const { data, width, height } = picture;
  const length = width * 4;
  const block = Math.min(k, width);
  const outWidth = Math.ceil(width / block);
  const outHeight = Math.ceil(height / k);
  const out = new Uint8Array(outWidth * outHeight * 4);
  const sums = new Uint32Array(length);
  const row = new Uint8Array(length);
  for (let y = 0; y < outHeight; y++) {
    const count = Math.min(k, height - y * k);
    sums.fill(0);
    for (let i = 0, at = y * k * length; i < count; i++, at += length) {
      for (let j = 0; j < length; j++) sums[j]! += data[at + j]!;
    }
    if (count === k) {
      const half = k >> 1;
      for (let j = 0; j < length; j++) row[j] = ((sums[j]! + half) / k) | 0;
    } else {
      for (let j = 0; j < length; j++) row[j] = roundHalfEven(sums[j]! / count);
    }
    averageColumns(row, width, block, out.subarray(y * outWidth * 4));
  }
  return { data: out, width: outWidth, height: outHeight };
}

/** Average blocks of columns of one row as Pillow's reduce() does: by a multiplication with a rounded reciprocal. */
function averageColumns(row: Uint8Array, width: number, block: number, out: Uint8Array): void {
  for (let x = 0, to = 0; x < width; x += block, to += 4) {
    const count = Math.min(block, width - x);
    const reciprocal = Math.floor(2 ** 24 / count);
    for (let channel = 0; channel < 3; channel++) {
      let sum = count >> 1;
      for (let i = 0, at = x * 4 + channel; i < count; i++, at += 4) sum += row[at]!;
      out[to + channel] = Math.imul(sum, reciprocal) >>> 24;
    }
  }
}

/**
 * Sample a quadratic B-spline over three rows, then three columns, into a part of an RGBA network input.
 *
 * @param source The averaged picture.
 * @param size Width and height of the scaled picture.
 * @param step Pixels of `source` per pixel of the scaled picture, along x and y.
 * @param target The network input. The pixels of the scaled picture get their colors and the mask 255.
 * @param start Index in `target` of the first byte of the scaled picture.
 * @param stride Bytes per row of `target`.
 */
export function spline(
  source: Pixels,
  size: readonly [number, number],
  step: readonly [number, number],
  target: Uint8Array,
  start: number,
  stride: number,
): void {
  const [width, height] = size;
  const rows = splineRows(source, height, taps(height, source.height, step[1], 256));
  const { index, weight } = taps(width, source.width, step[0], 64);
  const length = source.width * 4;
  for (let x = 0; x < width; x++) {
    const [a, b, c] = [index[0][x]! * 4, index[1][x]! * 4, index[2][x]! * 4];
    const [u, v, w] = [weight[0][x]!, weight[1][x]!, weight[2][x]!];
    for (let y = 0, at = 0, to = start + x * 4; y < height; y++, at += length, to += stride) {
      for (let i = 0; i < 3; i++) {
        target[to + i] = (u * rows[at + a + i]! + v * rows[at + b + i]! + w * rows[at + c + i]! + 128) >> 8;
      }
      target[to + 3] = 255;
    }
  }
}

/** Mix three rows for each returned row. Two more bits are kept than the source has. */
function splineRows(source: Pixels, count: number, { index, weight }: Taps): Uint16Array {
  const length = source.width * 4;
  const rows = new Uint16Array(count * length);
  for (let y = 0, to = 0; y < count; y++) {
    const [a, b, c] = [index[0][y]! * length, index[1][y]! * length, index[2][y]! * length];
    const [u, v, w] = [weight[0][y]!, weight[1][y]!, weight[2][y]!];
    const { data } = source;
    for (let j = 0; j < length; j++, to++) {
      rows[to] = (u * data[a + j]! + v * data[b + j]! + w * data[c + j]! + 32) >> 6;
    }
  }
  return rows;
}

/** Return the neighbors and weights of each sample. Samples beyond the edges repeat the edge. */
function taps(count: number, length: number, step: number, unit: number): Taps {
  const index = [new Int32Array(count), new Int32Array(count), new Int32Array(count)] as const;
  const weight = [new Uint16Array(count), new Uint16Array(count), new Uint16Array(count)] as const;
  for (let i = 0; i < count; i++) {
    const position = (i + 0.5) * step - 0.5;
    const middle = Math.floor(position + 0.5);
    const phase = position - middle;
    const above = roundHalfEven((unit / 2) * ((0.5 - phase) * (0.5 - phase)));
    const below = roundHalfEven((unit / 2) * ((0.5 + phase) * (0.5 + phase)));
    weight[0][i] = above;
    weight[1][i] = unit - above - below;
    weight[2][i] = below;
    for (let j = 0; j < 3; j++) index[j]![i] = Math.min(Math.max(middle + j - 1, 0), length - 1);
  }
  return { index, weight };
}
