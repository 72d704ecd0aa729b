import { randomBytes } from "node:crypto";
import { parsePassphrases } from "../../functions/core/passphrase.ts";
import { parseSealKeys, type SealKeys } from "../../functions/core/seal.ts";
import { CommandError } from "../commands/errors.ts";
import { DEPLOYED } from "../shared-passphrases.ts";
import { broken, type Check, type Finding, skipped, warning, well } from "./check.ts";
import type { Patient } from "./patient.ts";
import { type Answer, probe } from "./probe.ts";

const WEAK = 16;

/** Lookup is asked with the newest one: only where it can read it, and both are the same, it says that a name is unknown. */
export const passphrase: Check = {
  id: "passphrase",
  title: "passphrase",
  needs: ["functions"],
  async run(patient) {
    const found = await placeOf(patient);
    if ("verdict" in found) return found;
    const { where, url } = found;
    const text = await patient.secret(where);
    if (text === undefined) return broken(`there is no ${where}, or it holds nothing`, "npm run deploy");
    const [newest = "", ...older] = passphrasesIn(text, where);
    const name = `doctor-${randomBytes(8).toString("hex")}`;
    const answer = await probe(`${url}/?name=${name}`, { "x-token-passphrase": newest }, patient.signal);
    const judged = judge(answer);
    if (judged !== undefined) return judged;
    if (newest.length < WEAK)
      return warning(
        `lookup takes it, but it has fewer than ${WEAK} letters`,
        "npm run tokens -- passphrase rotate",
      );
    return older.length === 0
      ? well("lookup takes it")
      : well("lookup takes the newest of two: a rotation waits for passphrase rotate --finish");
  },
};

async function placeOf(patient: Patient): Promise<{ where: string; url: string } | Finding> {
  if (patient.kind === "project") {
    const lookup = (await patient.functions()).find(({ role }) => role === "lookup");
    if (lookup === undefined) return broken("lookup is not deployed", "npm run deploy");
    const { passphrase: secret = `projects/${patient.project}/secrets/${DEPLOYED}`, url } = lookup;
    return { where: secret, url };
  }
  const { service } = patient.deployment;
  if (service === undefined) return skipped("npm start does not run on these tokens");
  if (service.passphrase === undefined)
    return skipped("it is in npm start's TOKEN_PASSPHRASE, which nobody else can read");
  return { where: service.passphrase, url: service.url };
}

function passphrasesIn(text: string, where: string): string[] {
  try {
    return parsePassphrases(text);
  } catch (error) {
    throw new CommandError(`${where} can't be used: ${(error as Error).message}`);
  }
}

/** Cisco's sample tells everything with 500 (`COMPAT=sample`). `undefined`: it took the passphrase. */
function judge(answer: Answer | undefined): Finding | undefined {
  if (answer === undefined) return broken("lookup did not answer when asked with it");
  const { status, said } = answer;
  const words = status === 500 ? said?.message : undefined;
  if (said !== undefined && (status === 404 || words === "Access Token not found")) return undefined;
  if (status === 401 || words === "Invalid Token Passphrase")
    return broken(
      "lookup refuses the newest one: after a rotation it takes a minute; else it can't read the secret that you read",
      "npm run deploy",
    );
  if (status === 503) return broken("lookup can't read the database: its log says why (store.unavailable)");
  return broken(`lookup answered ${status} when asked with it: its log says why`);
}

export const sealing: Check = {
  id: "sealing",
  title: "sealing keys",
  needs: ["database"],
  // All tokens are read.
  limit: 180_000,
  async run(patient) {
    const keys = await keysPlace(patient);
    if (typeof keys !== "string") return keys;
    const text = await patient.secret(keys);
    if (text === undefined || text.trim() === "")
      return broken(`there are no keys in ${keys}`, "npm run tokens -- keys add");
    return use(parsed(text, keys), await patient.tokens());
  },
};

/** Where they are; what is to be said where there are none. */
async function keysPlace({ kind, deployment, functions }: Patient): Promise<string | Finding> {
  const here = typeof deployment.sealing === "object" ? deployment.sealing.keys : deployment.sealing;
  if (kind !== "project") {
    if (here === "off" || here === undefined) return skipped("what is stored here is not sealed");
    return here;
  }
  const writers = (await functions()).filter(({ role }) => role !== "lookup");
  const theirs = [...new Set(writers.map(({ environment }) => environment.SEAL_KEYS ?? "off"))];
  if (theirs.length > 1)
    return broken(
      "refresher and setup have different keys: what one seals the other can't open",
      "npm run deploy",
    );
  const [its = here] = theirs;
  if (its === undefined) return broken("where the keys are is not known: set SEAL_KEYS");
  if (here !== undefined && here !== its)
    return broken(
      `SEAL_KEYS here is ${here}, but that of the functions is ${its}: what is written here they could not read`,
      its === "off" ? "unset SEAL_KEYS; export SEALING=off" : `export SEAL_KEYS=${its}`,
    );
  return its === "off"
    ? warning("sealing is off: client secrets and refresh tokens are stored as they are")
    : its;
}

function parsed(text: string, where: string): SealKeys {
  try {
    return parseSealKeys(text);
  } catch (error) {
    throw new CommandError(`the keys in ${where} can't be used: ${(error as Error).message}`);
  }
}

function use({ primary, all }: SealKeys, { sealedBy }: Awaited<ReturnType<Patient["tokens"]>>): Finding {
  const known = new Set(all.map(({ kid }) => kid));
  const lost = [...sealedBy.keys()].filter((kid) => kid !== undefined && !known.has(kid));
  if (lost.length > 0)
    return broken(
      `values are sealed with a key that is not there: ${lost.join(", ")}; an older version of the secret may hold it`,
      "npm run tokens -- keys list",
    );
  const plain = sealedBy.get(undefined) ?? 0;
  const behind = [...sealedBy].filter(([kid]) => kid !== primary.kid && kid !== undefined);
  if (plain > 0) return warning(`${plain} values are stored as they are`, "npm run tokens -- reseal");
  if (behind.length > 0)
    return warning(
      `values are sealed with older keys: ${behind.map(([kid]) => kid).join(", ")}`,
      "npm run tokens -- reseal",
    );
  return well(`all is sealed with ${primary.kid}`);
}
