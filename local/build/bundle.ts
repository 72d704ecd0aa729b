import { stat, writeFile } from "node:fs/promises";
import { isBuiltin } from "node:module";
import path from "node:path";
import { build, type Metafile } from "esbuild";
import { licencesIn, licencesText } from "./licences.ts";
import { FRAMEWORK, type FunctionName, ROOT } from "./names.ts";

/** Packages that a dependency asks for inside `try`, and works without. */
const OPTIONAL = new Set(["supports-color"]);

export interface BuiltFunction {
  readonly name: FunctionName;
  /** Bytes of `index.cjs`. */
  readonly size: number;
}

/**
 * Not minified: of the start of a function that loads the Firestore SDK it saves about 15 ms of 150,
 * of lookup's nothing, and stack traces in the cloud's log would name no line of ours.
 */
export async function writeBundle(name: FunctionName, folder: string): Promise<BuiltFunction> {
  const outfile = path.join(folder, name, "index.cjs");
  const { metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: [path.join("functions", `${name}.ts`)],
    outfile,
    bundle: true,
    platform: "node",
    target: "node24",
    format: "cjs",
    external: [FRAMEWORK],
    metafile: true,
    logLevel: "silent",
    // In a CommonJS bundle `import.meta` is empty: code that needs it would break in the cloud only.
    logOverride: { "empty-import-meta": "error" },
  });
  const missing = outsidePackages(metafile);
  if (missing.length > 0) throw new Error(`the bundle of ${name} would lack ${missing.join(", ")}`);
  await writeFile(path.join(folder, "meta", `${name}.json`), JSON.stringify(metafile));
  const licences = licencesText(await licencesIn(metafile, ROOT));
  await writeFile(path.join(folder, name, "THIRD-PARTY-LICENSES.txt"), licences);
  return { name, size: (await stat(outfile)).size };
}

function outsidePackages({ outputs }: Metafile): string[] {
  return Object.values(outputs)
    .flatMap((output) => output.imports)
    .filter((found) => found.external && found.path !== FRAMEWORK)
    .map((found) => found.path)
    .filter((specifier) => !isBuiltin(specifier) && !OPTIONAL.has(specifier));
}
