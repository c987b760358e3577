/** The model of the page finds a drawn sheet, in onnxruntime-web outside of a browser. */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import * as runtime from "onnxruntime-web/wasm";
import { expect, test } from "vitest";

import { Predictor, type OnnxRuntime } from "../../src/index.js";

const MODEL = fileURLToPath(new URL("../../public/model/document-corners.onnx", import.meta.url));

test.each([[480, 640], [640, 480], [900, 200]])("a sheet in a picture of %sx%s is found", async (width, height) => {
  runtime.env.wasm.numThreads = 1;
  const predictor = await Predictor.open(runtime as OnnxRuntime, new Uint8Array(readFileSync(MODEL)));
  expect(predictor.resizes).toBe(true);
  const [left, top, right, bottom] = [0.2 * width, 0.15 * height, 0.8 * width, 0.85 * height];
  const data = new Uint8Array(width * height * 4).fill(60);
  for (let i = 0; i < width * height; i++) {
    const [x, y] = [i % width, Math.floor(i / width)];
    if (x >= left && x < right && y >= top && y < bottom) data.fill(230, i * 4, i * 4 + 3);
  }
  const { found, xy, names } = await predictor.predict({ data, width, height });
  expect(found).toBe(true);
  expect(names[0]).toBe("top-left");
  const corners = [[left, top], [right, top], [right, bottom], [left, bottom]] as const;
  const limit = 0.01 * Math.hypot(width, height);
  xy.forEach(([x, y], k) => expect(Math.hypot(x + 0.5 - corners[k]![0], y + 0.5 - corners[k]![1])).toBeLessThan(limit));
  await predictor.close();
}, 60_000);
