/** Run the model beside the page, so that the page stays responsive. */

import webgpuGlue from "onnxruntime-web/ort-wasm-simd-threaded.asyncify.mjs?url";
import webgpuBinary from "onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm?url";
import wasmGlue from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";
import wasmBinary from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";

import { Predictor, rectify, type Engine, type OnnxRuntime, type Pixels, type Result } from "../src/index.js";
import type { Answers, Opened, Request } from "./messages.js";

const MODEL = "model/document-corners.onnx"; // beside the page
const MOST_THREADS = 4; // more gain nothing on maps this small
const LARGEST_DRIFT = 3; // px of the stored picture; INT8 moves its corners by less than 1

let predictor: Predictor | undefined;
let last: { picture: Pixels; result: Result } | undefined;

/** Import the variant of onnxruntime-web for an engine. Each has its own WASM file. */
async function importRuntime(engine: Engine): Promise<OnnxRuntime> {
  const gpu = engine === "webgpu";
  const runtime = (gpu ? await import("onnxruntime-web/webgpu") : await import("onnxruntime-web/wasm")) as OnnxRuntime;
  const absolute = (path: string): string => new URL(path, self.location.href).href;
  runtime.env.wasm.wasmPaths = gpu
    ? { mjs: absolute(webgpuGlue), wasm: absolute(webgpuBinary) }
    : { mjs: absolute(wasmGlue), wasm: absolute(wasmBinary) };
  runtime.env.wasm.numThreads = threads();
  return runtime;
}

/** Threads need memory that they share, which a browser gives to isolated pages only. */
function threads(): number {
  return self.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency) : 1;
}

async function open(engine: Engine): Promise<Opened> {
  const start = performance.now();
  await predictor?.close();
  predictor = undefined;
  const [runtime, response] = await Promise.all([importRuntime(engine), fetch(new URL(MODEL, base()))]);
  if (!response.ok) throw new Error(`the model could not be loaded: ${response.status} for ${response.url}`);
  const opened = await Predictor.open(runtime, new Uint8Array(await response.arrayBuffer()), engine);
  const drift = await opened.selfcheck(async (png) => read(await createImageBitmap(new Blob([png as BlobPart]))));
  if (!(drift < LARGEST_DRIFT)) throw new Error(`this engine computes wrongly: corners are off by ${drift.toFixed(1)} px`);
  predictor = opened;
  return { engine, threads: threads(), milliseconds: performance.now() - start, drift };
}

/** Return the folder of the page. The built worker lies one folder below it, the one in development elsewhere. */
function base(): URL {
  return new URL(import.meta.env.DEV ? "/" : "../", self.location.href);
}

function read(bitmap: ImageBitmap): Pixels {
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true, alpha: false });
  if (context === null) throw new Error("this browser cannot read pictures in a worker");
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, width, height);
}

async function answer(request: Request): Promise<Answers[Request["kind"]]> {
  if (request.kind === "open") return open(request.engine);
  if (predictor === undefined) throw new Error("no model is open");
  if (request.kind === "predict") {
    const picture = read(request.picture);
    const result = await predictor.predict(picture);
    last = { picture, result };
    return result;
  }
  if (!last?.result.found) throw new Error("There is no page in the last picture. Hold the camera still and try again.");
  return rectify(last.picture, last.result.xy);
}

self.onmessage = async ({ data }: MessageEvent<Request>): Promise<void> => {
  try {
    self.postMessage({ value: await answer(data) });
  } catch (error) {
    self.postMessage({ error: error instanceof Error ? error.message : String(error) });
  }
};
