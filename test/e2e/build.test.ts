import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Metafile } from "esbuild";
import { describe, expect, it, onTestFinished } from "vitest";
import { licencesIn, licencesText } from "../../local/build/licences.ts";

const ROOT = path.resolve(import.meta.dirname, "../..");
const FRAMEWORK = "@google-cloud/functions-framework";
const json = (...file: string[]) => JSON.parse(readFileSync(path.join(ROOT, ...file), "utf8"));
const rootLock = json("package-lock.json");

describe.each(["lookup", "refresher", "setup"])("the deployable folder of %s", (name) => {
  it("holds one file of code, its licences, a manifest and a lock, and nothing else", () => {
    const files = readdirSync(path.join(ROOT, "dist", name)).sort();
    expect(files).toEqual(["THIRD-PARTY-LICENSES.txt", "index.cjs", "package-lock.json", "package.json"]);
  });

  it("tells the version and the licence of each package that is in its code, and of no other", () => {
    const wanted = packagesIn(name).map((folder) => {
      const manifest = json(folder, "package.json");
      return `${manifest.name} ${manifest.version} (${manifest.license})`;
    });
    const entries = licencesOf(name);
    expect(entries.map(({ title }) => title)).toEqual([...wanted].sort((a, b) => a.localeCompare(b, "en")));
    for (const { title, text } of entries)
      expect(text, title).toMatch(/permission|redistribution|TERMS AND CONDITIONS/i);
  });

  it("depends on the Functions Framework only, at the project's own version", () => {
    const manifest = json("dist", name, "package.json");
    const { version } = rootLock.packages[`node_modules/${FRAMEWORK}`];
    expect(manifest.dependencies).toEqual({ [FRAMEWORK]: version });
    expect(manifest.main).toBe("index.cjs");
  });

  it("has no script that Google's buildpack would run", () => {
    expect(json("dist", name, "package.json").scripts).toBeUndefined();
  });

  it("locks the very packages that the project was tested with", () => {
    const lock = json("dist", name, "package-lock.json");
    const { "": own, ...packages } = lock.packages;
    expect(lock.name).toBe(name);
    expect(own).toMatchObject({ name, dependencies: json("dist", name, "package.json").dependencies });
    expect(packages).toHaveProperty([`node_modules/${FRAMEWORK}`]);
    for (const [place, { version, integrity }] of Object.entries<Record<string, string>>(packages)) {
      expect(rootLock.packages[place]).toMatchObject({ version, integrity });
    }
  });
});

/** The folders of the packages of which esbuild put code into a function's bundle. */
function packagesIn(name: string): string[] {
  const { outputs } = json("dist/meta", `${name}.json`) as Metafile;
  const [bundle] = Object.values(outputs);
  const files = Object.entries(bundle?.inputs ?? {}).filter(([, { bytesInOutput }]) => bytesInOutput > 0);
  const folders = files.map(([file]) => file.match(/^.*node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/)?.[0] ?? "");
  return [...new Set(folders)].filter((folder) => folder !== "");
}

function licencesOf(name: string) {
  const text = readFileSync(path.join(ROOT, "dist", name, "THIRD-PARTY-LICENSES.txt"), "utf8");
  const [, ...entries] = text.split(/^={78}\n/m);
  return entries.map((entry) => ({
    title: entry.slice(0, entry.indexOf("\n")),
    text: entry.slice(entry.indexOf("\n")),
  }));
}

it("the licences are those of a bundle that does hold packages: got's among them, whole", () => {
  const [got] = licencesOf("refresher").filter(({ title }) => title.startsWith("got "));
  expect(got?.title).toMatch(/^got \d+\.\d+\.\d+ \(MIT\)$/);
  expect(got?.text).toContain(readFileSync(path.join(ROOT, "node_modules/got/license"), "utf8").trim());
  expect(packagesIn("lookup")).toEqual([]);
  expect(licencesOf("lookup")).toEqual([]);
});

describe("a package in a bundle", () => {
  const TEXT = "Permission is hereby granted, free of charge, to whoever reads this made-up text.";

  /** The licences of a bundle with one package, of these files. */
  function licencesWith(license: unknown, files: Record<string, string>) {
    const root = mkdtempSync(path.join(tmpdir(), "licences-"));
    onTestFinished(() => rmSync(root, { recursive: true }));
    const folder = path.join(root, "node_modules/@made-up/package");
    mkdirSync(folder, { recursive: true });
    const manifest = JSON.stringify({ name: "@made-up/package", version: "1.2.3", license });
    for (const [file, content] of Object.entries({ "package.json": manifest, ...files }))
      writeFileSync(path.join(folder, file), content);
    const inputs = {
      "node_modules/@made-up/package/dist/index.js": { bytesInOutput: 1 },
      "node_modules/left-out/index.js": { bytesInOutput: 0 },
      "functions/lookup.ts": { bytesInOutput: 1 },
    };
    const output = { bytes: 2, imports: [], exports: [], inputs };
    return licencesIn({ inputs: {}, outputs: { "index.cjs": output } }, root);
  }

  it.each([
    ["a file of its own", { LICENSE: TEXT }],
    ["a file with another spelling", { "licence.md": `\n${TEXT}\r\n` }],
    ["its README", { "README.md": `# It\n\nWords.\n\n## License\n\n${TEXT}\n` }],
    ["its README, underlined", { "README.md": `It\n==\n\nLicense\n-------\n\n${TEXT}\n` }],
  ])("whose licence is in %s is told with it", async (_, files) => {
    const licences = await licencesWith("MIT", files);
    expect(licences).toEqual([{ name: "@made-up/package", version: "1.2.3", id: "MIT", text: TEXT }]);
    expect(licencesText(licences)).toContain(`@made-up/package 1.2.3 (MIT)\n\n${TEXT}\n`);
  });

  it("passes its notice on too, as the Apache licence asks", async () => {
    const [licence] = await licencesWith("Apache-2.0", { LICENSE: TEXT, NOTICE: "made-up notice" });
    expect(licence?.text).toBe(`${TEXT}\n\nmade-up notice`);
  });

  it.each([
    ["GPL-3.0-only", /^@made-up\/package 1\.2\.3 has a licence that is not known here: "GPL-3\.0-only"$/],
    ["SEE LICENSE IN LICENSE", /not known here/],
    ["(MIT OR GPL-3.0-only)", /not known here/],
    [undefined, /not known here: undefined$/],
    [{ type: "MIT" }, /not known here/],
  ])("with the licence %s fails the build", async (license, message) => {
    await expect(licencesWith(license, { LICENSE: TEXT })).rejects.toThrow(message);
  });

  it.each<[string, Record<string, string>]>([
    ["no file", {}],
    ["an empty file", { LICENSE: "\n" }],
    ["a README that only names the licence", { "README.md": "## License\n\nMIT\n" }],
    ["a notice alone", { NOTICE: "made-up notice" }],
  ])("with %s for the text of its licence fails the build", async (_, files) => {
    await expect(licencesWith("MIT", files)).rejects.toThrow(
      /^@made-up\/package 1\.2\.3 comes without the text of its licence$/,
    );
  });
});

it("lookup carries neither the Firestore SDK nor got: they triple its start", () => {
  const inputs = Object.keys(json("dist/meta/lookup.json").inputs);
  const heavy = /node_modules\/(@google-cloud\/|@grpc\/|google-gax|google-auth-library|got\/|jose\/)/;
  expect(inputs.filter((file) => heavy.test(file))).toEqual([]);
});
