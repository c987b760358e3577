/** Ask the worker, one question at a time. */

import type { Answer, Answers, Request } from "./messages.js";

export class Client {
  private readonly worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  private last: Promise<unknown> = Promise.resolve();

  /** Send a request after those before it were answered. Pictures in it are given away. */
  ask<Kind extends keyof Answers>(request: Extract<Request, { kind: Kind }>): Promise<Answers[Kind]> {
    const answered = this.last.then(() => this.send<Kind>(request));
    this.last = answered.catch(() => undefined);
    return answered;
  }

  private send<Kind extends keyof Answers>(request: Request): Promise<Answers[Kind]> {
    return new Promise((resolve, reject) => {
      this.worker.onmessage = ({ data }: MessageEvent<Answer<Kind>>): void => {
        if ("error" in data) reject(new Error(data.error));
        else resolve(data.value);
      };
      this.worker.onerror = ({ message }): void => reject(new Error(message || "the worker could not be started"));
      this.worker.postMessage(request, "picture" in request ? [request.picture] : []);
    });
  }
}
