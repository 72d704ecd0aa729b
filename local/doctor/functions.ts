import { fieldsOf } from "../../functions/core/document.ts";
import { elsewhere } from "./access.ts";
import { broken, type Check, type Finding, skipped, warning, well } from "./check.ts";
import { type DeployedFunction, ROLES, type Role } from "./deployed-functions.ts";
import type { Patient } from "./patient.ts";
import { type Answer, probe } from "./probe.ts";

const DEPLOY = "npm run deploy";

export const functions: Check = {
  id: "functions",
  title: "functions",
  needs: ["credentials"],
  // Three may start from cold.
  limit: 60_000,
  async run(patient) {
    if (patient.kind !== "project") return ofService(patient);
    const all = await patient.functions();
    const missing = ROLES.filter((role) => !all.some((each) => each.role === role));
    if (missing.length > 0) return broken(`not deployed: ${missing.join(", ")}`, DEPLOY);
    const findings = await Promise.all(all.map((each) => reached(each, patient)));
    const worst =
      findings.find(({ verdict }) => verdict === "broken") ??
      findings.find(({ verdict }) => verdict === "warning");
    return worst ?? well(`${all.map(({ name }) => name).join(", ")} answer`);
  },
};

async function ofService({ deployment, signal }: Patient): Promise<Finding> {
  const { service } = deployment;
  if (service === undefined) return skipped("npm start does not run on these tokens");
  const answer = await probe(`${service.url}/health`, {}, signal);
  if (answer?.status === 200) return well(`npm start answers at ${service.url}`);
  return broken(`npm start does not answer at ${service.url}: end it, and start it again`, "npm start");
}

async function reached(each: DeployedFunction, patient: Patient): Promise<Finding> {
  const { name, role, state, url, region } = each;
  if (state !== "ACTIVE")
    return broken(`${name} is ${state}: its last deployment failed, or is under way`, DEPLOY);
  const headers = role === "refresher" ? await patient.identity(url) : {};
  const answer = await probe(`${url}/health`, headers, patient.signal);
  if (answer === undefined) return broken(`${name} does not answer`, DEPLOY);
  if (isWell(role, answer)) return well(`${name} answers`);
  const { status } = answer;
  if (status !== 401 && status !== 403)
    return broken(`${name} answers /health with ${status}: its log says why`, DEPLOY);
  if (role === "refresher")
    return warning(
      `${name} does not let you in (${status}): whether it works is not known; the last sweep tells`,
    );
  return broken(
    `${name} lets nobody in (${status})`,
    `gcloud run services update ${idOf(each)} --region ${region} --project ${patient.project} --no-invoker-iam-check`,
  );
}

/** Only lookup has /health; the others tell in their own words that they have not. */
const isWell = (role: Role, { status, said }: Answer) =>
  role === "lookup" ? status === 200 : said !== undefined;

const EVERYBODY = ["allUsers", "allAuthenticatedUsers"];

export const privacy: Check = {
  id: "refresher-private",
  title: "refresher is private",
  needs: ["functions"],
  async run(patient) {
    const no = elsewhere(patient);
    if (no !== undefined) return no;
    const refresher = (await patient.functions()).find(({ role }) => role === "refresher");
    if (refresher === undefined) return broken("it is not deployed", DEPLOY);
    const { service, region, name, url } = refresher;
    const where = `${idOf(refresher)} --region ${region} --project ${patient.project}`;
    const google = await patient.google();
    const [settings, policy, answer] = await Promise.all([
      google.get("run", service),
      google.get("run", `${service}:getIamPolicy`),
      probe(`${url}/health`, {}, patient.signal),
    ]);
    if (settings?.invokerIamDisabled === true)
      return broken(
        `${name} does not ask IAM who calls it`,
        `gcloud run services update ${where} --invoker-iam-check`,
      );
    const open = openTo(policy?.bindings);
    if (open !== undefined)
      return broken(
        `${name} may be called by ${open.member}`,
        `gcloud run services remove-iam-policy-binding ${where} --member=${open.member} --role=${open.role}`,
      );
    if (settings === undefined || policy === undefined)
      return broken(`Cloud Run knows no service of ${name}`, DEPLOY);
    if (answer === undefined) return warning(`${name} did not answer to a stranger at all`);
    if (answer.status === 401 || answer.status === 403) return well("a stranger is turned away by IAM");
    return broken(
      `${name} answers a stranger (${answer.status}): does the project, or a group of everybody, have "Cloud Run Invoker"?`,
    );
  },
};

function openTo(bindings: unknown): { role: string; member: string } | undefined {
  for (const binding of Array.isArray(bindings) ? bindings : []) {
    const { role, members } = fieldsOf(binding);
    const member = EVERYBODY.find((each) => Array.isArray(members) && members.includes(each));
    if (member !== undefined) return { role: String(role), member };
  }
  return undefined;
}

const idOf = ({ service }: DeployedFunction) => service.split("/").at(-1) ?? "";
