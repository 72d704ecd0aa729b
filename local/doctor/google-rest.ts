import { type AuthClient, GoogleAuth } from "google-auth-library";
import { fieldsOf, type RawFields } from "../../functions/core/document.ts";
import { CommandError } from "../commands/errors.ts";
import { LOG_IN, obstacle } from "../google/errors.ts";

/** Google's REST interfaces, as far as they have no client library here. Each call throws `CommandError`. */
export interface GoogleRest {
  /** `undefined`: there is no such thing. */
  get(api: keyof typeof APIS, path: string): Promise<RawFields | undefined>;
  /** ms: by how much Google's clock is ahead of this machine's; known to about half a second. */
  clockAhead(): Promise<number>;
}

/** Version of each, and its name for people. */
const APIS = {
  cloudfunctions: ["v2", "Cloud Functions"],
  firebaserules: ["v1", "Firebase Rules"],
  run: ["v2", "Cloud Run"],
} as const;

const PATIENCE = 20_000;
const DENIED =
  'the role that the deployment gives its "operators" lets you: add yourself to them in the stack\'s configuration';

interface Options {
  project: string;
  signal: AbortSignal;
  /** Where an interface of Google's is. */
  endpoint?: (api: string) => string;
}

/** With the credentials of whoever works here. Throws `CommandError` where there are none, or Google takes them no more. */
export async function openGoogle(options: Options): Promise<GoogleRest> {
  // With a project it need not look for one, with gcloud and over the network.
  const auth = new GoogleAuth({
    projectId: options.project,
    scopes: "https://www.googleapis.com/auth/cloud-platform",
  });
  const asked = { api: "Google", service: "iamcredentials.googleapis.com", project: options.project };
  try {
    const client = await auth.getClient();
    const { token } = await client.getAccessToken();
    if (!token) throw new Error("no token");
    return googleRest(client, options);
  } catch (error) {
    throw (
      obstacle(error, asked, DENIED) ??
      new CommandError(
        `Google gave no access token with the credentials here: ${LOG_IN} again, and look whether this machine reaches the internet`,
      )
    );
  }
}

export function googleRest(client: AuthClient, { project, signal, endpoint = usual }: Options): GoogleRest {
  const request = (url: string) =>
    client.request({
      url,
      signal,
      timeout: PATIENCE,
      retry: false,
      responseType: "json",
      // What a status means is judged below; the library's errors quote requests.
      validateStatus: () => true,
    });
  return {
    async get(api, path) {
      const [version, name] = APIS[api];
      const asked = { api: name, service: `${api}.googleapis.com`, project };
      const { status, data } = await request(`${endpoint(api)}/${version}/${path}`).catch(() => {
        throw new CommandError(
          `${name} did not answer: try again, and look whether this machine reaches the internet`,
        );
      });
      if (status === 200) return fieldsOf(data);
      const refusal = refusalIn(status, data);
      const stands = obstacle(refusal, asked, DENIED);
      if (stands === undefined && status === 404) return undefined;
      throw stands ?? new CommandError(`${name} refused that (${status}): try it again`);
    },
    async clockAhead() {
      const before = Date.now();
      // Whatever it answers has a date.
      const { headers } = await request(`${endpoint("firebaserules")}/`).catch(() => {
        throw new CommandError("Google did not answer: look whether this machine reaches the internet");
      });
      const after = Date.now();
      const said = Date.parse(headers.get("date") ?? "");
      if (Number.isNaN(said)) throw new CommandError("Google's answer had no date: try it again");
      // The header is cut to whole seconds.
      return said + 500 - (before + after) / 2;
    },
  };
}

const usual = (api: string) => `https://${api}.googleapis.com`;

/** gRPC's status for what HTTP said, which the other errors of Google's are told by. */
const CODES: Record<number, number> = { 401: 16, 403: 7, 429: 8, 503: 14, 504: 4 };

function refusalIn(status: number, data: unknown) {
  const { message, details } = fieldsOf(fieldsOf(data).error);
  const reasons = Array.isArray(details) ? details.map((detail) => fieldsOf(detail).reason) : [];
  const reason = reasons.find((each) => typeof each === "string");
  const code = CODES[status];
  return {
    message: typeof message === "string" ? message : "",
    ...(code !== undefined && { code }),
    ...(typeof reason === "string" && { reason }),
  };
}
