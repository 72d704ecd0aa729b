import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../test/support/processes.ts";
import { CONTESTANTS, liveEnvironment, NAMES, TARGET } from "./contestants.ts";
import type { Context, Measurement, Report } from "./context.ts";
import { type FunctionName, frameworkArgs, PASSPHRASE } from "./deployed.ts";
import { digits, median, spread } from "./numbers.ts";
import { bars } from "./plots.ts";
import { launch } from "./processes.ts";
import { startPromptStore } from "./prompt-store.ts";

const GIVE_UP = 20_000;

export const startup: Measurement = { title: "Process start to first answer", run };

interface Subject {
  name: string;
  function: FunctionName;
  env: Record<string, string>;
  took: number[];
}

/** Says how much of lookup's time is the emulator's. */
const PROMPT = "lookup, prompt store";

async function run(context: Context): Promise<Report> {
  const env = await liveEnvironment(context);
  const prompt = await startPromptStore(env, "sales");
  const subjects: Subject[] = [
    ...NAMES.map((name) => ({ name, function: CONTESTANTS[name], env, took: [] })),
    { name: PROMPT, function: "lookup", env: prompt.env, took: [] },
  ];
  const rounds = context.quick ? 3 : 9;
  // The round before the first warms the emulator and the disk cache, and does not count.
  for (let round = 0; round <= rounds; round++) {
    if (round > 0) context.say(`round ${round} of ${rounds}`);
    for (const subject of subjects) {
      const ms = await firstAnswer(subject, context);
      if (round > 0) subject.took.push(ms);
    }
  }
  prompt.stop();
  return report(subjects, rounds);
}

/** ms from spawning the process to its first 200. */
async function firstAnswer(subject: Subject, { folder }: Context): Promise<number> {
  const port = await freePort();
  const child = launch(frameworkArgs(folder, subject.function, port), subject.env, folder);
  try {
    while (!(await answers200(port))) {
      if (child.isOver() || performance.now() > child.began + GIVE_UP)
        throw new Error(`${subject.name} did not answer:\n${child.written()}`);
      await sleep(1);
    }
    return performance.now() - child.began;
  } finally {
    await child.stop();
  }
}

/** One try: a connection and, where it is accepted, one request on it. */
function answers200(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    const over = (good: boolean) => {
      resolve(good);
      socket.destroy();
    };
    socket.once("connect", () =>
      socket.write(`GET ${TARGET} HTTP/1.1\r\nHost: localhost\r\nx-token-passphrase: ${PASSPHRASE}\r\n\r\n`),
    );
    socket.once("data", (chunk) => over(chunk.toString("latin1").startsWith("HTTP/1.1 200 ")));
    socket.once("error", () => over(false)).once("close", () => over(false));
  });
}

function report(subjects: Subject[], rounds: number): Report {
  const ms = (name: string) => median(subjects.find((subject) => subject.name === name)?.took ?? []);
  const floor = ms("hello-world");
  const ratio = ms("lookup") / floor;
  return {
    goals: [
      {
        what: "first 200, lookup ÷ hello-world",
        goal: "≤ 1.20",
        measured: `${digits(ratio)} (${digits(ms("lookup"))} ÷ ${digits(floor)} ms); ${digits(ms(PROMPT) / floor)} where the store answers at once`,
        met: ratio <= 1.2,
      },
    ],
    method:
      `From spawning \`node\` with the Functions Framework to the first 200 on a raw socket, tried every millisecond; median of ${rounds} starts, all taking turns. ` +
      "lookup reads a live token from Google's Firestore emulator over plain HTTP: Firestore itself adds a TLS handshake and a token from the metadata server. " +
      '"Prompt store" is the same lookup on a server that gives the same answer at once: the difference is the emulator\'s own time for a first read.',
    tables: [
      {
        head: ["function", "median ms", "least–most", "÷ hello-world"],
        rows: subjects.map(({ name, took }) => [
          name,
          digits(median(took)),
          spread(took),
          digits(median(took) / floor),
        ]),
      },
    ],
    plots: [
      {
        file: "startup",
        title: "Process start to first answer",
        svg: bars(
          "ms to the first 200",
          subjects.map(({ name }) => name),
          [{ name: "median", values: subjects.map(({ took }) => median(took)) }],
        ),
      },
    ],
  };
}
