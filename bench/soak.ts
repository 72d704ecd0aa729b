import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { openProgress } from "./soak/progress.ts";
import { soak } from "./soak/run.ts";
import { summaryOf } from "./soak/summary.ts";

interface Options {
  minutes: number;
  tokens: number;
  store: "sqlite" | "firestore";
  seed: string;
  rate: number;
  build: boolean;
}

const numberBetween = (least: number, most: number, wholes: boolean) => (text: string) => {
  const number = text.trim() === "" ? Number.NaN : Number(text);
  const good = number >= least && number <= most && (!wholes || Number.isInteger(number));
  if (!good)
    throw new InvalidArgumentError(`It must be a ${wholes ? "whole " : ""}number from ${least} to ${most}.`);
  return number;
};

const options = new Command("npm run soak --")
  .description(
    "Runs many tokens that live for a minute through everything that can go wrong, and checks each answer. Exits 1 where a promise was broken.",
  )
  .option("--minutes <number>", "how long things go wrong", numberBetween(0.05, 1440, false), 5)
  .option("--tokens <number>", "how many tokens there are", numberBetween(1, 5000, true), 1000)
  .option("--rate <number>", "reads a second, over four lookups", numberBetween(1, 2000, true), 100)
  .addOption(
    new Option("--store <store>", "where they are kept").choices(["sqlite", "firestore"]).default("sqlite"),
  )
  .option("--seed <text>", "the same troubles and readers again (default: a new one each time)")
  .option("--no-build", 'take the functions as the last "npm run build" left them')
  .addHelpText(
    "after",
    `
firestore is Google's emulator, which must be installed, or named by FIRESTORE_EMULATOR_HOST.

Examples:
  npm run soak                                       five minutes on SQLite
  npm run soak -- --minutes 60 --store firestore     an hour on Firestore's emulator
  npm run soak -- --seed 7                           the same troubles as the last run with seed 7
  npm run soak -- --minutes 0.5 --tokens 100         to see that it works`,
  )
  // Only a broken promise is a 1.
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
  .parse()
  .opts<Omit<Options, "seed"> & { seed?: string }>();

const folder = mkdtempSync(path.join(tmpdir(), "soak-"));
let keepFolder = false;
// A bug of the soak itself is no broken promise.
process.once("uncaughtException", (error) => {
  console.error(error);
  process.exit(2);
});
process.on("exit", () => {
  if (!keepFolder) rmSync(folder, { recursive: true, force: true });
});

const ending = new AbortController();
let first: number | undefined;
const end = () => {
  // npm passes on the Ctrl-C that the terminal has sent already.
  if (first !== undefined && Date.now() - first > 1000) process.exit(130);
  first ??= Date.now();
  ending.abort();
};
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, end);

const { seed = String(Date.now() % 1_000_000), ...rest } = options;
const progress = openProgress(process.stderr);
progress.say(`--seed ${seed}`);
try {
  const outcome = await soak({ ...rest, seed, folder }, progress, ending.signal);
  const code = outcome.tally.exitCode();
  console.log(await summaryOf(outcome));
  keepFolder = code !== 0;
  if (keepFolder) console.log(`The logs are in ${folder}`);
  process.exit(code === 0 && ending.signal.aborted ? 130 : code);
} catch (error) {
  progress.stop();
  // Ctrl-C before the first read: there is nothing to tell.
  if (ending.signal.aborted) process.exit(130);
  console.error(error);
  keepFolder = true;
  console.error(`The logs are in ${folder}`);
  process.exit(2);
}
