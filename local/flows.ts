import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { ROOT } from "./build/names.ts";
import { callApi } from "./flows/call-api.ts";
import { exportFlow } from "./flows/export.ts";
import { getToken } from "./flows/get-token.ts";

export const FOLDER = path.join(ROOT, "docs/flows");

/** File name → what is to be in it. */
export function flowFiles(): Map<string, string> {
  const flows = {
    "get-token.subflow.json": getToken("connector"),
    "get-token-passphrase.subflow.json": getToken("passphrase"),
    "call-api.flow.json": callApi,
  };
  return new Map(
    Object.entries(flows).map(([file, flow]) => [file, `${JSON.stringify(exportFlow(flow), null, 2)}\n`]),
  );
}

if (import.meta.main) {
  await mkdir(FOLDER, { recursive: true });
  for (const [file, content] of flowFiles()) {
    await writeFile(path.join(FOLDER, file), content);
    console.log(`docs/flows/${file}`);
  }
}
