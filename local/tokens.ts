import { runtime } from "../functions/adapters/runtime.ts";
import { endingOf, makeProgram } from "./commands/program.ts";
import { openTerminal } from "./terminal.ts";

/** The entry point of `npm run tokens`: the program, this process's signals and its exit status. */

const { env } = process;
const ending = new AbortController();
const { signal } = ending;

endGently();
// Google's libraries reject promises that no caller can catch, and print warnings of their own.
process.on("uncaughtException", fail);
if (!env.DEBUG) process.removeAllListeners("warning");
makeProgram({ env, terminal: openTerminal(signal), runtime, signal })
  .parseAsync()
  .catch(fail);

/** The first Ctrl-C ends all waiting and lets a write finish; a later one ends the process. */
function endGently(): void {
  let first: number | undefined;
  const end = () => {
    // npm passes on the Ctrl-C that the terminal has sent already.
    if (first !== undefined && Date.now() - first > 1000) process.exit(130);
    first ??= Date.now();
    ending.abort();
  };
  process.on("SIGINT", end).on("SIGTERM", end);
  // The reader of the pipe has ended, as in `list | head -1`.
  process.stdout.on("error", () => process.exit(0));
}

function fail(error: unknown): void {
  const { code, sentence } = endingOf(error, env);
  process.exitCode = code;
  if (sentence === undefined) return;
  process.stderr.write(`${sentence}\n`);
  // A library may keep a connection open that it can't have.
  process.exit(code);
}
