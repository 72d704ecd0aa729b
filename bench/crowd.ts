import { Agent, request } from "node:http";
import path from "node:path";
import { startAuthority } from "./authority.ts";
import type { Context, Measurement, Report } from "./context.ts";
import { environment, HEADERS, startFunction } from "./deployed.ts";
import { digits, quantile } from "./numbers.ts";
import { bars } from "./plots.ts";
import { dueToken, firestorePlace, liveToken, type Place, sqlitePlace } from "./stores.ts";

const READERS = 500;
const LOOKUPS = 4;
const LATENCY = 100;

export const crowd: Measurement = { title: "A crowd at the threshold", run };

interface Crowd {
  store: string;
  /** Requests for a refresh that reached the authority. */
  asked: number;
  good: number;
  /** Answers with the new token. */
  renewed: number;
  p50: number;
  most: number;
}

async function run(context: Context): Promise<Report> {
  const rounds = context.quick ? 1 : 5;
  const crowds: Crowd[] = [];
  for (let round = 1; round <= rounds; round++) {
    const tokens = { other: liveToken("other"), sales: dueToken("sales") };
    context.say(`round ${round} of ${rounds}, SQLite`);
    const sqlite = await sqlitePlace(path.join(context.folder, `crowd-${round}.db`), tokens);
    crowds.push(await gather("SQLite", sqlite, context));
    context.say(`round ${round} of ${rounds}, Firestore's emulator`);
    crowds.push(
      await gather("Firestore emulator", await firestorePlace(await context.emulator(), tokens), context),
    );
  }
  return report(crowds, rounds);
}

async function gather(store: string, place: Place, { folder }: Context): Promise<Crowd> {
  const authority = await startAuthority(LATENCY, folder);
  const refresher = await startFunction(
    folder,
    "refresher",
    environment({ ...place.env, WEBEX_URL: authority.url }),
  );
  const env = environment(place.env, refresher.url);
  const lookups = await Promise.all(
    Array.from({ length: LOOKUPS }, () => startFunction(folder, "lookup", env)),
  );
  const agent = new Agent({ keepAlive: true, maxSockets: READERS });
  // Each lookup has answered once, for another token.
  for (const { url } of lookups) await read(`${url}/?name=other`, agent);
  const readers = Array.from({ length: READERS }, (_, reader) =>
    read(`${lookups[reader % LOOKUPS]?.url}/?name=sales`, agent),
  );
  const answers = await Promise.all(readers);
  agent.destroy();
  const asked = await authority.asked();
  await Promise.all([...lookups, refresher, authority].map((server) => server.stop()));
  const took = answers.map((answer) => answer.took).sort((a, b) => a - b);
  return {
    store,
    asked,
    good: answers.filter(({ status, body }) => status === 200 && body.includes('"token":"')).length,
    renewed: answers.filter(({ body }) => body.includes('"token":"new-')).length,
    p50: quantile(took, 0.5),
    most: quantile(took, 1),
  };
}

/** One GET with the passphrase; `took` in ms. A connection that breaks is status 0. */
function read(url: string, agent: Agent): Promise<{ status: number; body: string; took: number }> {
  const began = performance.now();
  return new Promise((resolve) => {
    const end = (status: number, body: string) => resolve({ status, body, took: performance.now() - began });
    request(url, { agent, headers: HEADERS }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        body += chunk;
      });
      response.once("end", () => end(response.statusCode ?? 0, body)).once("error", () => end(0, ""));
    })
      .once("error", () => end(0, ""))
      .end();
  });
}

function report(crowds: Crowd[], rounds: number): Report {
  const asked = Math.max(...crowds.map((crowd) => crowd.asked));
  const good = Math.min(...crowds.map((crowd) => crowd.good));
  return {
    goals: [
      {
        what: `requests to Webex for ${READERS} concurrent readers of one token`,
        goal: "1, every answer 200",
        measured: `${asked} at most in ${crowds.length} crowds; ${good} of ${READERS} answered 200 at least`,
        met: crowds.every((crowd) => crowd.asked === 1 && crowd.good === READERS),
      },
    ],
    method: `${READERS} requests sent at once over ${LOOKUPS} lookup processes, one refresher and an authority that takes ${LATENCY} ms; the token has an hour left and is due, no lookup has read it before. ${rounds} crowds on each store. Requests are counted by the authority.`,
    tables: [
      {
        head: ["store", "requests to Webex", "answers 200", "with the new token", "p50 ms", "slowest ms"],
        rows: crowds.map(({ store, p50, most, ...counts }) => [
          store,
          String(counts.asked),
          String(counts.good),
          String(counts.renewed),
          digits(p50),
          digits(most),
        ]),
      },
    ],
    plots: [
      {
        file: "crowd",
        title: "A crowd at the threshold",
        svg: bars(
          "count (logarithmic)",
          crowds.slice(0, 2).map(({ store }) => store),
          [
            { name: "readers", values: [READERS, READERS] },
            { name: "requests to Webex", values: crowds.slice(0, 2).map((crowd) => crowd.asked) },
          ],
          "log",
        ),
      },
    ],
  };
}
