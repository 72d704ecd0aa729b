import { Command, InvalidArgumentError } from "commander";
import { readSettings } from "../functions/adapters/env.ts";
import { runtime } from "../functions/adapters/runtime.ts";
import { openSealer } from "../functions/adapters/seal.ts";
import { unsealed } from "../functions/core/seal.ts";
import { tokenStore } from "../functions/core/store.ts";
import { explain } from "./commands/errors.ts";
import { startConsole } from "./console/server.ts";
import { findDeployment } from "./deployment.ts";

interface Options {
  port?: number;
  project?: string;
  live?: boolean;
}

const program = new Command("npm run console --")
  .description("Opens the operator's page: how the tokens are, and all that is done with them.")
  .option("--port <number>", "port on 127.0.0.1 (default: PORT + 2, or a free one)", portOf)
  .option("--project <id>", "the Google Cloud project whose Firestore holds the tokens")
  .option("--live", "the tokens of npm start -- --live, not those of the sandbox")
  .addHelpText(
    "after",
    `
The tokens are those of the file STORE where that is set, of Firestore where GOOGLE_CLOUD_PROJECT is set,
else those of the running npm start, else the sandbox's, as for npm run tokens.

Examples:
  npm run console                       beside npm start
  npm run console -- --project my-proj  Firestore, with your own Google credentials`,
  )
  .action(open);

program.parseAsync().catch((error: unknown) => {
  process.stderr.write(`${explain(error).sentence}\n`);
  process.exit(1);
});

async function open({ port, project, live = false }: Options): Promise<void> {
  const env = { ...process.env, ...(project !== undefined && { GOOGLE_CLOUD_PROJECT: project }) };
  const found = findDeployment(env, live);
  // Whatever is started meanwhile: the page stays with the store that it was opened on.
  const here = found.store.kind === "sqlite" ? { ...env, STORE: found.store.file } : env;
  const deployment = () => findDeployment(here, live);
  const documents = await found.open({ create: true });
  const page = await startConsole({
    documents,
    deployment,
    runtime,
    port: port ?? readSettings(env, []).port + 2,
    anyPort: port === undefined,
    metered: found.store.kind === "firestore",
    bug: (where) => process.stderr.write(`a bug in the console: ${where}\n`),
    async open() {
      const { sealing } = deployment();
      const sealer = sealing === undefined ? unsealed : await openSealer(sealing, () => {}, runtime.now);
      return tokenStore(documents, runtime.now, sealer);
    },
  });
  process.stdout.write(
    `Tokens in ${found.where}\n\n  ${page.url}\n\nThe address opens the page once. Ctrl-C ends it.\n`,
  );
  const end = async () => {
    await page.close();
    await documents.close();
    process.exit(0);
  };
  process.once("SIGINT", end).once("SIGTERM", end);
}

function portOf(text: string): number {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port <= 65_535) return port;
  throw new InvalidArgumentError("It must be a number from 0 to 65535.");
}
