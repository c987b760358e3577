/** The two that are compared, as functions that the benchmark calls in the browser. */

import * as runtime from "onnxruntime-web/wasm";
import glue from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";
import binary from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";

import { Predictor } from "../src/index.js";

type Corner = { x: number; y: number } | undefined;

/** The parts of jscanify and OpenCV.js that are called. */
interface Scanner {
  findPaperContour(image: unknown): { delete(): void } | null;
  getCornerPoints(contour: unknown): Record<string, Corner>;
}
declare const cv: { imread(canvas: HTMLCanvasElement): { delete(): void } };
declare const jscanify: new () => Scanner;

/** Corners clockwise from the top left, null where none was found, and the milliseconds it took. */
interface Found {
  readonly xy: readonly (readonly [number, number] | null)[];
  readonly milliseconds: number;
}

const CORNERS = ["topLeftCorner", "topRightCorner", "bottomRightCorner", "bottomLeftCorner"];
const canvases = new Map<string, HTMLCanvasElement>();
let predictor: Predictor | undefined;
let scanner: Scanner | undefined;

/** Load a picture, shrunk so that its longer side has at most `side` pixels. Return its full size. */
async function load(url: string, side: number): Promise<[number, number]> {
  const bitmap = await createImageBitmap(await (await fetch(url)).blob());
  const scale = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [Math.round(bitmap.width * scale), Math.round(bitmap.height * scale)];
  const pen = canvas.getContext("2d", { willReadFrequently: true })!;
  pen.imageSmoothingQuality = "high";
  pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  canvases.set(`${url} ${side}`, canvas);
  return [bitmap.width, bitmap.height];
}

async function open(model: string, threads: number): Promise<void> {
  runtime.env.wasm.numThreads = threads;
  runtime.env.wasm.wasmPaths = { mjs: new URL(glue, location.href).href, wasm: new URL(binary, location.href).href };
  predictor = await Predictor.open(runtime, new Uint8Array(await (await fetch(model)).arrayBuffer()));
}

async function ours(key: string): Promise<Found> {
  const canvas = canvases.get(key)!;
  const start = performance.now();
  const picture = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
  const { xy } = await predictor!.predict(picture);
  return { xy, milliseconds: performance.now() - start };
}

function theirs(key: string): Found {
  scanner ??= new jscanify();
  const start = performance.now();
  const image = cv.imread(canvases.get(key)!);
  const contour = scanner.findPaperContour(image);
  const corners: Record<string, Corner> = contour === null ? {} : scanner.getCornerPoints(contour);
  const milliseconds = performance.now() - start;
  contour?.delete();
  image.delete();
  const xy = CORNERS.map((name): [number, number] | null => {
    const corner = corners[name];
    return corner === undefined ? null : [corner.x, corner.y];
  });
  return { xy, milliseconds };
}

Object.assign(window, { benchmark: { load, open, ours, theirs } });
