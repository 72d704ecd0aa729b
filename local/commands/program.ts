import type { Writable } from "node:stream";
import { Command, CommanderError } from "commander";
import { findDeployment } from "../deployment.ts";
import { add } from "./add.ts";
import { adopt } from "./adopt.ts";
import { authorize } from "./authorize.ts";
import { type Context, examples } from "./context.ts";
import { doctor } from "./doctor.ts";
import { explain } from "./errors.ts";
import { importToken } from "./import.ts";
import { keys } from "./keys.ts";
import { list } from "./list.ts";
import { passphrase } from "./passphrase.ts";
import { publish, unpublish } from "./publish.ts";
import { refresh } from "./refresh.ts";
import { remove } from "./remove.ts";
import { reseal } from "./reseal.ts";
import { sandbox } from "./sandbox.ts";
import { schedule } from "./schedule.ts";
import { show } from "./show.ts";
import { watch } from "./watch.ts";

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

/** `npm run tokens --` with all its commands. Help goes to `stdout`, a mistyped command line to `stderr`. */
export function makeProgram(
  context: Omit<Context, "deployment">,
  { stdout, stderr }: { stdout: Writable; stderr: Writable } = process,
): Command {
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
    .configureOutput({
      writeOut: (text) => void stdout.write(text),
      writeErr: (text) => void stderr.write(text),
      outputError: (text, write) => write(withoutValues(text)),
    });
  const isLive = () => program.opts<{ live?: boolean }>().live === true;
  const deployment = () => findDeployment(context.env, isLive());
  for (const register of COMMANDS) register(program, { ...context, deployment });
  return program;
}

/** A secret that was typed as an option's value, or as an argument too many, is not repeated. */
function withoutValues(text: string): string {
  return text.replace(/(--[\w-]+)=[^']*/g, "$1").replace(/ but got (\d+): .*/s, " but got $1.\n");
}

/** How a command line ends. */
export interface Ending {
  /** 0, 1, 2 where the command line itself is wrong, or 130 for Ctrl-C. */
  code: number;
  /** What stderr still has to say; `undefined`: commander has printed it. */
  sentence: string | undefined;
}

/** The one place where an error becomes words and a status. `DEBUG` asks for the stack instead of the words. */
export function endingOf(error: unknown, { DEBUG }: Context["env"]): Ending {
  if (error instanceof CommanderError) return { code: error.exitCode === 0 ? 0 : 2, sentence: undefined };
  const { sentence, exitCode } = explain(error);
  return { code: exitCode, sentence: DEBUG && error instanceof Error ? error.stack : sentence };
}
