/** Keypoints of pictures in the browser, with the same preparation and decoding as the Python package. */

export { CONFIDENCE_THRESHOLD, locate, type Located, type Outputs } from "./decoding.js";
export { EdgeHRNetError } from "./errors.js";
export { Letterbox, letterbox, type NetworkInput, type Point } from "./letterbox.js";
export { Predictor, type Engine, type OnnxRuntime, type Result } from "./predictor.js";
export { homography, rectify, sheetSize, type Homography, type ImageLike } from "./rectify.js";
export type { Pixels } from "./resample.js";
export { parseSpec, readMetadata, readSpec, type Golden, type ModelSpec } from "./spec.js";
