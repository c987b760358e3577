/**
 * Measure the processor time of an answer in onnxruntime-web's WASM, with one thread and outside of a browser.
 *
 *     npm run build && node benchmark/cpu.mjs [MODEL] [--rounds 40]
 *
 * Processor time changes little when other programs run at the same time. With an idle core it is the time that one waits.
 */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import * as runtime from "onnxruntime-web/wasm";

import { Predictor } from "../dist/index.js";

const MODEL = fileURLToPath(new URL("../public/model/document-corners.onnx", import.meta.url));
const SIZES = [[960, 1280], [1280, 960], [3000, 4000]];
const WARM_UP = 5;

const { values, positionals } = parseArgs({ allowPositionals: true, options: { rounds: { type: "string", default: "40" } } });
runtime.env.wasm.numThreads = 1;
const predictor = await Predictor.open(runtime, new Uint8Array(readFileSync(positionals[0] ?? MODEL)));
const rows = {};
for (const [width, height] of SIZES) {
  const picture = { data: new Uint8Array(width * height * 4).map((_, i) => (i * 7919) >> 8), width, height };
  const times = [];
  for (let i = 0; i < WARM_UP + Number(values.rounds); i++) {
    const before = process.cpuUsage();
    await predictor.predict(picture);
    const { user, system } = process.cpuUsage(before);
    if (i >= WARM_UP) times.push((user + system) / 1000);
  }
  times.sort((a, b) => a - b);
  const median = times[times.length >> 1];
  rows[`${width}x${height}`] = { "median ms": median.toFixed(0), "fastest ms": times[0].toFixed(0), "per second": (1000 / median).toFixed(1) };
}
console.table(rows);
process.exit(0); // onnxruntime-web keeps the process alive
