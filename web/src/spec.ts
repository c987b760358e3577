/** Read from an ONNX file how its input is prepared and its output is decoded. The file carries this as JSON. */

import { EdgeHRNetError } from "./errors.js";
import { VERSION } from "./letterbox.js";

const METADATA_KEY = "edgehrnet";
const FORMAT = 2;
const [METADATA_PROPS, KEY, VALUE] = [14, 1, 2]; // fields of ONNX's ModelProto and StringStringEntryProto
// Fields of the spec that this package does not interpret, and the only values it accepts for them.
const FIXED = { channels: 4, input_format: "u8 NHWC", crop: null, decode: "offset", heatmap_values: "logits" } as const;

/** A picture, and where the float network found the keypoints in it. */
export interface Golden {
  /** The picture as a PNG file in base64. */
  readonly png: string;
  /** Points in picture pixels, in the order of the keypoints. */
  readonly xy: readonly (readonly [number, number])[];
}

/** The fields of a ModelSpec that are used here. `edgehrnet/spec.py` describes all of them. */
export interface ModelSpec {
  readonly name: string;
  readonly keypoints: readonly string[];
  /** Height and width of the network input in pixels. */
  readonly inputSize: readonly [number, number];
  /** Input pixels per heatmap cell. */
  readonly stride: number;
  /** Input pixel of the first cell's center. */
  readonly cellOffset: number;
  /** The keypoints are a closed outline, clockwise. */
  readonly cyclic: boolean;
  /** Calibration from a peak value to a probability. */
  readonly confidence: readonly [number, number, number] | null;
  readonly golden: Golden | null;
}

/** Read the spec from the bytes of an ONNX file. onnxruntime-web does not return the metadata of a file. */
export function readSpec(file: Uint8Array): ModelSpec {
  const text = readMetadata(file).get(METADATA_KEY);
  if (text === undefined) {
    throw new EdgeHRNetError("the file has no spec; export it with: python -m quant.export CHECKPOINT --targets onnx");
  }
  return parseSpec(text);
}

/** Parse the JSON of a spec. */
export function parseSpec(text: string): ModelSpec {
  const values = JSON.parse(text) as Record<string, unknown>;
  const wanted = { ...FIXED, format: FORMAT, letterbox: VERSION };
  for (const [name, value] of Object.entries(wanted)) {
    if (values[name] !== value) {
      const found = JSON.stringify(values[name]);
      throw new EdgeHRNetError(`${name} is ${found} in the spec; accepted here: ${JSON.stringify(value)}`);
    }
  }
  // The exporter wrote these fields from a ModelSpec, which checked them.
  return {
    name: values["name"],
    keypoints: values["keypoints"],
    inputSize: values["input_size"],
    stride: values["stride"],
    cellOffset: values["cell_offset"],
    cyclic: values["cyclic"],
    confidence: values["confidence"] ?? null,
    golden: values["golden"] ?? null,
  } as ModelSpec;
}

/** Return the metadata of an ONNX file. */
export function readMetadata(file: Uint8Array): Map<string, string> {
  const found = new Map<string, string>();
  const decoder = new TextDecoder();
  for (const [field, content] of fields(file)) {
    if (field !== METADATA_PROPS) continue;
    const entry = new Map(fields(content));
    found.set(decoder.decode(entry.get(KEY)), decoder.decode(entry.get(VALUE)));
  }
  return found;
}

/** Yield number and content of each length-delimited field of a protobuf message. Other fields are passed over. */
function* fields(message: Uint8Array): Generator<[number, Uint8Array]> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = message[at++];
      if (byte === undefined || scale > 2 ** 49) throw new EdgeHRNetError("this is not an ONNX file, or it is cut off");
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const tag = varint();
    const [field, wire] = [Math.floor(tag / 8), tag % 8];
    if (wire === 0) {
      varint();
      continue;
    }
    const length = wire === 2 ? varint() : { 1: 8, 5: 4 }[wire];
    if (length === undefined || at + length > message.length) {
      throw new EdgeHRNetError("this is not an ONNX file, or it is cut off");
    }
    if (wire === 2) yield [field, message.subarray(at, at + length)];
    at += length;
  }
}
