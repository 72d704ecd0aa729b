import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import { freePort } from "../../test/support/processes.ts";
import type { Overlap } from "./judge.ts";

/** Stands before the authority, passes everything on, and keeps the record of it. */
export interface Witness {
  /** What `WEBEX_URL` is set to. */
  url: string;
  /** Requests for a refresh, by token. */
  requests: ReadonlyMap<string, number>;
  /** How they ended: a status, or "no answer". */
  answers: ReadonlyMap<string, number>;
  close(): Promise<void>;
}

/** A request that repeats one without an answer comes this soon after it, in ms. */
const AGAIN = 1500;
/** Within this everything is heard of that had happened before, in ms. */
const MOMENT = 300;

/** `onOverlap`: a second request for a token while one was open, each open until its connection ends. */
export async function startWitness(
  authority: string,
  onOverlap: (overlap: Overlap) => void,
): Promise<Witness> {
  const requests = new Map<string, number>();
  const answers = new Map<string, number>();
  const begin = watchEach(onOverlap);
  const server = createServer(async (near, answer) => {
    const body = await text(near).catch(() => undefined);
    // Who has gone again has asked nothing.
    if (body === undefined || near.socket.destroyed) return;
    const name = new URLSearchParams(body).get("client_id") ?? "no client";
    addOne(requests, name);
    const end = begin(name);
    answer.once("close", () => {
      const status = answer.writableFinished ? String(answer.statusCode) : "no answer";
      addOne(answers, status);
      end(answer.writableFinished);
    });
    passOn(authority, near, body, answer);
  });
  // A connection that this side ends while it is being used again would be a fault that nobody planned.
  server.keepAliveTimeout = 600_000;
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${port}/v1`,
    requests,
    answers,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

/** One request for a token while it is open. */
interface Open {
  /** ms: when it began, or the first of a row that repeat each other. */
  since: number;
  /** How it ended. Absent: it has not. */
  ended?: "answered" | "unanswered";
}

/** What is remembered of a token's requests. */
interface Course {
  open: Set<Open>;
  /** The last one that ended without an answer, and when (ms). */
  lost: { since: number; at: number } | undefined;
}

function watchEach(onOverlap: (overlap: Overlap) => void) {
  const courses = new Map<string, Course>();
  return (name: string) => {
    const at = Date.now();
    const course: Course = courses.get(name) ?? { open: new Set(), lost: undefined };
    courses.set(name, course);
    for (const other of course.open)
      setTimeout(() => {
        // Its asker had gone before: this process, being late, heard of the new one first.
        if (other.ended !== "unanswered") onOverlap({ name, at, since: other.since });
      }, MOMENT);
    const { lost } = course;
    const own: Open = { since: lost !== undefined && at - lost.at < AGAIN ? lost.since : at };
    course.open.add(own);
    return (answered: boolean) => {
      course.open.delete(own);
      own.ended = answered ? "answered" : "unanswered";
      course.lost = answered ? undefined : { since: own.since, at: Date.now() };
    };
  };
}

/** What the authority does, its silence included, is done to whoever asked. */
function passOn(authority: string, near: IncomingMessage, body: string, answer: ServerResponse): void {
  const { method, url = "/", headers } = near;
  const far = request(`${authority}${url}`, {
    agent: false,
    method,
    headers: { "content-type": headers["content-type"], "content-length": Buffer.byteLength(body) },
  });
  const cut = () => answer.destroy();
  far.once("error", cut).once("response", async (reply) => {
    const content = await text(reply).catch(cut);
    if (typeof content !== "string") return;
    for (const name of ["content-type", "retry-after", "location"] as const) {
      const value = reply.headers[name];
      if (value !== undefined) answer.setHeader(name, value);
    }
    answer.statusCode = reply.statusCode ?? 502;
    answer.end(content);
  });
  answer.once("close", () => far.destroy());
  far.end(body);
}

const addOne = (counts: Map<string, number>, of: string) => counts.set(of, (counts.get(of) ?? 0) + 1);
