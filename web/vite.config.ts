import { readFileSync } from "node:fs";

import { defaultClientConditions, defineConfig } from "vite";

const SECURITY = "Content-Security-Policy";

/** Read the headers that every file of the page is served with. Static hosts read the same file. */
function headers(): Record<string, string> {
  const lines = readFileSync(new URL("public/_headers", import.meta.url), "utf8").split("\n").slice(1);
  return Object.fromEntries(lines.filter(Boolean).map((line) => line.trim().split(/: (.*)/s).slice(0, 2)));
}

export default defineConfig(() => {
  const { [SECURITY]: _, ...isolation } = headers();
  return {
    base: "./",
    // onnxruntime-web loads its WASM files from where the worker says, and starts its threads from there.
    resolve: { conditions: ["onnxruntime-web-use-extern-wasm", ...defaultClientConditions] },
    build: { outDir: "site", target: "es2022", assetsInlineLimit: 0, chunkSizeWarningLimit: 1000 },
    worker: { format: "es" as const },
    // The development server writes styles into the page, which the policy forbids.
    server: { headers: isolation, fs: { allow: [".."] } },
    preview: { headers: headers() },
  };
});
