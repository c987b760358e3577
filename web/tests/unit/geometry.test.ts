/** Coordinates are mapped there and back, and bad corners are refused. */

import { expect, test } from "vitest";

import { EdgeHRNetError } from "../../src/errors.js";
import { Letterbox } from "../../src/letterbox.js";
import { homography, rectify } from "../../src/rectify.js";
import { drawnPicture } from "../drawing.js";

test("points are mapped into the input and back", () => {
  const box = Letterbox.fit(3001, 1999, [256, 512]).trimmed(32);
  const [x, y] = box.inverse(box.forward([1234.5, 67.25]));
  expect(x).toBeCloseTo(1234.5, 9);
  expect(y).toBeCloseTo(67.25, 9);
});

test("a homography maps its four points", () => {
  const source = [[0, 0], [4, 0], [4, 4], [0, 4]] as const;
  const target = [[3, 1], [20, 2], [17, 14], [1, 11]] as const;
  const [a, b, c, d, e, f, g, h] = homography(source, target) as [number, number, number, number, number, number, number, number];
  source.forEach(([x, y], k) => {
    const scale = g * x + h * y + 1;
    expect((a * x + b * y + c) / scale).toBeCloseTo(target[k]![0], 9);
    expect((d * x + e * y + f) / scale).toBeCloseTo(target[k]![1], 9);
  });
});

test.each([
  ["three corners", [[0, 0], [9, 0], [9, 9]]],
  ["a corner that is not finite", [[0, 0], [9, 0], [9, 9], [NaN, 9]]],
])("%s are refused", (_, corners) => {
  expect(() => rectify(drawnPicture(0, 10, 10), corners as [number, number][], [5, 5])).toThrow(EdgeHRNetError);
});

test("four points of which three lie on a line are refused", () => {
  const line = [[0, 0], [3, 3], [6, 6], [0, 9]] as const;
  expect(() => homography(line, [[0, 0], [4, 0], [4, 4], [0, 4]])).toThrow(EdgeHRNetError);
});
