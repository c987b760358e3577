/**
 * Scale a picture into the network input and map coordinates between the two.
 *
 * This is version 1 of the letterbox that networks are trained with. `edgehrnet/picture/letterbox.py` explains it, and the
 * golden vectors in `tests/golden.json` compare the two byte by byte.
 *
 * Pixel centers lie at integers: (0, 0) is the center of the top-left pixel.
 */

import { boxAverage, roundHalfEven, spline, type Pixels } from "./resample.js";

export const VERSION = 1;

/** A point, x and y. */
export type Point = readonly [number, number];

/** Exact, invertible map between picture pixels and input pixels. All lengths are in pixels. */
export class Letterbox {
  constructor(
    /** Width of the picture. */
    readonly width: number,
    /** Height of the picture. */
    readonly height: number,
    /** Width of the network input. */
    readonly inputWidth: number,
    /** Height of the network input. */
    readonly inputHeight: number,
    /** Width of the scaled picture inside the input. */
    readonly contentWidth: number,
    /** Height of the scaled picture inside the input. */
    readonly contentHeight: number,
  ) {}

  /** Fit a picture into the center of an input. `inputSize` is height, width. */
  static fit(width: number, height: number, inputSize: readonly [number, number]): Letterbox {
    const [inputHeight, inputWidth] = inputSize;
    const shrink = Math.max(width / inputWidth, height / inputHeight);
    const contentWidth = Math.min(inputWidth, Math.max(1, roundHalfEven(width / shrink)));
    const contentHeight = Math.min(inputHeight, Math.max(1, roundHalfEven(height / shrink)));
    return new Letterbox(width, height, inputWidth, inputHeight, contentWidth, contentHeight);
  }

  /** Return the smallest input that holds the scaled picture and whose sides are multiples of a number. */
  trimmed(multiple: number): Letterbox {
    const up = (side: number): number => Math.ceil(side / multiple) * multiple;
    const { width, height, contentWidth, contentHeight } = this;
    return new Letterbox(width, height, up(contentWidth), up(contentHeight), contentWidth, contentHeight);
  }

  /** Padding to the left of the scaled picture. An odd pixel goes to the right. */
  get left(): number {
    return Math.floor((this.inputWidth - this.contentWidth) / 2);
  }

  /** Padding above the scaled picture. An odd pixel goes to the bottom. */
  get top(): number {
    return Math.floor((this.inputHeight - this.contentHeight) / 2);
  }

  /** Map a point from picture pixels to input pixels. */
  forward([x, y]: Point): Point {
    const [sx, sy] = [this.contentWidth / this.width, this.contentHeight / this.height];
    return [(x + 0.5) * sx - 0.5 + this.left, (y + 0.5) * sy - 0.5 + this.top];
  }

  /** Map a point from input pixels to picture pixels. */
  inverse([x, y]: Point): Point {
    const [sx, sy] = [this.contentWidth / this.width, this.contentHeight / this.height];
    return [(x - this.left + 0.5) / sx - 0.5, (y - this.top + 0.5) / sy - 0.5];
  }

  /** Return 1 for each heatmap cell that covers a part of the picture, row by row, and 0 for the padding. */
  cellMask(stride: number, cellOffset: number): Uint8Array {
    const [columns, rows] = [Math.floor(this.inputWidth / stride), Math.floor(this.inputHeight / stride)];
    const inside = (cell: number, start: number, length: number): boolean => {
      const center = cell * stride + cellOffset;
      return center + stride / 2 > start - 0.5 && center - stride / 2 < start + length - 0.5;
    };
    const mask = new Uint8Array(rows * columns);
    for (let y = 0; y < rows; y++) {
      if (!inside(y, this.top, this.contentHeight)) continue;
      for (let x = 0; x < columns; x++) {
        if (inside(x, this.left, this.contentWidth)) mask[y * columns + x] = 1;
      }
    }
    return mask;
  }
}

/** A network input: RGB and a mask, 255 on the picture and 0 in the padding, row by row. */
export interface NetworkInput {
  readonly data: Uint8Array;
  readonly box: Letterbox;
}

/**
 * Scale a picture into the network input, keeping its aspect ratio, with black padding.
 *
 * @param picture The picture, RGBA.
 * @param inputSize Height and width of the input.
 * @param multiple If given, padding is left out as far as both sides stay multiples of this number.
 */
export function letterbox(picture: Pixels, inputSize: readonly [number, number], multiple?: number): NetworkInput {
  const { width, height } = picture;
  const fitted = Letterbox.fit(width, height, inputSize);
  const k = Math.max(1, roundHalfEven(Math.max(width / fitted.inputWidth, height / fitted.inputHeight)));
  const box = multiple === undefined ? fitted : fitted.trimmed(multiple);
  const data = new Uint8Array(box.inputWidth * box.inputHeight * 4);
  const step = [width / box.contentWidth / k, height / box.contentHeight / k] as const;
  const stride = box.inputWidth * 4;
  const size = [box.contentWidth, box.contentHeight] as const;
  spline(boxAverage(picture, k), size, step, data, box.top * stride + box.left * 4, stride);
  return { data, box };
}
