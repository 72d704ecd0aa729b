import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { deployedRefresher } from "../../local/google/deployed-refresher.ts";
import { identityToken } from "../../local/google/identity-token.ts";
import { ACCOUNT, type Accounts, PERSON, SERVICE, startAccounts } from "../support/google-accounts.ts";
import { stopAll, temporaryFolder } from "../support/processes.ts";

/** Calling a private function with each kind of Google credentials: Google's own library, against stand-ins for its endpoints. */

const keys = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  publicKeyEncoding: { type: "spki", format: "pem" },
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
});
const IMPERSONATION = `https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/${ACCOUNT}:generateAccessToken`;

const person = {
  type: "authorized_user",
  client_id: PERSON.client,
  client_secret: "canary-client-secret",
  refresh_token: PERSON.refreshToken,
};
const account = {
  type: "service_account",
  client_email: ACCOUNT,
  private_key: keys.privateKey,
  project_id: "made-up",
};
const impersonating = {
  type: "impersonated_service_account",
  service_account_impersonation_url: IMPERSONATION,
  source_credentials: person,
};
const external = {
  type: "external_account",
  audience: "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
  subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
  token_url: "https://sts.googleapis.com/v1/token",
};

let google: Accounts;
let folder: string;
beforeAll(async () => {
  folder = await temporaryFolder();
  google = await startAccounts(keys.publicKey);
});
beforeEach(() => google.clear());
afterAll(async () => {
  vi.unstubAllEnvs();
  await google.close();
  await stopAll();
});

/** As GOOGLE_APPLICATION_CREDENTIALS names them. */
function logIn(credentials: object): void {
  const subject = path.join(folder, "subject");
  writeFileSync(subject, "canary-subject");
  const file = path.join(folder, "credentials.json");
  const source = "token_url" in credentials ? { credential_source: { file: subject } } : {};
  writeFileSync(file, JSON.stringify({ ...credentials, ...source }));
  vi.stubEnv("GOOGLE_APPLICATION_CREDENTIALS", file);
}

const claims = (token: string) => JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());

describe("an identity token", () => {
  test.each([
    ["a service account's key", account, ACCOUNT],
    ["an impersonated account", impersonating, ACCOUNT],
    [
      "an external account that impersonates one",
      { ...external, service_account_impersonation_url: IMPERSONATION },
      ACCOUNT,
    ],
  ])("of %s is made for the function's address", async (_, credentials, email) => {
    logIn(credentials);
    expect(claims(await identityToken(SERVICE))).toMatchObject({ aud: SERVICE, email });
  });

  test("of a person is the one that comes with the refresh of their login", async () => {
    logIn(person);
    expect(claims(await identityToken(SERVICE))).toMatchObject({
      aud: PERSON.client,
      email: "person@example.com",
    });
  });

  test.each([
    [
      "a login that has ended",
      { ...person, refresh_token: "canary-ended" },
      /gcloud auth application-default login.* again$/,
    ],
    [
      "an external account of its own",
      external,
      /no identity token can be had: run .*--impersonate-service-account/,
    ],
    ["credentials that are none", { type: "canary" }, /GOOGLE_APPLICATION_CREDENTIALS names can't be read/],
  ])("can't be had of %s, which is said with what to do", async (_, credentials, words) => {
    logIn(credentials);
    const { name, message } = await failureOf(identityToken(SERVICE));
    expect({ name, message }).toEqual({ name: "CommandError", message: expect.stringMatching(words) });
    expect(message).not.toMatch(/canary|\n/);
  });

  test("can't be had of a person whose login left out who they are", async () => {
    logIn(person);
    google.answers("oauth2.googleapis.com", 200, { access_token: "canary-access", expires_in: 3600 });
    expect((await failureOf(identityToken(SERVICE))).message).toMatch(/no identity token.*without --scopes/);
  });

  test("can't be had of an account that may not make any", async () => {
    logIn({
      ...external,
      service_account_impersonation_url: IMPERSONATION.replace(ACCOUNT, "other@made-up.example"),
    });
    google.answers("iamcredentials.googleapis.com", 403);
    expect((await failureOf(identityToken(SERVICE))).message).toContain(
      "OpenID Connect Identity Token Creator",
    );
  });

  test("can't be had where there are no credentials", async () => {
    vi.stubEnv("GOOGLE_APPLICATION_CREDENTIALS", undefined);
    vi.stubEnv("HOME", folder);
    vi.stubEnv("CLOUDSDK_CONFIG", folder);
    expect((await failureOf(identityToken(SERVICE))).message).toMatch(
      /^there are no Google credentials here: run/,
    );
    vi.stubEnv("CLOUDSDK_CONFIG", undefined);
  });
});

async function failureOf(promise: Promise<unknown>): Promise<Error> {
  return promise.then(
    () => new Error("it went well"),
    (error: Error) => error,
  );
}

describe("the deployed refresher", () => {
  test.each([
    ["a service account", account],
    ["a person", person],
  ])("lets %s in, and says what came of it", async (_, credentials) => {
    logIn(credentials);
    expect(await deployedRefresher(SERVICE)("sales", { by: "operator" })).toEqual({ outcome: "refreshed" });
    expect(google.asked().at(-1)).toBe(`${new URL(SERVICE).host}/?name=sales`);
  });

  test.each([
    [401, /does not let you in \(401\): .*"Cloud Run Invoker".*--impersonate-service-account/],
    [403, /does not let you in \(403\)/],
    [404, /is not there \(404\): REFRESHER_URL/],
    [503, /answered 503: its log/],
    [200, /did not answer as one does: REFRESHER_URL/],
  ])("that answers %d is told of with what to do", async (status, words) => {
    logIn(account);
    google.answers(new URL(SERVICE).host, status, { message: "canary" });
    const { name, message } = await failureOf(deployedRefresher(SERVICE)("sales", { by: "operator" }));
    expect({ name, message }).toEqual({ name: "CommandError", message: expect.stringMatching(words) });
    expect(message).not.toMatch(/canary|\n/);
  });

  test("is asked without a token where it is on this machine", async () => {
    const failed = await failureOf(deployedRefresher("http://127.0.0.1:1")("sales", { by: "operator" }));
    expect(failed.message).toMatch(/^the refresher at http:\/\/127.0.0.1:1 did not answer/);
    expect(google.asked()).toEqual([]);
  });
});
