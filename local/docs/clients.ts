import { readFileSync } from "node:fs";
import path from "node:path";
import { ROOT } from "../build/names.ts";
import { snippetsFor } from "../snippets.ts";
import { fenced } from "./sections.ts";

/** What the commands of `docs/clients.md` ask: the example of `npm start`. */
export const EXAMPLE = {
  lookup: "http://127.0.0.1:8080",
  name: "example",
  passphrase: "$TOKEN_PASSPHRASE",
};

/** The generated sections of `docs/clients.md`. */
export function clientsSections(): Record<string, string> {
  const helper = readFileSync(path.join(ROOT, "docs/clients/webex-token.ts"), "utf8");
  return { curl: shell("curl"), jds: shell("jds"), helper: fenced("ts", helper) };
}

const shell = (id: "curl" | "jds") => fenced("sh", commandOf(id, EXAMPLE));

/** The command of a snippet that is one. */
export function commandOf(id: "curl" | "jds", caller: typeof EXAMPLE): string {
  const snippet = snippetsFor(caller).find((one) => one.id === id);
  return snippet?.parts[0]?.text ?? "";
}
