import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { openGoogle } from "../../local/doctor/google-rest.ts";
import { type Accounts, PERSON, startAccounts } from "../support/google-accounts.ts";
import { HANG } from "../support/hang.ts";
import { stopAll, temporaryFolder } from "../support/processes.ts";

/** Google's REST interfaces with an operator's credentials: Google's own library against stand-ins for its hosts. */

const { publicKey } = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  publicKeyEncoding: { type: "spki", format: "pem" },
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
});

let google: Accounts;
let folder: string;
beforeAll(async () => {
  folder = await temporaryFolder();
  google = await startAccounts(publicKey);
});
beforeEach(() => google.clear());
afterAll(async () => {
  vi.unstubAllEnvs();
  await google.close();
  await stopAll();
});

function open(refreshToken: string) {
  const file = path.join(folder, "credentials.json");
  const client = { client_id: PERSON.client, client_secret: "canary-client-secret" };
  writeFileSync(file, JSON.stringify({ type: "authorized_user", ...client, refresh_token: refreshToken }));
  vi.stubEnv("GOOGLE_APPLICATION_CREDENTIALS", file);
  return openGoogle({ project: "made-up", signal: AbortSignal.timeout(HANG) });
}

test("each of Google's interfaces is called at its own address and version", async () => {
  const rest = await open(PERSON.refreshToken);
  for (const host of ["run", "firebaserules", "cloudfunctions"])
    google.answers(`${host}.googleapis.com`, 200, { from: host });
  expect(await rest.get("run", "projects/p/x:getIamPolicy")).toEqual({ from: "run" });
  expect(await rest.get("firebaserules", "projects/p/releases/cloud.firestore")).toEqual({
    from: "firebaserules",
  });
  expect(await rest.get("cloudfunctions", "projects/p/locations/-/functions")).toEqual({
    from: "cloudfunctions",
  });
  expect(google.asked().filter((asked) => !asked.startsWith("oauth2"))).toEqual([
    "run.googleapis.com/v2/projects/p/x:getIamPolicy",
    "firebaserules.googleapis.com/v1/projects/p/releases/cloud.firestore",
    "cloudfunctions.googleapis.com/v2/projects/p/locations/-/functions",
  ]);
  const before = Date.now();
  const ahead = await rest.clockAhead();
  // The date in the answer has whole seconds.
  expect(Math.abs(ahead)).toBeLessThanOrEqual(2000 + Date.now() - before);
});

test.each([
  [401, { error: { message: "canary" } }, /does not take the credentials here/],
  [403, { error: { message: "canary" } }, /^you may not do that in project "made-up".*"operators"/],
  [
    403,
    { error: { details: [{ reason: "SERVICE_DISABLED" }] } },
    /^Cloud Run is turned off.*run\.googleapis\.com/,
  ],
  [403, { error: { message: "canary: requires a quota project" } }, /set-quota-project made-up/],
  [429, {}, /takes no more calls/],
  [500, { error: "canary" }, /^Cloud Run refused that \(500\)/],
  [503, {}, /^Cloud Run did not answer/],
])(
  "Google's answer %i %j gives an error of one sentence without its text",
  async (status, body, sentence) => {
    const rest = await open(PERSON.refreshToken);
    google.answers("run.googleapis.com", status, body);
    const error = await rest.get("run", "x").catch((thrown: Error) => thrown);
    expect(error).toMatchObject({ name: "CommandError", message: expect.stringMatching(sentence) });
    expect(String(error)).not.toMatch(/canary|\n/);
  },
);

test("Google's 404 reads as undefined", async () => {
  const rest = await open(PERSON.refreshToken);
  google.answers("run.googleapis.com", 404, { error: { message: "canary" } });
  expect(await rest.get("run", "x")).toBeUndefined();
});

test("credentials that Google rejects are an error before any request with them", async () => {
  await expect(open("canary-that-has-ended")).rejects.toMatchObject({
    name: "CommandError",
    message: expect.stringMatching(/^the Google credentials here are good no more: run "gcloud/),
  });
  expect(google.asked().every((asked) => asked.startsWith("oauth2"))).toBe(true);
});
