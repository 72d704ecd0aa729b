import { Command } from "commander";
import { table } from "./commands/table.ts";
import { buildFunctions, here, runProgram, type World } from "./deploy/main.ts";
import { preflight } from "./deploy/preflight.ts";
import { checkStack, findStackOrExample, INFRA } from "./deploy/stack.ts";

interface Options {
  stack?: string;
  offline?: boolean;
}

export const previewProgram = (world: World): Command =>
  new Command("npm run preview --")
    .description(
      "Builds the functions, and shows what deploying them would create, change or delete. Changes nothing.",
    )
    .option("--stack <name>", "which one: infra/Pulumi.<name>.yaml (default: the only one)")
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
      options.offline ? offline(options, world) : online(options, more, world),
    );

async function offline({ stack: named }: Options, world: World): Promise<void> {
  const stack = findStackOrExample(named, world.root);
  checkStack(stack);
  await buildFunctions(world);
  const { plannedFor } = await import("./deploy/resources.ts");
  const planned = await plannedFor(stack);
  const rows = planned.map(({ name, kind, why }) => [name, kind, why]);
  world.stdout(`${await table(["NAME", "KIND", "WHY"], rows)}\n`);
  world.stderr(
    `${planned.length} resources, with the options of ${stack.file}; nothing was asked of Google\n`,
  );
}

async function online({ stack: named }: Options, more: string[], world: World): Promise<void> {
  const { stack, cli } = await preflight(named, world);
  await buildFunctions(world);
  world.exit(await cli.run("preview", "--cwd", INFRA, "--stack", stack.name, ...more));
}

if (import.meta.main) await runProgram(previewProgram(here), here, process.argv.slice(2));
