import { Command, CommanderError } from "commander";
import { runtime } from "../functions/adapters/runtime.ts";
import { add } from "./commands/add.ts";
import { adopt } from "./commands/adopt.ts";
import { authorize } from "./commands/authorize.ts";
import { type Context, examples } from "./commands/context.ts";
import { doctor } from "./commands/doctor.ts";
import { explain } from "./commands/errors.ts";
import { importToken } from "./commands/import.ts";
import { keys } from "./commands/keys.ts";
import { list } from "./commands/list.ts";
import { passphrase } from "./commands/passphrase.ts";
import { publish, unpublish } from "./commands/publish.ts";
import { refresh } from "./commands/refresh.ts";
import { remove } from "./commands/remove.ts";
import { reseal } from "./commands/reseal.ts";
import { sandbox } from "./commands/sandbox.ts";
import { schedule } from "./commands/schedule.ts";
import { show } from "./commands/show.ts";
import { watch } from "./commands/watch.ts";
import { findDeployment } from "./deployment.ts";
import { openTerminal } from "./terminal.ts";

const COMMANDS = [
  add,
  importToken,
  authorize,
  list,
  watch,
  show,
  refresh,
  remove,
  adopt,
  publish,
  unpublish,
  passphrase,
  keys,
  reseal,
  schedule,
  doctor,
  sandbox,
];

const ending = new AbortController();
const program = new Command("npm run tokens --")
  .description("Looks after the tokens: adds, authorizes, shows, refreshes and removes them.")
  .option("--live", "the tokens of npm start -- --live, not those of the sandbox")
  .addHelpText(
    "after",
    `
The tokens are those of the file STORE where that is set, of Firestore where GOOGLE_CLOUD_PROJECT is set,
else those of the running npm start, else the sandbox's. WEBEX_URL and PUBLIC_URL are obeyed too.
Firestore and what is deployed are reached with your own Google credentials: gcloud auth application-default login.
All that a deployment needs said is set by: eval "$(npx pulumi stack output commandLine --cwd infra)"
${examples(
  ["list", "what there is"],
  ["add sales --client-id C1234", "a new token; asks for the client secret"],
  ['authorize sales --scope "cjp:config_read"', "a person consents"],
  ["sandbox down 30s", "watch the service hold while Webex is away"],
  ["schedule status", "what Cloud Scheduler does for a deployed service"],
  ["doctor", "is all well, and what mends it"],
)}`,
  )
  .exitOverride()
  .configureOutput({ outputError: (text, write) => write(withoutValues(text)) });

const context: Context = {
  deployment: () => findDeployment(process.env, program.opts<{ live?: boolean }>().live === true),
  terminal: openTerminal(ending.signal),
  runtime,
  signal: ending.signal,
};
for (const register of COMMANDS) register(program, context);

endGently();
// Google's libraries reject promises that nobody can catch, and warn in their own words.
process.on("uncaughtException", fail);
if (!process.env.DEBUG) process.removeAllListeners("warning");
program.parseAsync().catch(fail);

/** Somebody may have put a secret where none belongs: it is not repeated. */
function withoutValues(text: string): string {
  return text.replace(/(--[\w-]+)=[^']*/g, "$1").replace(/ but got (\d+): .*/s, " but got $1.\n");
}

/** The first Ctrl-C ends all waiting and lets a write finish; a later one means it. */
function endGently(): void {
  let first: number | undefined;
  const end = () => {
    // npm passes on the Ctrl-C that the terminal has sent already.
    if (first !== undefined && Date.now() - first > 1000) process.exit(130);
    first ??= Date.now();
    ending.abort();
  };
  process.on("SIGINT", end).on("SIGTERM", end);
  // Whoever reads us had enough, as in `list | head -1`.
  process.stdout.on("error", () => process.exit(0));
}

/** The one place where an error becomes words and a status. */
function fail(error: unknown): void {
  // Commander has said it already.
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else {
    const { sentence, exitCode } = explain(error);
    process.stderr.write(`${process.env.DEBUG && error instanceof Error ? error.stack : sentence}\n`);
    // A library may still hold a connection that it can't have.
    process.exit(exitCode);
  }
}
