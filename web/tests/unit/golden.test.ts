/** The same bytes and points as Python's. */

import { createHash } from "node:crypto";

import { describe, expect, test } from "vitest";

import { locate } from "../../src/decoding.js";
import { Letterbox, letterbox } from "../../src/letterbox.js";
import { rectify, sheetSize } from "../../src/rectify.js";
import type { ModelSpec } from "../../src/spec.js";
import { drawnMaps, drawnPicture } from "../drawing.js";
import golden from "../golden.json";

const SPEC: ModelSpec = {
  name: "golden",
  keypoints: ["top-left", "top-right", "bottom-right", "bottom-left"],
  inputSize: [256, 512],
  stride: 4,
  cellOffset: 1.5,
  cyclic: true,
  confidence: [0.55, 1.95, -0.93],
  golden: null,
};

type Pair = [number, number];

describe("letterbox", () => {
  test.each(golden.letterboxes)("seed $seed, $size into $input, trim $trim", (wanted) => {
    const [width, height] = wanted.size as Pair;
    const picture = drawnPicture(wanted.seed, width, height);
    const { data, box } = letterbox(picture, wanted.input as Pair, wanted.trim ? 32 : undefined);
    expect([box.inputHeight, box.inputWidth]).toEqual(wanted.shape);
    expect([box.contentWidth, box.contentHeight, box.left, box.top]).toEqual(wanted.content);
    const middle = ((box.inputHeight >> 1) * box.inputWidth + (box.inputWidth >> 1)) * 4;
    expect([...data.subarray(middle, middle + 4)]).toEqual(wanted.middle);
    expect(createHash("sha256").update(data).digest("hex")).toBe(wanted.sha256);
  });
});

describe("decoding", () => {
  test.each(golden.decodings)("seed $seed", (wanted) => {
    const [width, height] = wanted.size as Pair;
    const box = Letterbox.fit(width, height, [128, 160]).trimmed(32);
    const { sdf, ...maps } = drawnMaps(wanted.seed, box.inputWidth / 4, box.inputHeight / 4);
    const spoil = (map: Float32Array, x: number, y: number, value: number): void => {
      const area = maps.width * maps.height;
      for (let at = y * maps.width + x; at < map.length; at += area) map[at] = value;
    };
    if (wanted.seed % 8 === 7) {
      spoil(maps.heatmaps, 4, 3, NaN);
      spoil(maps.offsets, 6, 5, Infinity);
      spoil(sdf, 2, 2, -Infinity);
    }
    const found = locate(wanted.seed % 5 === 4 ? maps : { ...maps, sdf }, SPEC, box);
    expect(found.order).toEqual(wanted.order);
    expect(found.xy).toEqual(wanted.xy);
    found.confidence.forEach((value, k) => expect(value).toBeCloseTo(wanted.confidence[k]!, 5));
  });
});

describe("page", () => {
  const picture = drawnPicture(0, 100, 80);
  test.each(golden.pages)("corners $corners", ({ corners, sheet, pages }) => {
    const quad = corners as Pair[];
    sheetSize(quad, 100, 80).forEach((side, i) => expect(side).toBeCloseTo(sheet[i]!, 8));
    for (const { size, diagonal } of pages) {
      const [width, height] = size as Pair;
      const page = rectify(picture, quad, [width, height]);
      diagonal.forEach((color, i) => {
        const at = (Math.floor((i * height) / 8) * width + Math.floor((i * width) / 8)) * 4;
        // Before it shrinks a picture, Pillow averages a block at once, while boxAverage() rounds twice.
        color.forEach((value, channel) => expect(Math.abs(page.data[at + channel]! - value)).toBeLessThanOrEqual(2));
      });
    }
  });
});
