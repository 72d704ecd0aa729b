import type { EndpointAnswer } from "../../functions/core/grant.ts";
import type { Conduct } from "./authority.ts";

/** How a call to the store can go. */
export const STORE_FAULTS = [
  /** Refused at once: nothing is done. */
  "down",
  /** No answer: nothing is done. */
  "hangs",
  /** An answer after a second or more, or too late. */
  "slow",
  /** Done, and reported as failed. */
  "lost",
  /** Done only after it was reported as failed. */
  "late",
] as const;
export type StoreFault = (typeof STORE_FAULTS)[number];

/** How a request to Webex can go. */
interface Course {
  /** ms until Webex sees it; absent: as quick as usual. */
  there?: number;
  /** ms until its answer is here; absent: as quick as usual. */
  back?: number;
  /** Said in place of what Webex would say; it never comes to be asked. */
  instead?: EndpointAnswer;
  /** What Webex says is lost on its way: the connection is dropped. */
  lost?: boolean;
  conduct?: Conduct;
}

const NEVER = 60_000;
const page = (status: number) => ({ status, body: "<html><body>Just a moment</body></html>" });
const pause = (retryAfter?: string): Course => ({
  instead: { status: 429, body: "{}", ...(retryAfter !== undefined && { retryAfter }) },
});

export const WEBEX_FAULTS = {
  down: { instead: { error: "network" } },
  hangs: { there: NEVER },
  slow: { back: 5000 },
  "slow to process": { there: 6000 },
  late: { back: NEVER },
  "processed too late": { there: 12_000 },
  lost: { lost: true },
  "429": pause(),
  "429 of 7 s": pause("7"),
  "429 of 10 min": pause("600"),
  "429 of a template": pause("rand(30),add(30)"),
  "page 200": { instead: page(200) },
  "page 403": { instead: page(403) },
  "500": { instead: { status: 500, body: '{"message":"no"}' } },
  "503 of 2 min": { instead: { status: 503, body: "", retryAfter: "120" } },
  refused: { instead: { status: 400, body: '{"error":"invalid_request","error_description":"no"}' } },
  unauthorized: { instead: { status: 401, body: '{"message":"no","errors":[],"trackingId":"t"}' } },
  "same token": { conduct: "same" },
  rotates: { conduct: "rotate" },
  "rotates, lost": { conduct: "rotate", lost: true },
  omits: { conduct: "omit" },
} satisfies Record<string, Course>;
export type WebexFault = keyof typeof WEBEX_FAULTS;

/** A fault that meets the next `left` calls. */
interface Pending<Fault> {
  fault: Fault;
  left: number;
}

export interface Faults {
  reads: Pending<StoreFault> | undefined;
  writes: Pending<StoreFault> | undefined;
  webex: Pending<WebexFault> | undefined;
  /** What lookups meet where they ask a refresher. */
  refresher: "well" | "down" | "hangs";
}

export const noFaults = (): Faults => ({
  reads: undefined,
  writes: undefined,
  webex: undefined,
  refresher: "well",
});

/** The fault that this call meets. */
export function take<Fault>(pending: Pending<Fault> | undefined): Fault | undefined {
  if (pending === undefined || pending.left <= 0) return undefined;
  pending.left--;
  return pending.fault;
}

export const courseOf = (fault: WebexFault | undefined): Course =>
  fault === undefined ? {} : WEBEX_FAULTS[fault];
