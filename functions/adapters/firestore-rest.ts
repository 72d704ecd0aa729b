import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { asNumber, fieldsOf, type RawFields } from "../core/document.ts";
import { type DocumentReader, type Snapshot, StoreUnavailable } from "../core/store.ts";
import { ask, type PlatformAnswer } from "./platform-http.ts";

/** For a first try, and for the whole read, in ms: callers have two seconds, and a dead connection must not eat them. */
const FIRST_TRY = 1000;
const PATIENCE = 2500;
/** A connection that was idle for longer is not trusted to be there still, in ms. */
const IDLE = 30_000;
/** A clock within this of the server's `date` (which has whole seconds) is right, in ms. */
const SAME_CLOCK = 2000;

/** What a reader needs of a token; the rest stays where it is. */
const FIELDS = [
  "clientId",
  "clientSecret",
  "redirectUri",
  "accessToken",
  "refreshToken",
  "accessExpires",
  "refreshExpires",
  "lastRefresh",
  "lifetime",
  "scope",
  "orgId",
  "refreshAt",
  "lease",
  "failure",
  "rejections",
  "passphraseHash",
  "static",
  "serviceApp",
];

export interface RestOptions {
  project: string;
  database: string;
  /** Host and port of the emulator; `undefined`: Firestore itself. */
  emulator: string | undefined;
  /** An access token of this function's own identity. */
  accessToken(): Promise<string>;
  /** This machine's clock, in ms. */
  now(): number;
}

/**
 * Reads single documents over Firestore's REST interface (`documents.get`) on a kept-alive connection. The library
 * that does the same costs four times the start-up time of all the rest of lookup.
 */
export function firestoreReader(options: RestOptions): DocumentReader {
  const { project, database, emulator, now } = options;
  const origin = emulator === undefined ? "https://firestore.googleapis.com" : `http://${emulator}`;
  const root = `${origin}/v1/projects/${project}/databases/${database}/documents`;
  const Agent = emulator === undefined ? HttpsAgent : HttpAgent;
  const agent = new Agent({ keepAlive: true, timeout: IDLE });
  const mask = FIELDS.map((field) => `mask.fieldPaths=${field}`).join("&");
  // "owner" is whom the emulator lets pass its rules.
  const accessToken = emulator === undefined ? options.accessToken : async () => "owner";

  return {
    async read(collection, id) {
      const began = now();
      const url = new URL(`${root}/${collection}/${encodeURIComponent(id)}?${mask}`);
      const get = async (until: number, connection: typeof agent | false) => {
        const headers = { authorization: `Bearer ${await accessToken()}` };
        const patience = Math.max(1, began + until - now());
        return ask(url, { method: "GET", headers, agent: connection, patience });
      };
      const answer = await twice(
        () => get(FIRST_TRY, agent),
        // Where one kept connection is dead, so may be the others: the second try makes its own.
        (dropped) => get(PATIENCE, dropped ? false : agent),
      );
      if (isMissing(answer)) return undefined;
      const { status } = answer;
      if (status !== 200)
        throw new StoreUnavailable(`Firestore answered ${status}`, undefined, isRefusal(status));
      return snapshotOf(answer, id, { began, ended: now() });
    },
  };
}

/** A dropped connection and a server's hiccup are worth one more try, within the same deadline. */
async function twice(
  get: () => Promise<PlatformAnswer>,
  again: (dropped: boolean) => Promise<PlatformAnswer>,
): Promise<PlatformAnswer> {
  const first = await get().catch(() => undefined);
  if (first !== undefined && first.status < 500) return first;
  return again(first === undefined).catch((error: unknown) => {
    const code = (error as { code?: unknown; name?: unknown }).code ?? (error as Error).name;
    throw new StoreUnavailable(`Firestore did not answer (${code})`);
  });
}

/** 429 says that Firestore is busy, whatever is asked for. */
const isRefusal = (status: number) => status >= 400 && status < 500 && status !== 429;

/** The document is missing; not the database, the project, nor an answer of something else in its place. */
function isMissing({ status, body }: PlatformAnswer): boolean {
  if (status !== 404) return false;
  const { message } = fieldsOf(jsonOf(body).error);
  return typeof message === "string" && message.startsWith("Document ");
}

/** When a request was made, by this machine's clock, in ms. */
interface Span {
  began: number;
  ended: number;
}

function snapshotOf({ body, headers }: PlatformAnswer, id: string, span: Span): Snapshot {
  const { fields, updateTime } = jsonOf(body);
  const writtenAt = typeof updateTime === "string" ? asNumber(new Date(updateTime)) : undefined;
  if (typeof updateTime !== "string" || writtenAt === undefined)
    throw new StoreUnavailable("Firestore's answer is no document");
  return {
    id,
    fields: plainFields(fields),
    version: updateTime,
    readAt: serverTime(headers.date, span),
    writtenAt,
  };
}

/** The fields of a JSON object; none where it is something else, or was cut off. */
function jsonOf(body: string): RawFields {
  try {
    return fieldsOf(JSON.parse(body));
  } catch {
    return {};
  }
}

/**
 * The store's clock at the end of the request: ours, which is finer than a header's whole seconds, unless the two
 * plainly differ. Then the latest that it can be, so that no token seems to live longer than it does.
 */
function serverTime(date: string | string[] | undefined, { began, ended }: Span): number {
  const told = Date.parse(String(date));
  const same = told > began - SAME_CLOCK && told < ended + SAME_CLOCK;
  return Number.isNaN(told) || same ? ended : told + 1000 + (ended - began);
}

const plainFields = (fields: unknown): RawFields =>
  Object.fromEntries(Object.entries(fieldsOf(fields)).map(([name, value]) => [name, plain(value)]));

/** One value of Firestore's REST interface: an object whose only key names the type. */
function plain(value: unknown): unknown {
  const [type, content] = Object.entries(fieldsOf(value))[0] ?? [];
  switch (type) {
    case "integerValue":
    case "doubleValue":
      return Number(content);
    case "timestampValue":
      return new Date(String(content));
    case "mapValue":
      return plainFields(fieldsOf(content).fields);
    case "arrayValue": {
      const { values } = fieldsOf(content);
      return Array.isArray(values) ? values.map(plain) : [];
    }
    case "nullValue":
      return null;
    case "stringValue":
    case "booleanValue":
      return content;
    // Bytes, references and places mean nothing here: they stay objects, which no field takes for its own.
    default:
      return value;
  }
}
