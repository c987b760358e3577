/**
 * Compare this package with jscanify (OpenCV.js) on the photographs of benchmarks/photographs, in headless Chromium.
 *
 *     npm run benchmark -- [FOLDER] [--rounds 5] [--threads 2] [--out FILE]
 *
 * FOLDER holds the photographs and jscanify, fetched as its README says. Both run in turn on the same canvas, and the time
 * is the shortest of the rounds, from the canvas to the corners, as its median over the photographs. Errors are in percent of the picture's diagonal, for the
 * cyclic shift that fits best. A corner that is not found counts as the center of the picture.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";

import { chromium } from "playwright-core";
import { createServer } from "vite";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const ASSETS = join(ROOT, "node_modules/onnxruntime-web/dist");
const MODEL = join(ROOT, "public/model/document-corners.onnx");
const FULL = 1e6; // px, larger than any picture
const SHRUNK = 512; // px, the longer side of the network's input
const FRAME = 1280; // px, the longer side of a camera's picture
const METHODS = [["ours", FULL], ["ours", SHRUNK], ["theirs", FULL], ["theirs", SHRUNK]];
const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "5" },
    threads: { type: "string", default: "2" },
    out: { type: "string" },
  },
});
const folder = resolve(positionals[0] ?? join(ROOT, "../benchmarks/photographs"));

/** Read the path and the four corners of each photograph. Corners that are not labeled are null. */
function labels() {
  const lines = readFileSync(join(folder, "CollectedData.csv"), "utf8").trim().split("\n").slice(3);
  return lines.map((line) => {
    const [path, ...numbers] = line.split(",");
    const corner = (k) => (numbers[2 * k] === "" ? null : [Number(numbers[2 * k]), Number(numbers[2 * k + 1])]);
    return { path, truth: [0, 1, 2, 3].map(corner) };
  });
}

/** Return the errors of the labeled corners in percent of the diagonal, for the cyclic shift that fits best. */
function errors(found, truth, [width, height], scale) {
  const xy = found.map((corner) => corner?.map((value) => (value + 0.5) / scale - 0.5) ?? [width / 2, height / 2]);
  const shifted = [0, 1, 2, 3].map((shift) =>
    truth.flatMap((corner, k) => {
      const [x, y] = xy[(k + shift) % 4];
      return corner === null ? [] : [(100 * Math.hypot(x - corner[0], y - corner[1])) / Math.hypot(width, height)];
    }),
  );
  return shifted.reduce((best, list) => (mean(list) < mean(best) ? list : best));
}

const mean = (list) => list.reduce((sum, value) => sum + value, 0) / list.length;
const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];

/** Run all methods on one photograph in turn. */
async function measure(page, { path, truth }) {
  const url = `/photographs/${path}`;
  const results = METHODS.map(() => ({ times: [] }));
  let size;
  for (const side of [FULL, SHRUNK]) size = await page.evaluate(([u, s]) => window.benchmark.load(u, s), [url, side]);
  for (let round = 0; round <= Number(values.rounds); round++) {
    for (const [i, [who, side]] of METHODS.entries()) {
      const found = await page.evaluate(([w, key]) => window.benchmark[w](key), [who, `${url} ${side}`]);
      if (round > 0) results[i].times.push(found.milliseconds); // the first round warms up
      results[i].xy = found.xy;
    }
  }
  return results.map(({ xy, times }, i) => {
    const scale = Math.min(1, METHODS[i][1] / Math.max(...size));
    return { path, xy, errors: errors(xy, truth, size, scale), milliseconds: Math.min(...times) };
  });
}

function summary(rows) {
  const all = rows.flatMap((row) => row.errors);
  const lost = rows.filter((row) => Math.max(...row.errors) > 3).length;
  return { "mean %": mean(all).toFixed(2), "median %": median(all).toFixed(2), lost, ms: median(rows.map((r) => r.milliseconds)).toFixed(0) };
}

/** Return megabytes as stored and as served with gzip. */
function megabytes(...files) {
  const contents = files.map((file) => readFileSync(file));
  const sum = (list) => (list.reduce((total, { length }) => total + length, 0) / 1e6).toFixed(1);
  return { MB: sum(contents), "MB gzip": sum(contents.map((content) => gzipSync(content))) };
}

/** Return the answers a second for a camera's picture of 960x1280 pixels. */
async function frames(page) {
  const key = await page.evaluate(async (side) => {
    await window.benchmark.load("/photographs/package/docs/images/test/test3.jpg", side);
    return `/photographs/package/docs/images/test/test3.jpg ${side}`;
  }, FRAME);
  const times = [];
  for (let i = 0; i < 50; i++) times.push((await page.evaluate((k) => window.benchmark.ours(k), key)).milliseconds);
  return { "median ms": median(times).toFixed(0), "fastest ms": Math.min(...times).toFixed(0) };
}

const server = await createServer({ root: ROOT, logLevel: "error", server: { port: 0, host: "127.0.0.1", ws: false } });
await server.listen();
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
try {
  const page = await browser.newPage();
  await page.route("**/photographs/**", (route) => {
    const path = decodeURIComponent(new URL(route.request().url()).pathname).replace("/photographs/", "");
    return route.fulfill({ path: join(folder, path) });
  });
  await page.goto(`${server.resolvedUrls.local[0]}benchmark/index.html`);
  await page.waitForFunction(() => window.benchmark !== undefined);
  for (const file of ["opencv.js", "jscanify.js"]) await page.addScriptTag({ path: join(folder, "package/src", file) });
  await page.waitForFunction(() => window.cv?.Mat !== undefined);
  await page.evaluate((threads) => window.benchmark.open("/model/document-corners.onnx", threads), Number(values.threads));
  const results = [];
  for (const label of labels()) results.push(await measure(page, label));
  const rows = METHODS.map(([who, side], i) => [
    `${who === "ours" ? "edgehrnet-web" : "jscanify"}, ${side === FULL ? "full size" : `${side} px`}`,
    summary(results.map((list) => list[i])),
  ]);
  console.table(Object.fromEntries(rows));
  console.table({ "edgehrnet-web, picture of 960x1280": await frames(page) });
  const scanner = ["opencv.js", "jscanify.js"].map((file) => join(folder, "package/src", file));
  const engine = ["ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"];
  console.table({
    "edgehrnet-web: engine and model": megabytes(MODEL, ...engine.map((file) => join(ASSETS, file))),
    "edgehrnet-web: model alone": megabytes(MODEL),
    "jscanify: OpenCV.js and jscanify": megabytes(...scanner),
  });
  if (values.out) writeFileSync(values.out, JSON.stringify(results.map((list) => list[0])));
} finally {
  await browser.close();
  await server.close();
}
