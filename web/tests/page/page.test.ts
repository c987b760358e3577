/** Click through the built page in headless Chromium. */

import { copyFileSync, existsSync, mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { chromium, type Browser, type BrowserContext, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { preview, type PreviewServer } from "vite";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PHOTO = join(ROOT, "../edgehrnet/assets/document.jpg");
const CHROMIUM = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
const SCREENSHOTS = process.env["SCREENSHOTS"]; // folder to write screenshots to
const DESKTOP = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844 };

let server: PreviewServer;
let browser: Browser;
let context: BrowserContext;
let page: Page;
let address: string;
let requests: string[];
let complaints: string[];

beforeAll(async () => {
  if (!existsSync(join(ROOT, "site/model/document-corners.onnx"))) {
    throw new Error("the page has no model; type: make web");
  }
  server = await preview({ root: ROOT, logLevel: "error", preview: { port: 0, host: "127.0.0.1" } });
  address = server.resolvedUrls?.local[0] ?? "";
  // Chromium plays the photo as the picture of a camera.
  const film = join(mkdtempSync(join(tmpdir(), "camera-")), "film.mjpeg");
  copyFileSync(PHOTO, film);
  browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: [
      ...["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"],
      ...["--disable-component-update", "--disable-sync", "--use-fake-ui-for-media-stream"],
      ...["--use-fake-device-for-media-stream", `--use-file-for-fake-video-capture=${film}`],
    ],
  });
}, 60_000);

afterAll(async () => {
  await browser?.close();
  await server?.close();
});

beforeEach(async () => {
  [requests, complaints] = [[], []];
  context = await browser.newContext({ viewport: DESKTOP, permissions: ["camera"] });
  page = await context.newPage();
  context.on("request", (request) => requests.push(request.url()));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
});

afterEach(async () => {
  await context.close();
  expect(requests.filter((url) => !url.startsWith(address) && !url.startsWith("blob:"))).toEqual([]);
  expect(complaints).toEqual([]);
});

async function opened(viewport = DESKTOP): Promise<void> {
  await page.setViewportSize(viewport);
  await page.goto(address);
  await page.locator("#status", { hasText: "Ready" }).waitFor({ timeout: 30_000 });
}

async function screenshot(name: string): Promise<void> {
  if (SCREENSHOTS === undefined) return;
  mkdirSync(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true });
}

/** Wait until a page was found and flattened. */
async function flattened(): Promise<void> {
  await page.locator("#status", { hasText: /Page found, confidence (0\.9|1)/ }).waitFor();
  await page.locator("#size", { hasText: "pixels" }).waitFor();
}

test("a photo is outlined and flattened, on a desktop and on a phone", async () => {
  for (const [name, viewport] of [["desktop", DESKTOP], ["phone", PHONE]] as const) {
    await opened(viewport);
    await screenshot(`${name}-empty`);
    await page.setInputFiles("#photo", PHOTO);
    await flattened();
    await screenshot(`${name}-photo`);
    const tooWide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    expect(tooWide).toBeLessThanOrEqual(0);
  }
  const [saved] = await Promise.all([page.waitForEvent("download"), page.click("#save")]);
  expect(saved.suggestedFilename()).toBe("page.png");
}, 90_000);

test("the model runs in threads", async () => {
  await opened();
  expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
  const threads = Math.min(4, await page.evaluate(() => navigator.hardwareConcurrency));
  expect(await page.textContent("#details")).toContain(`${threads} thread`);
}, 60_000);

test("the camera is followed live, and its picture is flattened", async () => {
  await opened();
  await page.click("#camera");
  await page.locator("#status", { hasText: "Page found" }).waitFor();
  await page.click("#flatten");
  await page.locator("#size", { hasText: "pixels" }).waitFor();
  await screenshot("desktop-camera");
  await page.click("#camera");
  expect(await page.textContent("#camera")).toBe("Use the camera");
}, 60_000);

test("a file that is no picture is refused, and the next photo works", async () => {
  await opened();
  await page.setInputFiles("#photo", { name: "a.jpg", mimeType: "image/jpeg", buffer: Buffer.from("no picture") });
  await page.locator("#status", { hasText: "not a picture" }).waitFor();
  await page.click("#sample");
  await flattened();
}, 60_000);

test("the policy keeps the page from sending anything elsewhere", async () => {
  await opened();
  const sent = await page.evaluate(() => fetch("https://example.com/", { method: "POST", body: "x" }).then(() => true, () => false));
  expect(sent).toBe(false);
  expect(complaints.splice(0).join()).toContain("Content Security Policy");
}, 60_000);
