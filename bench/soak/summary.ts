import { columns, table } from "../../local/commands/table.ts";
import { median } from "../numbers.ts";
import type { Group } from "./figures.ts";
import type { Planned } from "./schedule.ts";
import type { Tally } from "./tally.ts";
import type { Used } from "./usage.ts";

/** All that a run has to tell. */
export interface Outcome {
  title: string;
  /** What went wrong by plan. */
  troubles: Planned[];
  groups: Group[];
  /** Reads that were not sent, because too many were under way. */
  skipped: number;
  tally: Tally;
  /** Requests to the authority by token, every token named; and how they ended. */
  requests: readonly number[];
  answers: ReadonlyMap<string, number>;
  sweeps: { good: number; failed: number };
  events: ReadonlyMap<string, number>;
  used: Used[];
  /** ms by which the reading process itself was late. */
  late: { lost: number; worst: number };
  /** Promises that a run which was ended early could not see to. */
  unjudged: readonly string[];
}

/** The summary, as text. */
export async function summaryOf(outcome: Outcome): Promise<string> {
  const { tally, requests, groups, used } = outcome;
  const total = requests.reduce((sum, count) => sum + count, 0);
  const counts = (map: ReadonlyMap<string, number>) =>
    [...map].map(([what, count]) => `${what} ${whole(count)}`).join(", ") || "none";
  return [
    outcome.title,
    "",
    "What went wrong by plan",
    await grid(["", "times", "seconds"], troublesOf(outcome.troubles)),
    "",
    `What was served${outcome.skipped > 0 ? ` (${whole(outcome.skipped)} reads were not sent: too many under way)` : ""}`,
    await grid(
      ["reads while", "reads", "answered 200", "p50 ms", "p99 ms", "slowest ms"],
      groups.map((group) => [
        group.title,
        ...[group.count, group.served, group.p50, group.p99, group.slowest].map(whole),
      ]),
    ),
    "",
    "What failed, and whether that was right",
    await grid(["", "why", "", "times", "while"], failuresOf(tally)),
    "",
    `Requests to Webex  ${whole(total)}, by token ${Math.min(...requests)} to ${Math.max(...requests)}, median ${median(requests)}`,
    `How they ended     ${counts(outcome.answers)}`,
    `Sweeps             ${whole(outcome.sweeps.good)} answered, ${whole(outcome.sweeps.failed)} not`,
    `Logged             ${counts(outcome.events)}`,
    "",
    "What the processes used: memory in MB, resident and held without garbage; processor time and life in s",
    await grid(
      ["process", "resident", "at its end", "held warm", "in the end", "processor", "life"],
      used.map(rowOf),
    ),
    `The reading process was late by ${whole(outcome.late.worst)} ms at worst, ${whole(outcome.late.lost)} ms in all: the busier the machine, the more.`,
    "",
    "Promises",
    await columns(promisesOf(outcome)),
    "",
    ...tally.promises().flatMap(({ title, examples }) => examples.map((example) => `${title}: ${example}`)),
    verdict(tally),
  ].join("\n");
}

function troublesOf(troubles: Planned[]): string[][] {
  const names = [...new Set(troubles.map(({ trouble }) => trouble))].sort();
  return names.map((name) => {
    const own = troubles.filter(({ trouble }) => trouble === name);
    const lasting = own.reduce((sum, { from, until }) => sum + until - from, 0);
    return [name, String(own.length), (lasting / 1000).toFixed(1)];
  });
}

/** The three things that were wrong most often at that time, each with how often. */
const MOST = 3;

function failuresOf(tally: Tally): string[][] {
  return tally.failures().map(({ what, why, right, count, during }) => {
    const most = [...during].sort(([, one], [, other]) => other - one).slice(0, MOST);
    const wrong = most.map(([name, times]) => `${name} ${whole(times)}`).join(", ");
    return [what, why, right ? "right" : "WRONG", whole(count), wrong];
  });
}

function promisesOf({ tally, unjudged }: Outcome): string[][] {
  return tally.promises().map(({ title, broken }) => {
    if (broken > 0) return [title, `BROKEN, ${whole(broken)} times`];
    return [title, unjudged.includes(title) ? "not judged" : "kept"];
  });
}

const verdict = (tally: Tally) =>
  tally.exitCode() === 0 ? "No promise was broken." : "A promise was broken.";

const whole = (value: number) => Math.round(value).toLocaleString("en");
const rowOf = ({ title, resident, settled, end, processor, life }: Used) => [
  title,
  ...[resident?.first, resident?.last].map((value) => value?.toFixed(0) ?? "–"),
  ...[settled, end, processor, life].map((value) => value?.toFixed(1) ?? "–"),
];

const grid = (head: string[], rows: string[][]) => (rows.length === 0 ? "nothing" : table(head, rows));
