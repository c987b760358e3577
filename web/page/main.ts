/** The page: take a picture, show the outline, flatten the page. */

import sample from "../../edgehrnet/assets/document.jpg?url";
import type { Engine, Result } from "../src/index.js";
import { Client } from "./client.js";
import { drawPage, drawPicture } from "./view.js";

const client = new Client();
let stream: MediaStream | undefined;
let latest: Result | undefined;

function element<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no element ${id}`);
  return found as T;
}

const view = element<HTMLCanvasElement>("view");
const video = element<HTMLVideoElement>("video");
const page = element<HTMLCanvasElement>("page");
const photo = element<HTMLInputElement>("photo");
const engine = element<HTMLSelectElement>("engine");
const [camera, sampleButton] = [element<HTMLButtonElement>("camera"), element<HTMLButtonElement>("sample")];
const [flatten, save] = [element<HTMLButtonElement>("flatten"), element<HTMLButtonElement>("save")];

function say(id: "status" | "size" | "details", text: string): void {
  element(id).textContent = text;
}

/** Run an action and show its error, if there is one. */
function guarded(action: () => Promise<void>): void {
  action().catch((error: unknown) => say("status", error instanceof Error ? error.message : String(error)));
}

function report(result: Result): void {
  latest = result;
  flatten.disabled = !result.found;
  const { letterbox, inference, decode } = result.speed;
  const time = `${Math.round(letterbox + inference + decode)} ms`;
  say("status", result.found ? `Page found, confidence ${result.score.toFixed(2)} · ${time}` : `No page found · ${time}`);
}

async function open(choice: Engine): Promise<void> {
  for (const control of [camera, photo, sampleButton]) control.disabled = true;
  say("status", "Loading the model …");
  const { threads, milliseconds } = await client.ask({ kind: "open", engine: choice });
  const place = choice === "wasm" ? `WASM, ${threads} ${threads === 1 ? "thread" : "threads"}` : "WebGPU";
  say("details", `${place} · ready after ${(milliseconds / 1000).toFixed(1)} s`);
  say("status", "Ready. Nothing is uploaded.");
  for (const control of [camera, photo, sampleButton]) control.disabled = false;
}

async function showPhoto(file: Blob): Promise<void> {
  stopCamera();
  const bitmap = await createImageBitmap(file).catch(() => {
    throw new Error("This file is not a picture that the browser can read. Choose a JPEG, PNG or WebP file.");
  });
  drawPicture(view, bitmap, undefined);
  say("status", "Looking for a page …");
  const result = await client.ask({ kind: "predict", picture: await createImageBitmap(bitmap) });
  drawPicture(view, bitmap, result);
  bitmap.close();
  report(result);
  if (result.found) await showPage();
}

async function showPage(): Promise<void> {
  const flat = await client.ask({ kind: "rectify" });
  drawPage(page, flat);
  save.disabled = false;
  say("size", `${flat.width} × ${flat.height} pixels`);
}

async function startCamera(): Promise<void> {
  const constraints = { video: { facingMode: "environment", width: { ideal: 1280 } }, audio: false };
  stream = await navigator.mediaDevices.getUserMedia(constraints).catch((error: Error) => {
    throw new Error(`The camera cannot be used (${error.message}). Choose a photo instead.`);
  });
  camera.textContent = "Stop the camera";
  video.srcObject = stream;
  await video.play();
  const current = stream;
  const draw = (): void => {
    if (stream !== current) return;
    drawPicture(view, video, latest);
    requestAnimationFrame(draw);
  };
  latest = undefined;
  draw();
  while (stream === current) {
    const result = await client.ask({ kind: "predict", picture: await createImageBitmap(video) });
    if (stream === current) report(result);
  }
}

function stopCamera(): void {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = undefined;
  camera.textContent = "Use the camera";
}

async function offerGraphicsCard(): Promise<void> {
  const gpu = (navigator as { gpu?: { requestAdapter(): Promise<unknown> } }).gpu;
  if (await gpu?.requestAdapter()) engine.add(new Option("the graphics card", "webgpu"));
}

function connect(): void {
  camera.onclick = () => {
    if (stream !== undefined) stopCamera();
    else guarded(() => startCamera().catch((error: unknown) => (stopCamera(), Promise.reject(error))));
  };
  sampleButton.onclick = () => guarded(async () => showPhoto(await (await fetch(sample)).blob()));
  photo.onchange = () => {
    const file = photo.files?.[0];
    if (file) guarded(() => showPhoto(file));
    photo.value = "";
  };
  flatten.onclick = () => guarded(showPage);
  save.onclick = () => page.toBlob((blob) => blob && download(blob));
  engine.onchange = () => guarded(() => open(engine.value as Engine));
  document.ondragover = (event) => event.preventDefault();
  document.ondrop = (event) => {
    event.preventDefault();
    const file = event.dataTransfer?.files[0];
    if (file && !photo.disabled) guarded(() => showPhoto(file));
  };
}

function download(blob: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = "page.png";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

connect();
guarded(offerGraphicsCard);
guarded(() => open("wasm"));
