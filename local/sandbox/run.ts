#!/usr/bin/env node
// The sandbox Webex authority alone: node local/sandbox/run.ts --port 8090 --file .data/sandbox.sqlite
import { parseArgs } from "node:util";
import { createSandbox } from "./server.ts";

const USAGE = "usage: node local/sandbox/run.ts [--port N] [--file F]   (port 0: a free one)";

function settings(): { port: number; file: string } {
  const { values } = parseArgs({
    options: {
      port: { type: "string", default: "0" },
      file: { type: "string", default: ".data/sandbox.sqlite" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    process.exit(0);
  }
  const port = Number(values.port);
  if (!/^\d{1,5}$/.test(values.port) || port > 65_535) throw new Error("--port must be 0 to 65535");
  if (values.file === "") throw new Error("--file must not be empty");
  return { port, file: values.file };
}

/** Prints one JSON line when ready; SIGTERM and SIGINT end it with status 0. */
async function main(): Promise<void> {
  const { port, file } = settings();
  const sandbox = createSandbox({ file });
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => void sandbox.close());
  const actual = await sandbox.listen(port);
  console.log(JSON.stringify({ sandbox: `http://127.0.0.1:${actual}` }));
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  console.error(USAGE);
  process.exitCode = 1;
});
