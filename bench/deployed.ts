import { cp, mkdir, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { build as bundle } from "esbuild";
import { build } from "../local/build.ts";
import { type Server, start } from "./processes.ts";

const ROOT = path.resolve(import.meta.dirname, "..");
const MAIN = path.join(
  path.dirname(createRequire(import.meta.url).resolve("@google-cloud/functions-framework")),
  "main.js",
);

export type FunctionName = "hello" | "lookup" | "plain" | "refresher";

export const PASSPHRASE = "passphrase-of-the-bench";
/** What every reader sends, whoever answers. */
export const HEADERS = { "x-token-passphrase": PASSPHRASE };

/**
 * The deployable folders, in one place that no other build replaces while it is measured: ours as `npm run build`
 * makes them, and the two that they are compared with, bundled by the same rules.
 */
export async function prepare(folder: string): Promise<void> {
  await build();
  for (const name of ["lookup", "refresher"])
    await cp(path.join(ROOT, "dist", name), path.join(folder, name), { recursive: true });
  for (const name of ["hello", "plain"]) {
    await mkdir(path.join(folder, name));
    await writeFile(path.join(folder, name, "package.json"), JSON.stringify({ name, main: "index.cjs" }));
    await bundle({
      absWorkingDir: ROOT,
      entryPoints: [`bench/functions/${name}.ts`],
      outfile: path.join(folder, name, "index.cjs"),
      bundle: true,
      platform: "node",
      target: "node24",
      format: "cjs",
      logLevel: "error",
    });
  }
}

/** How the Functions Framework is started on a function, as Cloud Run does it. */
export const frameworkArgs = (folder: string, name: FunctionName, port: number) => [
  MAIN,
  `--source=${path.join(folder, name)}`,
  `--target=${name}`,
  `--port=${port}`,
];

/** What all functions are told here; each takes what it knows. */
export const environment = (store: Record<string, string>, refresherUrl = "http://127.0.0.1:9") => ({
  NODE_ENV: "production",
  TOKEN_PASSPHRASE: PASSPHRASE,
  REFRESHER_URL: refresherUrl,
  ...store,
});

/** Starts one function and waits until its port accepts connections. */
export const startFunction = (
  folder: string,
  name: FunctionName,
  env: Record<string, string>,
): Promise<Server> => start((port) => frameworkArgs(folder, name, port), env, folder);
