import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fieldsOf, type RawFields } from "../../functions/core/document.ts";
import { MINUTE, SECOND } from "../../functions/core/time.ts";
import { durationText } from "../commands/durations.ts";
import { broken, type Check, type Finding, skipped, warning, well } from "./check.ts";
import type { Patient } from "./patient.ts";

/** Google's side of a deployment: who works here, the database and its rules, the clock. */

const RULES = join(import.meta.dirname, "../../firebase.rules");
const DEPLOY = "npm run deploy";

/** From here on times that are shown are wrong enough to mislead; beyond the second, Google refuses signatures. */
const SKEW = { noticed: 5 * SECOND, bad: MINUTE };

/** `undefined`: it is a project's. */
export function elsewhere({ kind }: Patient): Finding | undefined {
  if (kind === "project") return undefined;
  return skipped(kind === "machine" ? "not on this machine" : "not with the emulator");
}

export const credentials: Check = {
  id: "credentials",
  title: "Google credentials",
  async run(patient) {
    const no = elsewhere(patient);
    if (no !== undefined) return no;
    await patient.google();
    return well("Google takes them");
  },
};

export const database: Check = {
  id: "database",
  title: "database",
  needs: ["credentials"],
  async run({ documents, deployment }) {
    await (await documents()).read("status", "sweeps");
    return well(`${deployment.where} can be read`);
  },
};

export const rules: Check = {
  id: "rules",
  title: "security rules",
  needs: ["credentials"],
  async run(patient) {
    const no = elsewhere(patient);
    if (no !== undefined) return no;
    const { database: name, project } = patient;
    const release = name === "(default)" ? "cloud.firestore" : `cloud.firestore/${name}`;
    const google = await patient.google();
    const found = await google.get("firebaserules", `projects/${project}/releases/${release}`);
    if (typeof found?.rulesetName !== "string")
      return broken(
        `none are released for database "${name}": whoever has its address may try to read it`,
        DEPLOY,
      );
    const ruleset = await google.get("firebaserules", found.rulesetName);
    if (ruleset !== undefined && plain(textIn(ruleset)) === plain(readFileSync(RULES, "utf8")))
      return well("those of firebase.rules are released: no client may read anything");
    return broken("what is released is not firebase.rules", DEPLOY);
  },
};

function textIn({ source }: RawFields): string {
  const { files } = fieldsOf(source);
  const texts = Array.isArray(files) ? files.map((file) => fieldsOf(file).content) : [];
  return texts.join("\n");
}

/** Remarks and layout mean nothing to whoever enforces them. */
const plain = (text: string) =>
  text
    .replace(/\/\/.*$/gm, "")
    .replace(/\s+/g, " ")
    .trim();

export const clock: Check = {
  id: "clock",
  title: "clock",
  needs: ["credentials"],
  async run(patient) {
    const no = elsewhere(patient);
    if (no !== undefined) return no;
    const ahead = await (await patient.google()).clockAhead();
    const off = Math.abs(ahead);
    if (off <= SKEW.noticed) return well("this machine's agrees with Google's");
    const says = `this machine's is ${durationText(off)} ${ahead > 0 ? "behind" : "ahead of"} Google's: let the system set it by the network`;
    return off <= SKEW.bad ? warning(says) : broken(says);
  },
};
