import { describe, expect, test } from "vitest";
import { callApi } from "../../local/flows/call-api.ts";
import { exportFlow } from "../../local/flows/export.ts";
import { CONNECTOR, getToken } from "../../local/flows/get-token.ts";
import {
  type Answered,
  type Asked,
  runFlow,
  type Unknowns,
  type World,
} from "../support/flow-interpreter.ts";

/** Both flows against every answer that can come, at every request that they make. */

const flow = exportFlow(callApi);
const subflow = exportFlow(getToken("connector"));

const refusal = (status: number): Answered => ({
  status,
  headers: {},
  body: JSON.stringify({ status: String(status), message: "made up", reference: "r" }),
});
const token = (value: string): Answered => ({
  status: 200,
  headers: {},
  body: JSON.stringify({ status: "200", token: value }),
});
const page: Answered = { status: 200, headers: {}, body: "<html>made up</html>" };
const throttled = (headers: Record<string, string>): Answered => ({ status: 429, headers, body: "" });

type Choice = Answered | undefined;
const LOOKUP = {
  first: [
    token("one"),
    page,
    ...[400, 401, 404, 405, 409, 429, 500, 502, 503].map(refusal),
    { status: 307, headers: {}, body: "" },
    undefined,
  ],
  later: [token("one"), token("two"), page, refusal(409), refusal(503), undefined],
};
const API = {
  untilThrottled: [
    { status: 200, headers: {}, body: '{"displayName":"made up"}' },
    page,
    throttled({ "Retry-After": "7" }),
    throttled({ "retry-after": "3" }),
    throttled({ "Retry-After": "600" }),
    throttled({ "retry-after": "0" }),
    throttled({ "Retry-After": "rand(30),add(30)" }),
    throttled({}),
    ...[204, 401, 403, 404, 500, 503].map(refusal),
    undefined,
  ],
  later: [page, throttled({ "retry-after": "1" }), refusal(401), refusal(500), undefined],
};
const ENDS = ["ApiBusy", "ApiFailed", "ApiRefused", "Done", "NoToken"];
/** What is not known of Flow Designer, and where the flow can end then. */
const CASES: readonly (Unknowns & { ends: string[] })[] = [
  { noAnswer: null, unread: "keeps its value", ends: ENDS },
  { noAnswer: 0, unread: "is emptied", ends: ENDS },
  // A flow that can't read the header that it looks for can't wait either: it fails, and ends.
  {
    noAnswer: 504,
    unread: "fails the parsing",
    ends: ["ApiFailed", "ApiRefused", "Done", "FlowFailed", "NoToken"],
  },
];

interface Seen {
  end: string;
  path: string[];
  lookups: Asked[];
  calls: { asked: Asked; answer: Choice }[];
  /** ms. */
  waits: number[];
}

/** Runs the flow with each sequence of answers that can come; how many there were. */
async function everyRun(unknowns: Unknowns, check: (seen: Seen) => void): Promise<number> {
  const chosen: { index: number; of: number }[] = [];
  for (let runs = 1; ; runs++) {
    let requests = 0;
    const pick = (options: readonly Choice[]) => {
      chosen[requests] ??= { index: 0, of: options.length };
      return options[chosen[requests++]?.index ?? 0];
    };
    const seen: Seen = { end: "", path: [], lookups: [], calls: [], waits: [] };
    const world: World = {
      connectors: {
        [CONNECTOR]: { url: "http://lookup.test", user: "flow", password: "canary-of-the-flow" },
      },
      subflows: { [subflow.name]: subflow },
      unknowns,
      sleep: async (duration) => void seen.waits.push(duration),
      async ask(asked) {
        if (asked.url.startsWith("http://lookup.test/")) {
          seen.lookups.push(asked);
          return pick(seen.lookups.length === 1 ? LOOKUP.first : LOOKUP.later);
        }
        const throttledBefore = seen.calls.some(({ answer }) => answer?.status === 429);
        const answer = pick(throttledBefore ? API.later : API.untilThrottled);
        seen.calls.push({ asked, answer });
        return answer;
      },
    };
    const { end, path } = await runFlow(flow, world);
    check({ ...seen, end, path });
    chosen.length = requests;
    while (chosen.length > 0 && chosen.at(-1)?.index === (chosen.at(-1)?.of ?? 0) - 1) chosen.pop();
    const last = chosen.at(-1);
    if (last === undefined) return runs;
    last.index += 1;
  }
}

describe.each(CASES)(
  "whatever is answered, if no answer has the status $noAnswer, and what can't be read $unread",
  ({ ends: possible, ...unknowns }) => {
    test("the flow ends after three calls at most, and says how", { timeout: 60_000 }, async () => {
      const ends = new Set<string>();
      const runs = await everyRun(unknowns, (seen) => {
        ends.add(seen.end);
        const wrong = Object.entries(PROMISES).filter(([, isKept]) => !isKept(seen));
        // `expect` thousands of times would take its time.
        if (wrong.length > 0) expect.fail(`${wrong.map(([what]) => what)}: ${seen.path.join(" → ")}`);
      });
      expect(runs).toBeGreaterThan(100);
      expect([...ends].toSorted()).toEqual(possible);
    });
  },
);

const times = ({ path }: Seen, name: string) => path.filter((activity) => activity === name).length;
const lastStatus = ({ calls }: Seen) => calls.at(-1)?.answer?.status;
const rejected = (asked: Asked | undefined) => asked?.headers["x-token-rejected"] ?? "absent";

const PROMISES: Record<string, (seen: Seen) => boolean> = {
  "calls the API three times at most": (seen) => times(seen, "CallApi") <= 3,
  "asks for two tokens at most": (seen) => times(seen, "AskToken") <= 2,
  "calls with a token only": ({ calls }) =>
    calls.every(({ asked: { headers } }) => /^Bearer (one|two)$/.test(headers.Authorization ?? "")),
  "names the token that was refused, and none before": ({ lookups, calls }) => {
    const refused = calls.find(({ answer }) => answer?.status === 401)?.asked.headers.Authorization;
    const named = lookups.map(rejected).filter((token) => token !== "");
    return rejected(lookups[0]) === "" && named.every((token) => `Bearer ${token}` === refused);
  },
  "asks again where a token was refused": ({ lookups, calls }) =>
    calls.every(({ answer }) => answer?.status !== 401) || rejected(lookups.at(-1)) !== "",
  "waits once at most, and as told": ({ waits, calls }) =>
    waits.length === 0 || (waits.length === 1 && waits[0] === told(calls)),
  "never waits longer than ten seconds": ({ waits }) => waits.every((wait) => wait <= 10_000),
  "is done where the API was, and nowhere else": (seen) =>
    (seen.end === "Done") === (lastStatus(seen) === 200),
  "says refused of 401 only": (seen) => seen.end !== "ApiRefused" || lastStatus(seen) === 401,
  "says busy of 429 only": (seen) => seen.end !== "ApiBusy" || lastStatus(seen) === 429,
};

/** ms: what the first 429 says, where it says a number; else the flow's own two seconds. */
function told(calls: Seen["calls"]): number {
  const headers = calls.find(({ answer }) => answer?.status === 429)?.answer?.headers ?? {};
  const seconds = Number(headers["Retry-After"] ?? headers["retry-after"]);
  return seconds > 0 ? seconds * 1_000 : 2_000;
}
