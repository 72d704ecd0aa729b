import { Command, InvalidArgumentError, Option } from "commander";
import { MINUTE } from "../functions/core/time.ts";
import { parseDuration } from "./commands/durations.ts";
import { buildFunctions, here, runProgram, type World } from "./deploy/main.ts";
import { readOutputs } from "./deploy/outputs.ts";
import { preflight } from "./deploy/preflight.ts";
import { INFRA } from "./deploy/stack.ts";
import { tryOut } from "./deploy/verdict.ts";

interface Options {
  stack?: string;
  yes?: boolean;
  /** ms. */
  wait: number;
}

export const deployProgram = (world: World): Command =>
  new Command("npm run deploy --")
    .description(
      "Builds the functions, deploys them with all that they need, and tests the deployed service.",
    )
    .option("--stack <name>", "which one: infra/Pulumi.<name>.yaml (default: the only one)")
    .option("--yes", "do not ask before anything is changed")
    .addOption(
      new Option("--wait <duration>", "how long new permissions may take to reach all of Google")
        .argParser(duration)
        .default(5 * MINUTE, "5m"),
    )
    .argument("[arguments...]", "after --: more for pulumi up")
    .addHelpText(
      "after",
      `
Reports whatever is missing (a value, the network, a login) before anything is created.

Examples:
  npm run deploy                                   the only stack; Pulumi asks before it changes anything
  npm run deploy -- --stack dev --yes              without asking
  npm run deploy -- --stack dev -- --refresh       compares with what is really there, first
`,
    )
    .action((more: string[], options: Options) => deploy(more, options, world));

async function deploy(more: string[], { stack: named, yes, wait }: Options, world: World): Promise<void> {
  const { stack, cli, identity } = await preflight(named, world);
  await buildFunctions(world);
  const confirmed = yes ? ["--yes"] : [];
  const code = await cli.run("up", "--cwd", INFRA, "--stack", stack.name, ...confirmed, ...more);
  if (code !== 0) return world.exit(code);
  const outputs = await readOutputs(cli, stack.name);
  // The library takes long to load, and what came before can take minutes, or fail.
  const { schedulerJobs } = await import("./google/scheduler-jobs.ts");
  const say = (text: string) => world.stderr(`${text}\n`);
  const jobs = schedulerJobs(outputs, identity);
  world.stdout(`${await tryOut(outputs, { jobs, runtime: world.runtime, say, wait })}\n`);
}

function duration(text: string): number {
  const ms = text === "0s" ? 0 : parseDuration(text);
  if (ms === undefined) throw new InvalidArgumentError('It is a duration, such as "90s" or "5m".');
  return ms;
}

if (import.meta.main) await runProgram(deployProgram(here), here, process.argv.slice(2));
