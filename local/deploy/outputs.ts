import { fieldsOf } from "../../functions/core/document.ts";
import { CommandError } from "../commands/errors.ts";
import type { Cli } from "./cli.ts";
import { INFRA, type Stack } from "./stack.ts";

/** What the program gives back that is used here; none of it is secret. */
export interface Outputs {
  project: string;
  region: string;
  baseUrl: string;
  redirectUri: string;
  /** Names of the Scheduler's jobs. */
  jobs: { sweep: string; census: string };
}

/** Throws `CommandError` where the stack does not give them. */
export async function readOutputs(cli: Cli, { name, values }: Stack): Promise<Outputs> {
  const { code, stdout } = await cli.read("stack", "output", "--json", "--stack", name, "--cwd", INFRA);
  const found = code === 0 ? fieldsOf(jsonOf(stdout)) : {};
  const { sweep, census } = fieldsOf(found.jobs);
  const texts = [found.baseUrl, found.redirectUri, sweep, census];
  if (!texts.every((text) => typeof text === "string"))
    throw new CommandError(
      `stack "${name}" does not say where the service is: run "npm run deploy -- --stack ${name}" again`,
    );
  const [baseUrl = "", redirectUri = "", sweepJob = "", censusJob = ""] = texts as string[];
  return {
    project: values["gcp:project"] ?? "",
    region: values["gcp:region"] ?? "",
    baseUrl,
    redirectUri,
    jobs: { sweep: sweepJob, census: censusJob },
  };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
