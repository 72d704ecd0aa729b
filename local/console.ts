import { Command, InvalidArgumentError } from "commander";
import { explain } from "./commands/errors.ts";
import { type ConsoleOptions, openConsole } from "./console/open.ts";

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

async function open(options: ConsoleOptions): Promise<void> {
  const bug = (where: string) => process.stderr.write(`a bug in the console: ${where}\n`);
  const { where, url, close } = await openConsole(options, process.env, bug);
  process.stdout.write(
    `Tokens in ${where}\n\n  ${url}\n\nThe address opens the page once. Ctrl-C ends it.\n`,
  );
  const end = async () => {
    await close();
    process.exit(0);
  };
  process.once("SIGINT", end).once("SIGTERM", end);
}

function portOf(text: string): number {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port <= 65_535) return port;
  throw new InvalidArgumentError("It must be a number from 0 to 65535.");
}
