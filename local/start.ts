import { Command } from "commander";
import { startAllInOne } from "./all-in-one.ts";
import { narrator } from "./narrate.ts";

const log = narrator((line) => process.stdout.write(line));

const program = new Command("npm start --")
  .description(
    "Runs the whole token service on this machine, by default against a sandbox in place of Webex.",
  )
  .option("--live", "talk to Webex itself: a small real deployment (PUBLIC_URL names its https address)")
  .addHelpText(
    "after",
    `
Examples:
  npm start                  the sandbox, on http://127.0.0.1:8080
  PORT=9000 npm start        on another port; the sandbox takes the one after it, the console the next
  npm start -- --live        Webex itself

The variables are listed in docs/architecture.md.`,
  )
  .action(({ live }: { live?: boolean }) => start(live === true));

program.parseAsync().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exit(1);
});

async function start(live: boolean): Promise<void> {
  const terminal = process.stdout.isTTY === true;
  const { welcome, close } = await startAllInOne({ live, env: process.env, terminal, log });
  onEnd(close);
  process.stdout.write(`${welcome}\n`);
}

// The reader of our output (head, less) may stop reading.
process.stdout.on("error", () => process.exit(0));

function onEnd(close: () => Promise<void>): void {
  let ending: number | undefined;
  const end = () => {
    // npm passes on the Ctrl-C that the terminal has sent already; only a later one is a second Ctrl-C.
    if (ending !== undefined && Date.now() - ending > 1000) process.exit(1);
    if (ending !== undefined) return;
    ending = Date.now();
    close().then(
      () => process.exit(0),
      (error: unknown) => {
        process.stderr.write(`ending failed: ${(error as Error).message}\n`);
        process.exit(1);
      },
    );
  };
  process.on("SIGINT", end);
  process.on("SIGTERM", end);
  // A signal to npm ends the shell between npm and this process, which passes no signal on.
  const parent = process.ppid;
  const orphaned = () => process.ppid !== parent && end();
  if (process.env.npm_lifecycle_event !== undefined) setInterval(orphaned, 500).unref();
}
