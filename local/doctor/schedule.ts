import { asNumber } from "../../functions/core/document.ts";
import { MINUTE } from "../../functions/core/time.ts";
import { durationText, fromNow } from "../commands/durations.ts";
import { resultText } from "../commands/schedule-words.ts";
import type { Kind, ScheduledJob } from "../google/scheduler-jobs.ts";
import { elsewhere } from "./access.ts";
import { broken, type Check, type Finding, skipped, warning, well } from "./check.ts";

/** Since the last sweep. The alert comes with the second one (infra/alerts.ts). */
const SILENCE = { noticed: 3 * MINUTE, bad: 15 * MINUTE };

const jobCheck = (kind: Kind): Check => ({
  id: `${kind}-job`,
  title: `${kind} is scheduled`,
  needs: ["credentials"],
  async run(patient) {
    const no = elsewhere(patient);
    if (no !== undefined) return no;
    const job = (await patient.jobs()).find((each) => each.kind === kind);
    if (job === undefined) return broken("there is no such job", "npm run deploy");
    return jobFinding(job, patient.now());
  },
});

export const sweepJob = jobCheck("sweep");
export const censusJob = jobCheck("census");

function jobFinding(job: ScheduledJob, now: number): Finding {
  const { kind, state, result, attemptedAt, id } = job;
  if (state === "paused") return broken(`${id} is paused`, `npm run tokens -- schedule resume ${kind}`);
  if (state !== "enabled") return broken(`${id} is ${state}`, "npm run deploy");
  if (attemptedAt === undefined)
    return warning(`${id} has not run yet`, `npm run tokens -- schedule run ${kind}`);
  const when = fromNow(attemptedAt, now);
  if (result === undefined) return well(`${id} is under way`);
  if (result === 0) return well(`${id}, last ${when}: well`);
  return broken(`${id}, last ${when}: ${resultText(job)}`, `npm run tokens -- schedule run ${kind}`);
}

export const lastSweep: Check = {
  id: "last-sweep",
  title: "last sweep",
  needs: ["database"],
  async run({ kind, documents, deployment, now }) {
    if (kind !== "project" && deployment.service === undefined)
      return skipped("npm start does not run on these tokens");
    const remedy = kind === "project" ? "npm run tokens -- schedule status" : undefined;
    const snapshot = await (await documents()).read("status", "sweeps");
    const last = asNumber(snapshot?.fields.last);
    if (last === undefined) return broken("there was none yet", remedy);
    // By the store's clock: this machine's may be wrong.
    const ago = Math.max(0, (snapshot?.readAt ?? now()) - last);
    const says = `${durationText(ago)} ago`;
    if (ago > SILENCE.bad) return broken(says, remedy);
    return ago > SILENCE.noticed ? warning(says, remedy) : well(says);
  },
};
