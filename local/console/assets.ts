import { readFile } from "node:fs/promises";
import path from "node:path";
import type { Plugin } from "esbuild";

/** A file of the page. */
export interface Asset {
  type: string;
  text: string;
}

const FOLDER = path.join(import.meta.dirname, "page");

const HTML = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Tokens</title>
<link rel="icon" href="/icon.svg">
<link rel="stylesheet" href="/page.css">
<script type="module" src="/page.js"></script>
</head>
<body><div id="page"><p class="opening" role="status">Opening…</p></div></body>
</html>
`;

const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="7" fill="#0a6b5e"/><path d="M8 4v4l3 2" fill="none" stroke="#fff" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round"/></svg>
`;

/** The files of the page by path, made of their sources in memory. Throws where they don't compile. */
export async function pageAssets(): Promise<ReadonlyMap<string, Asset>> {
  const [script, style] = await Promise.all([bundle(), readFile(path.join(FOLDER, "page.css"), "utf8")]);
  return new Map([
    ["/", { type: "text/html; charset=utf-8", text: HTML }],
    ["/page.js", { type: "text/javascript; charset=utf-8", text: script }],
    ["/page.css", { type: "text/css; charset=utf-8", text: style }],
    ["/icon.svg", { type: "image/svg+xml", text: ICON }],
  ]);
}

async function bundle(): Promise<string> {
  const { build } = await import("esbuild");
  const { outputFiles, metafile } = await build({
    absWorkingDir: FOLDER,
    entryPoints: ["main.tsx"],
    outdir: FOLDER,
    bundle: true,
    write: false,
    minify: true,
    metafile: true,
    format: "esm",
    target: "es2022",
    jsx: "automatic",
    jsxImportSource: "preact",
    logLevel: "silent",
    plugins: [UNUSED_NODE],
  });
  const outside = Object.values(metafile.outputs).flatMap(({ imports }) => imports);
  if (outside.length > 0) throw new Error(`the page can't have ${outside.map((one) => one.path).join(", ")}`);
  return outputFiles[0]?.text ?? "";
}

/** The page shares modules with the service, and of those only what needs nothing of Node. */
const UNUSED_NODE: Plugin = {
  name: "unused-node",
  setup({ onResolve }) {
    onResolve({ filter: /^node:/ }, ({ path }) => ({ path, external: true, sideEffects: false }));
  },
};
