import { mkdir, rename, rm } from "node:fs/promises";
import path from "node:path";
import type { BuildFailure } from "esbuild";
import { type BuiltFunction, writeBundle } from "./build/bundle.ts";
import { writeManifests } from "./build/manifests.ts";
import { FUNCTIONS, ROOT } from "./build/names.ts";

/**
 * Writes `dist/lookup`, `dist/refresher` and `dist/setup`, each ready to be deployed as it is, and what
 * esbuild knows about each bundle in `dist/meta`. Everything is made in a folder aside first: when this
 * throws, `dist` is as it was.
 */
export async function build(): Promise<BuiltFunction[]> {
  const dist = path.join(ROOT, "dist");
  const aside = path.join(dist, `.building-${process.pid}`);
  await rm(aside, { recursive: true, force: true });
  await mkdir(path.join(aside, "meta"), { recursive: true });
  try {
    const manifests = writeManifests(aside);
    const bundles = FUNCTIONS.map((name) => writeBundle(name, aside));
    // Where one fails, the others must be at rest too before their folder is taken away.
    await Promise.allSettled([manifests, ...bundles]);
    await manifests;
    const built = await Promise.all(bundles);
    for (const name of [...FUNCTIONS, "meta"]) await replaceFolder(aside, dist, name);
    return built;
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
}

/** Puts the new folder in the old one's place. Another build at the same time may come in between. */
async function replaceFolder(from: string, to: string, name: string, tries = 5): Promise<void> {
  await rename(path.join(to, name), path.join(from, `old-${name}-${tries}`)).catch(ignore("ENOENT"));
  try {
    await rename(path.join(from, name), path.join(to, name));
  } catch (error) {
    if (tries <= 1) throw error;
    ignore("ENOTEMPTY", "EEXIST", "EPERM")(error);
    await replaceFolder(from, to, name, tries - 1);
  }
}

function ignore(...codes: string[]): (error: unknown) => void {
  return (error) => {
    if (!codes.includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  };
}

/** One line of whatever `build` threw: of esbuild's errors, the first with its place. */
export function explain(error: unknown): string {
  const [first] = (error as Partial<BuildFailure>).errors ?? [];
  if (!first) return error instanceof Error ? error.message : String(error);
  const place = first.location ? `${first.location.file}:${first.location.line}: ` : "";
  return `${place}${first.text}`;
}

if (import.meta.main) {
  try {
    for (const { name, size } of await build()) {
      console.log(`dist/${name}  ${(size / 1024).toFixed(0)} kB`);
    }
  } catch (error) {
    console.error(`the build failed: ${explain(error)}`);
    process.exitCode = 1;
  }
}
