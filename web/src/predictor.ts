/** Find the keypoints of pictures with an ONNX file in onnxruntime-web. */

import type { InferenceSession, Tensor } from "onnxruntime-web";

import { CONFIDENCE_THRESHOLD, locate } from "./decoding.js";
import { EdgeHRNetError } from "./errors.js";
import { letterbox, type Point } from "./letterbox.js";
import type { Pixels } from "./resample.js";
import { readSpec, type ModelSpec } from "./spec.js";

const MULTIPLE = 32; // both sides of an input are divisible by it: the lowest-resolution branch has stride 32
const OUTPUTS = ["heatmaps", "offsets", "sdf"];

/** `wasm` runs on the processor, `webgpu` on the graphics card. */
export type Engine = "wasm" | "webgpu";

/** What onnxruntime-web exports, in its variants for both engines. */
export type OnnxRuntime = typeof import("onnxruntime-web/wasm");

/** The output for one picture. */
export interface Result {
  /** Names of the keypoints. */
  readonly names: readonly string[];
  /** Points in picture pixels. The center of the top-left pixel is (0, 0). */
  readonly xy: readonly Point[];
  /** Probability that each point is where it was found. */
  readonly confidence: readonly number[];
  /** Mean confidence. */
  readonly score: number;
  /** All keypoints are confident enough to count as found. */
  readonly found: boolean;
  /** Milliseconds of each stage. */
  readonly speed: { readonly letterbox: number; readonly inference: number; readonly decode: number };
}

/** A loaded model. Its calls have to be awaited one after another. */
export class Predictor {
  private constructor(
    private readonly runtime: OnnxRuntime,
    private readonly session: InferenceSession,
    readonly spec: ModelSpec,
    /** The file takes inputs of any size, so that padding is left out. */
    readonly resizes: boolean,
  ) {}

  /**
   * Open a model file.
   *
   * @param runtime onnxruntime-web, imported by the caller, who also chooses where its WASM files are and its threads.
   * @param file Bytes of the ONNX file.
   * @param engine What runs it. Operations that WebGPU does not have run in WASM.
   */
  static async open(runtime: OnnxRuntime, file: Uint8Array, engine: Engine = "wasm"): Promise<Predictor> {
    const spec = readSpec(file);
    const session = await runtime.InferenceSession.create(file, { executionProviders: [engine], logSeverityLevel: 3 });
    const input = session.inputMetadata[0];
    if (!input?.isTensor || input.type !== "uint8" || input.shape.length !== 4) {
      throw new EdgeHRNetError("the file's input is not a picture of bytes (1, height, width, 4)");
    }
    const sides = input.shape.slice(1, 3);
    const [height, width] = sides.map((side, i) => (typeof side === "number" ? side : spec.inputSize[i]!));
    const resizes = sides.every((side) => typeof side !== "number");
    return new Predictor(runtime, session, { ...spec, inputSize: [height!, width!] }, resizes);
  }

  /** Find the keypoints of a picture. */
  async predict(picture: Pixels): Promise<Result> {
    const start = performance.now();
    const { data, box } = letterbox(picture, this.spec.inputSize, this.resizes ? MULTIPLE : undefined);
    const prepared = performance.now();
    const image = new this.runtime.Tensor("uint8", data, [1, box.inputHeight, box.inputWidth, 4]);
    const names = this.session.outputNames.filter((name) => OUTPUTS.includes(name));
    const outputs = await this.session.run({ [this.session.inputNames[0]!]: image }, names);
    const inferred = performance.now();
    const sdf = outputs["sdf"];
    const [width, height] = [box.inputWidth / this.spec.stride, box.inputHeight / this.spec.stride];
    const maps = { width, height, heatmaps: floats(outputs["heatmaps"]), offsets: floats(outputs["offsets"]) };
    const { xy, confidence } = locate(sdf ? { ...maps, sdf: floats(sdf) } : maps, this.spec, box);
    const decoded = performance.now();
    return {
      names: this.spec.keypoints,
      xy,
      confidence,
      score: confidence.reduce((sum, value) => sum + value, 0) / confidence.length,
      found: confidence.every((value) => value >= CONFIDENCE_THRESHOLD),
      speed: { letterbox: prepared - start, inference: inferred - prepared, decode: decoded - inferred },
    };
  }

  /**
   * Run the picture that the file carries. Return the largest distance in its pixels from the float network's keypoints.
   *
   * @param read Decodes a PNG file.
   */
  async selfcheck(read: (png: Uint8Array) => Promise<Pixels>): Promise<number> {
    const { golden } = this.spec;
    if (golden === null) throw new EdgeHRNetError(`${this.spec.name} carries no picture for the self-check`);
    const picture = await read(Uint8Array.from(atob(golden.png), (character) => character.charCodeAt(0)));
    const { xy } = await this.predict(picture);
    return Math.max(...xy.map(([x, y], k) => Math.hypot(x - golden.xy[k]![0], y - golden.xy[k]![1])));
  }

  /** Release the memory of the model. */
  async close(): Promise<void> {
    await this.session.release();
  }
}

function floats(tensor: Tensor | undefined): Float32Array {
  if (tensor?.data instanceof Float32Array) return tensor.data;
  throw new EdgeHRNetError("the file does not give heatmaps and offsets in 32-bit floats");
}
