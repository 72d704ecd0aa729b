import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { ROOT } from "./build/names.ts";
import { clientsSections } from "./docs/clients.ts";
import { connectSections } from "./docs/connect.ts";
import { openapi } from "./docs/openapi.ts";
import { collection, environment } from "./docs/postman.ts";
import { withSections } from "./docs/sections.ts";
import { FLOWS } from "./flows/files.ts";

/** A file that is generated, or has generated sections. */
export interface Document {
  /** From the root of the project. */
  file: string;
  /** What is to be in it. */
  content(): string;
}

export const DOCUMENTS: readonly Document[] = [
  json("docs/openapi.json", openapi),
  json("docs/postman.json", collection),
  json("docs/postman-environment.json", environment),
  ...Object.entries(FLOWS).map(([file, flow]) => json(file, flow)),
  page("docs/connect.md", connectSections),
  page("docs/clients.md", clientsSections),
];

function json(file: string, value: object | (() => object)): Document {
  const made = () => (typeof value === "function" ? value() : value);
  return {
    file,
    content: () => `${JSON.stringify(made(), null, 2)}
`,
  };
}

function page(file: string, sections: () => Record<string, string>): Document {
  return { file, content: () => withSections(readFileSync(path.join(ROOT, file), "utf8"), sections()) };
}

if (import.meta.main)
  for (const { file, content } of DOCUMENTS) {
    writeFileSync(path.join(ROOT, file), content());
    console.log(file);
  }
