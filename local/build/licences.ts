import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import type { Metafile } from "esbuild";

/** SPDX ids of the licences that only ask to be passed on with the code. */
const KNOWN = new Set([
  "MIT",
  "ISC",
  "Apache-2.0",
  "BSD-2-Clause",
  "BSD-3-Clause",
  "0BSD",
  "CC0-1.0",
  "BlueOak-1.0.0",
  "Unlicense",
]);

/** One package in a bundle, and what must be passed on with it. */
export interface Licence {
  readonly name: string;
  readonly version: string;
  /** SPDX id. */
  readonly id: string;
  /** All that its author wrote on it, notices included. */
  readonly text: string;
}

/**
 * The licence of each package of which a bundle holds code, sorted by name. Throws, naming them all, where one has a
 * licence that is not known here, or comes without the text of it. `root`: the folder that `metafile` counts from.
 */
export async function licencesIn(metafile: Metafile, root: string): Promise<Licence[]> {
  const found = await Promise.all(foldersIn(metafile).map((folder) => licenceIn(path.join(root, folder))));
  const apache = found.find(({ id, text }) => id === SAME_FOR_ALL && WHOLE.test(text))?.text ?? "";
  const all = found.map((one) =>
    one.id === SAME_FOR_ALL && one.text === "" ? { ...one, text: apache } : one,
  );
  const problems = all.flatMap(({ name, version, id, text }) => {
    if (!KNOWN.has(id))
      return [`${name} ${version} has a licence that is not known here: ${JSON.stringify(id)}`];
    return text === "" ? [`${name} ${version} comes without the text of its licence`] : [];
  });
  if (problems.length > 0) throw new Error(problems.sort().join("; "));
  return all.sort((a, b) => order(a, b));
}

/** Its text names nobody: where a package leaves it out, another's serves. */
const SAME_FOR_ALL = "Apache-2.0";
const WHOLE = /Apache License\s+Version 2\.0, January 2004[\s\S]*END OF TERMS AND CONDITIONS/;

/** A package may be there in two versions, each in a folder of its own. */
function foldersIn({ outputs }: Metafile): string[] {
  const files = Object.values(outputs)
    .flatMap(({ inputs }) => Object.entries(inputs))
    .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
    .map(([file]) => file);
  const folders = files.map((file) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1]);
  return [...new Set(folders.filter((folder) => folder !== undefined))];
}

/** Its text is "" where it has none. */
async function licenceIn(folder: string): Promise<Licence> {
  const manifest = JSON.parse(await readFile(path.join(folder, "package.json"), "utf8"));
  const { name, version, license } = manifest;
  return {
    name,
    version,
    id: typeof license === "string" ? license : JSON.stringify(license),
    text: await textIn(folder),
  };
}

async function textIn(folder: string): Promise<string> {
  const files = (await readdir(folder)).sort();
  const read = async (pattern: RegExp) => {
    const texts = files
      .filter((file) => pattern.test(file))
      .map((file) => plainText(path.join(folder, file)));
    return (await Promise.all(texts)).join("\n\n");
  };
  const licence =
    (await read(/^(un)?licen[cs]e|^copying/i)) || licenceOfReadme(await read(/^readme(\.md)?$/i));
  return licence && [licence, await read(/^notice/i)].filter((text) => text !== "").join("\n\n");
}

/** Some authors have the whole text in their README, under a heading of its own at the end. */
function licenceOfReadme(text: string): string {
  const [, section = ""] = /^(?:#+ *licen[cs]e|licen[cs]e *\n-+) *\n([\s\S]*)/im.exec(text) ?? [];
  return /permission|redistribution/i.test(section) ? section.trim() : "";
}

const plainText = async (file: string) => (await readFile(file, "utf8")).replaceAll("\r\n", "\n").trim();

const order = (a: Licence, b: Licence) =>
  a.name.localeCompare(b.name, "en") || a.version.localeCompare(b.version, "en", { numeric: true });

const RULE = "=".repeat(78);

/** What a deployed folder says of the code in it that others wrote. */
export function licencesText(licences: readonly Licence[]): string {
  if (licences.length === 0) return "index.cjs holds no code of other projects.\n";
  const entries = licences.map(
    ({ name, version, id, text }) => `${RULE}\n${name} ${version} (${id})\n\n${text}\n`,
  );
  return ["index.cjs holds code of these packages, under these licences.\n", ...entries].join("\n");
}
