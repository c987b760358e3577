/** The spec of a model file is read, and files that cannot be used are refused. */

import { describe, expect, test } from "vitest";

import { EdgeHRNetError } from "../../src/errors.js";
import { parseSpec, readMetadata, readSpec } from "../../src/spec.js";

const SPEC = {
  format: 2,
  name: "corners",
  keypoints: ["a", "b"],
  input_size: [64, 96],
  channels: 4,
  input_format: "u8 NHWC",
  crop: null,
  letterbox: 1,
  stride: 4,
  cell_offset: 1.5,
  heatmap_values: "logits",
  decode: "offset",
  cyclic: false,
  confidence: null,
  golden: null,
};

/** Write one length-delimited field of a protobuf message. */
function field(number: number, content: Uint8Array | string): Uint8Array {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  const length = bytes.length < 128 ? [bytes.length] : [(bytes.length & 127) | 128, bytes.length >> 7];
  return Uint8Array.from([number * 8 + 2, ...length, ...bytes]);
}

function joined(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** Write an ONNX file that has a version, a graph of no meaning, and metadata. */
function file(metadata: Record<string, string>): Uint8Array {
  const entries = Object.entries(metadata).map(([key, value]) => field(14, joined(field(1, key), field(2, value))));
  return joined(Uint8Array.from([8, 10]), field(7, "graph"), ...entries);
}

test("metadata is read in any order, with fields of other kinds between", () => {
  const found = readMetadata(file({ "model_info labels": "a b", edgehrnet: "ü".repeat(200) }));
  expect([...found]).toEqual([["model_info labels", "a b"], ["edgehrnet", "ü".repeat(200)]]);
});

test("the spec is read from the file", () => {
  const spec = readSpec(file({ edgehrnet: JSON.stringify(SPEC) }));
  expect(spec).toMatchObject({ name: "corners", inputSize: [64, 96], stride: 4, cellOffset: 1.5, confidence: null });
});

describe("refused", () => {
  test("a file without a spec", () => {
    expect(() => readSpec(file({ other: "text" }))).toThrow(EdgeHRNetError);
  });

  test.each([1, 7, 20])("a file that is cut off at %s bytes", (length) => {
    const whole = file({ edgehrnet: JSON.stringify(SPEC) });
    expect(() => readSpec(whole.subarray(0, length))).toThrow(EdgeHRNetError);
  });

  test.each([
    ["decode", "dark"],
    ["letterbox", 2],
    ["channels", 3],
    ["crop", "udp"],
    ["format", 3],
  ])("a spec with %s = %s", (name, value) => {
    expect(() => parseSpec(JSON.stringify({ ...SPEC, [name]: value }))).toThrow(`${name} is ${JSON.stringify(value)}`);
  });
});
