import { fieldsOf } from "../../functions/core/document.ts";
import { CommandError } from "../commands/errors.ts";
import type { Cli } from "./cli.ts";
import { INFRA } from "./stack.ts";

/** The program's outputs that are used here; none is secret. */
export interface Outputs {
  project: string;
  region: string;
  baseUrl: string;
  redirectUri: string;
  /** Names of the Scheduler's jobs. */
  jobs: { sweep: string; census: string };
}

/** Throws `CommandError` when the stack lacks one. */
export async function readOutputs(cli: Cli, stack: string): Promise<Outputs> {
  const { code, stdout } = await cli.read("stack", "output", "--json", "--stack", stack, "--cwd", INFRA);
  const found = code === 0 ? fieldsOf(jsonOf(stdout)) : {};
  const { sweep, census } = fieldsOf(found.jobs);
  const { project, region, baseUrl, redirectUri } = found;
  const texts = { project, region, baseUrl, redirectUri, sweep, census };
  if (!areStrings(texts))
    throw new CommandError(
      `stack "${stack}" does not say where the service is: run "npm run deploy -- --stack ${stack}" again`,
    );
  return { ...texts, jobs: { sweep: texts.sweep, census: texts.census } };
}

function areStrings<K extends string>(values: Record<K, unknown>): values is Record<K, string> {
  return Object.values(values).every((value) => typeof value === "string");
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
