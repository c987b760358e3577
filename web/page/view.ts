/** Draw pictures and the outline of a page. */

import type { ImageLike, Point, Result } from "../src/index.js";

const LINE = "#ffb300"; // visible on paper and on dark tables
const EDGE = "rgb(20 20 20 / 75%)";
const FILL = "rgb(255 179 0 / 14%)";

type Source = HTMLVideoElement | ImageBitmap;

function context(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
  const found = canvas.getContext("2d");
  if (found === null) throw new Error("this browser cannot draw on a canvas");
  return found;
}

function resize(canvas: HTMLCanvasElement, width: number, height: number): void {
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  canvas.parentElement?.classList.remove("empty");
}

/** Draw a picture, and over it the outline if a page was found. */
export function drawPicture(canvas: HTMLCanvasElement, source: Source, result: Result | undefined): void {
  const video = source instanceof HTMLVideoElement;
  const [width, height] = video ? [source.videoWidth, source.videoHeight] : [source.width, source.height];
  if (width === 0) return;
  resize(canvas, width, height);
  const pen = context(canvas);
  pen.drawImage(source, 0, 0);
  if (result?.found) drawOutline(pen, result.xy, Math.max(width, height) / 300);
}

/** Draw the flattened page. */
export function drawPage(canvas: HTMLCanvasElement, page: ImageLike): void {
  resize(canvas, page.width, page.height);
  context(canvas).putImageData(new ImageData(page.data, page.width, page.height), 0, 0);
}

function drawOutline(pen: CanvasRenderingContext2D, corners: readonly Point[], dot: number): void {
  pen.beginPath();
  // A canvas measures from the edge of the first pixel, the corners from its center.
  for (const [x, y] of corners) pen.lineTo(x + 0.5, y + 0.5);
  pen.closePath();
  pen.fillStyle = FILL;
  pen.fill();
  pen.lineJoin = "round";
  for (const [style, width] of [[EDGE, 3], [LINE, 1.6]] as const) {
    [pen.strokeStyle, pen.lineWidth] = [style, width * dot];
    pen.stroke();
  }
  for (const [x, y] of corners) {
    pen.beginPath();
    pen.arc(x + 0.5, y + 0.5, 3.2 * dot, 0, 2 * Math.PI);
    pen.fillStyle = "#fff";
    pen.fill();
    [pen.strokeStyle, pen.lineWidth] = [EDGE, 1.2 * dot];
    pen.stroke();
  }
}
