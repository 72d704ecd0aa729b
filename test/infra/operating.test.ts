import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { jsonLog } from "../../functions/adapters/log.ts";
import { type Details, EVENTS, type Event } from "../../functions/core/log.ts";
import { alertsFor } from "../../infra/alerts.ts";
import { CHECKS } from "../../local/doctor/checks.ts";
import { attemptEntry, requestEntry, writtenEntry } from "../support/log-entry.ts";
import { type Entry, matches } from "../support/logging-query.ts";
import { tokensProgram } from "../support/program.ts";

/** The commands, alerts and pages in docs/operating.md exist, and its queries match what they promise. */

const ROOT = path.resolve(import.meta.dirname, "../..");
const PAGE = readFileSync(path.join(ROOT, "docs/operating.md"), "utf8");
const fences = (kind: string) =>
  [...PAGE.matchAll(new RegExp(`^\`\`\`${kind}\n([\\s\\S]*?)^\`\`\``, "gm"))].map(([, text = ""]) =>
    text.trim(),
  );

test.each(alertsFor("tokens"))(
  "docs/operating.md has the alert '$title', with a first step",
  ({ id, title }) => {
    const [row = ""] = PAGE.split("\n").filter((line) => line.startsWith(`| ${title} | \`${id}\` |`));
    expect(row.split("|")).toHaveLength(6);
    expect(row).toMatch(/`npm run tokens -- [^`]+` \|$|the query for/);
  },
);

test("docs/operating.md has no other alerts, and the order of infra/alerts.ts", () => {
  const [, table = ""] = PAGE.split("## Each alert");
  const ids = [...(table.split("\n## ")[0] ?? "").matchAll(/^\| [^|]+ \| `([^`]+)` \|/gm)].map(
    ([, id]) => id,
  );
  expect(ids).toEqual(alertsFor("tokens").map(({ id }) => id));
});

test("every npm run tokens line in docs/operating.md parses", async () => {
  const parse = await tokensProgram();
  const text = PAGE.replace(/\n {2,}/g, " ");
  const inline = [...text.matchAll(/`npm run tokens -- ([^`]+)`/g)].map(([, line = ""]) => line);
  const pasted = fences("sh").flatMap((block) =>
    [...block.matchAll(/^npm run tokens -- (.+)$/gm)].map(([, line = ""]) => line.replace(/ +#.*$/, "")),
  );
  expect(inline.length + pasted.length).toBeGreaterThan(20);
  for (const line of [...inline, ...pasted]) await parse(line);
});

test("every page that docs/operating.md links to exists", () => {
  const pages = [...PAGE.matchAll(/\]\(([\w-]+\.md)(#[\w-]+)?\)/g)].map(([, page = ""]) => page);
  expect(pages.length).toBeGreaterThan(0);
  for (const page of pages) expect(existsSync(path.join(ROOT, "docs", page)), page).toBe(true);
});

test("docs/operating.md has doctor's checks, in their order", () => {
  const [, table = ""] = PAGE.split("| check | well |");
  const titles = [...(table.split("\n\n")[0] ?? "").matchAll(/^\| ([^|]+?) \|/gm)].map(([, title]) => title);
  const wanted = CHECKS.map(({ title }) => title).filter((title) => !title.endsWith("is scheduled"));
  expect(titles.filter((title) => title !== "sweep, census scheduled")).toEqual(wanted);
  expect(titles).toContain("sweep, census scheduled");
});

/** A line of each event, by the functions' own log. */
const DETAILS: Partial<Record<Event, Details>> = {
  "refresh.done": { token: "sales", lifetime: 43_199 },
  "refresh.failed": { token: "sales", code: "timeout", permanent: false, count: 1 },
  "sweep.done": {
    due: 2,
    refreshed: 2,
    failed: 0,
    deferred: 0,
    remaining: 0,
    overdueSeconds: 3,
    elapsedMs: 5,
  },
  "request.refused": { code: "not_found", token: "missing", reference: "0123456789abcdef0123456789abcdef" },
  "request.unauthorized": { code: "wrong_passphrase", token: "sales", caller: "192.0.2.1" },
};
const SERVICES = { setup: "token-setup", request: "token-lookup", lookup: "token-lookup" } as Record<
  string,
  string
>;

function written(event: Event): Entry {
  let text = "";
  const log = jsonLog((line) => {
    text += line;
  });
  log(event, DETAILS[event] ?? {});
  return writtenEntry(SERVICES[event.split(".")[0] ?? ""] ?? "token-refresher", text.trim());
}

const ENTRIES: Entry[] = [
  ...(Object.keys(EVENTS) as Event[]).map(written),
  writtenEntry(
    "token-refresher",
    '{"severity":"INFO","event":"sweep.done","refreshed":0,"failed":0,"remaining":0}',
  ),
  writtenEntry("token-lookup", "Deprecation warning: made up"),
  requestEntry("token-lookup", { url: "https://x.example/?name=sales", status: 503 }),
  requestEntry("token-lookup", { url: "https://x.example/?name=sales" }),
  attemptEntry("tokens-schedule-sweep"),
  attemptEntry("tokens-schedule-sweep", "PERMISSION_DENIED"),
  attemptEntry("another-sweep", "INTERNAL"),
];

describe("a query in docs/operating.md", () => {
  const QUERIES = fences("logging");

  /** What each query matches, in the order of the page: events, or the status of a request or an attempt. */
  const FOUND: readonly (readonly string[])[] = [
    (Object.keys(EVENTS) as Event[]).filter((event) => !["INFO", "NOTICE"].includes(EVENTS[event])),
    ["refresh.done", "refresh.failed", "request.unauthorized"],
    ["request.refused"],
    ["sweep.done"],
    ["refresh.failed", "refresh.refused", "refresh.unsaved"],
    ["request.unauthorized"],
    ["token.mistyped"],
    ["seal.keys_unreadable", "passphrase.unreadable", "service.stopped", "bug"],
    ["PERMISSION_DENIED"],
    ["503"],
  ];

  const nameOf = (entry: Entry) => {
    const { jsonPayload, httpRequest } = entry as Record<string, Record<string, unknown> | undefined>;
    return String(jsonPayload?.event ?? jsonPayload?.status ?? httpRequest?.status);
  };

  test("is tested here, each of them", () => {
    expect(QUERIES).toHaveLength(FOUND.length);
  });

  test.each(QUERIES.map((query, index) => ({ query, wanted: FOUND[index] ?? [] })))(
    "matches what it promises, and nothing else: $query",
    ({ query, wanted }) => {
      const found = ENTRIES.filter((entry) => matches(query, entry)).map(nameOf);
      expect(found.sort()).toEqual([...wanted].sort());
    },
  );
});

test("docs/operating.md explains every event, and no other", () => {
  const [, table = ""] = PAGE.split("### Every event");
  const events = [...table.matchAll(/^\| `([\w.]+)` \|/gm)].map(([, event]) => event);
  expect(events.filter((event) => event !== "jsonPayload.event").sort()).toEqual(Object.keys(EVENTS).sort());
});
