import { Command } from "commander";
import { table } from "./commands/table.ts";
import { buildFunctions, runProgram, say } from "./deploy/main.ts";
import { preflight } from "./deploy/preflight.ts";
import { checkStack, findStackOrExample, INFRA } from "./deploy/stack.ts";

interface Options {
  stack?: string;
  offline?: boolean;
}

runProgram(
  new Command("npm run preview --")
    .description(
      "Builds the functions, and shows what deploying them would create, change or delete. Changes nothing.",
    )
    .option("--stack <name>", "which one: infra/Pulumi.<name>.yaml (the only one there is, unless given)")
    .option("--offline", "show all that a stack consists of, and why; needs no cloud, login or Pulumi CLI")
    .argument("[arguments...]", "after --: more for pulumi preview")
    .addHelpText(
      "after",
      `
Examples:
  npm run preview -- --offline             what would be made, from infra/Pulumi.example.yaml where there is no stack
  npm run preview -- --stack dev           what would change in the cloud
  npm run preview -- --stack dev -- --diff in every detail
`,
    )
    .action((more: string[], options: Options) =>
      options.offline ? offline(options) : online(options, more),
    ),
);

async function offline({ stack: named }: Options): Promise<void> {
  const stack = findStackOrExample(named);
  checkStack(stack);
  await buildFunctions();
  const { plannedFor } = await import("./deploy/resources.ts");
  const planned = await plannedFor(stack);
  console.log(
    await table(
      ["NAME", "KIND", "WHY"],
      planned.map(({ name, kind, why }) => [name, kind, why]),
    ),
  );
  say(`${planned.length} resources, with the options of ${stack.file}; nothing was asked of Google`);
}

async function online({ stack: named }: Options, more: string[]): Promise<void> {
  const { stack, cli } = await preflight(named);
  await buildFunctions();
  process.exitCode = await cli.run("preview", "--cwd", INFRA, "--stack", stack.name, ...more);
}
