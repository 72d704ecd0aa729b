import { Command, InvalidArgumentError, Option } from "commander";
import { runtime } from "../functions/adapters/runtime.ts";
import { MINUTE } from "../functions/core/time.ts";
import { parseDuration } from "./commands/durations.ts";
import { buildFunctions, runProgram, say } from "./deploy/main.ts";
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

runProgram(
  new Command("npm run deploy --")
    .description(
      "Builds the functions, deploys them with all that they need, and tries out whether the service works.",
    )
    .option("--stack <name>", "which one: infra/Pulumi.<name>.yaml (the only one there is, unless given)")
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
Whatever is missing (a value, the network, a login) is said before anything is created.

Examples:
  npm run deploy                                   the only stack there is; Pulumi asks before it changes anything
  npm run deploy -- --stack dev --yes              without asking
  npm run deploy -- --stack dev -- --refresh       compares with what is really there, first
`,
    )
    .action(deploy),
);

async function deploy(more: string[], { stack: named, yes, wait }: Options): Promise<void> {
  const { stack, cli, identity } = await preflight(named);
  await buildFunctions();
  const confirmed = yes ? ["--yes"] : [];
  const code = await cli.run("up", "--cwd", INFRA, "--stack", stack.name, ...confirmed, ...more);
  process.exitCode = code;
  if (code !== 0) return;
  const outputs = await readOutputs(cli, stack.name);
  // The library takes long to load, and what came before can take minutes, or fail.
  const { schedulerJobs } = await import("./google/scheduler-jobs.ts");
  console.log(await tryOut(outputs, { jobs: schedulerJobs(outputs, identity), runtime, say, wait }));
}

function duration(text: string): number {
  const ms = text === "0s" ? 0 : parseDuration(text);
  if (ms === undefined) throw new InvalidArgumentError('It is a duration, such as "90s" or "5m".');
  return ms;
}
