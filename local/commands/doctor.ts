import { readSettings } from "../../functions/adapters/env.ts";
import type { Examined } from "../doctor/check.ts";
import { type Context, examples, jsonOption, type Register } from "./context.ts";
import { CommandError } from "./errors.ts";
import { showCount } from "./progress.ts";

interface Options {
  region?: string;
  prefix?: string;
  json?: boolean;
}

/** `doctor`: looks at everything that a deployment rests on, and changes nothing. */
export const doctor: Register = (program, context) => {
  program
    .command("doctor")
    .description("examine the whole deployment: one line a check, with what mends it")
    .option("--region <region>", "where the service is deployed; without it, wherever its functions are")
    .option("--prefix <prefix>", "of which service, where a project has several: how its names begin")
    .addOption(jsonOption())
    .addHelpText(
      "after",
      `
It only reads; of each token it reads the document, and it asks lookup for a token that does not exist. What does not
apply to tokens on this machine or in the emulator is skipped. What can't be found out is broken, too: the sentence says
what you lack. Of a clock 5 s are a warning, 60 s broken; of the last sweep 3 and 15 minutes.
Status: 0 where nothing is broken, warnings or not; 1 where something is; 2 for a wrong option.`,
    )
    .addHelpText(
      "after",
      examples(
        ["doctor", "of what the environment names, as the other commands"],
        ["doctor --region europe-west1", "only what is deployed there"],
        [`doctor --json | jq -r '.[] | select(.verdict == "broken") | .title'`, "for programs"],
      ),
    )
    .action((options: Options) => diagnose(options, context));
};

async function diagnose({ region, prefix, json }: Options, context: Context): Promise<void> {
  const { env, terminal, runtime, signal } = context;
  const [{ patientOf }, { CHECKS }, { examine }, { lineOf }] = await Promise.all([
    import("../doctor/patient.ts"),
    import("../doctor/checks.ts"),
    import("../doctor/check.ts"),
    import("../doctor/lines.ts"),
  ]);
  const settings = readSettings(env, []);
  const deployment = context.deployment();
  terminal.remark(`tokens in ${deployment.where}`);
  const ending = new AbortController();
  const count = showCount("tokens read");
  const patient = await patientOf({
    deployment,
    settings,
    region: region ?? (env.GOOGLE_CLOUD_REGION?.trim() || undefined),
    prefix: prefix?.replace(/-$/, ""),
    now: runtime.now,
    signal: AbortSignal.any([signal, ending.signal]),
    counted: count.reached,
  });
  const width = Math.max(...CHECKS.map(({ title }) => title.length));
  const examined: Examined[] = [];
  try {
    // In their order, each as soon as it and those before it are known.
    for (const finding of examine(CHECKS, patient)) {
      examined.push(await orCancelled(finding, signal));
      if (!json) count.around(() => terminal.print(lineOf(examined.at(-1) as Examined, width)));
    }
  } finally {
    count.stop();
    ending.abort();
    await patient.close();
  }
  if (json) terminal.json(examined);
  const ill = examined.filter(({ verdict }) => verdict === "broken").length;
  if (ill > 0) throw new CommandError(`${ill} of ${examined.length} checks: broken`);
}

/** Ctrl-C ends the waiting; nothing was begun that could be left half-done. */
function orCancelled<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) return Promise.reject(cancelled());
  return new Promise((resolve, reject) => {
    const end = () => reject(cancelled());
    signal.addEventListener("abort", end, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", end));
  });
}

const cancelled = () => new CommandError("cancelled", 130);
