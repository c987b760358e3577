/** What the page and its worker say to each other. */

import type { Engine, ImageLike, Result } from "../src/index.js";

export type Request =
  | { readonly kind: "open"; readonly engine: Engine }
  /** Find the page in a picture, which the worker keeps. */
  | { readonly kind: "predict"; readonly picture: ImageBitmap }
  /** Flatten the page that was found in the picture given last. */
  | { readonly kind: "rectify" };

/** What was opened. */
export interface Opened {
  readonly engine: Engine;
  readonly threads: number;
  /** Milliseconds that opening took, download included. */
  readonly milliseconds: number;
  /** Pixels by which the stored picture's corners differ from those of the float network. */
  readonly drift: number;
}

/** Answers, in the order of the requests. */
export interface Answers {
  readonly open: Opened;
  readonly predict: Result;
  readonly rectify: ImageLike;
}

export type Answer<Kind extends keyof Answers> = { readonly value: Answers[Kind] } | { readonly error: string };
