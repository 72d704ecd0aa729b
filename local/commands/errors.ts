import { SettingsError } from "../../functions/adapters/env.ts";
import { Problem } from "../../functions/core/reply.ts";
import { StoreUnavailable } from "../../functions/core/store.ts";

/** A command can't do what it was asked: one sentence that says what to do instead, and holds no secret. */
export class CommandError extends Error {
  override name = "CommandError";
  readonly exitCode: number;

  /** `exitCode`: 1, or 2 where the command line itself is wrong. */
  constructor(message: string, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

const NO_CREDENTIALS = 'there are no Google credentials here: run "gcloud auth application-default login"';

/** What a person is told of an error, whatever it is, and the status to end with. */
export function explain(error: unknown): { sentence: string; exitCode: number } {
  if (error instanceof CommandError) return { sentence: error.message, exitCode: error.exitCode };
  if (error instanceof StoreUnavailable)
    return { sentence: `the token store did not answer: ${error.detail ?? error.message}`, exitCode: 1 };
  if (error instanceof SettingsError || error instanceof Problem)
    return { sentence: error.message, exitCode: 1 };
  if (error instanceof Error && error.message.startsWith("Could not load the default credentials"))
    return { sentence: NO_CREDENTIALS, exitCode: 1 };
  // Whatever else a message says may come from outside, and hold anything.
  return { sentence: "this is a bug in the command line: DEBUG=1 shows where", exitCode: 1 };
}
