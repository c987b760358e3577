/** The model file or an argument cannot be used. The message says what was given and what is accepted. */
export class EdgeHRNetError extends Error {
  override name = "EdgeHRNetError";
}
