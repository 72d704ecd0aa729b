import { CommandError } from "../commands/errors.ts";
import type { Fault } from "../sandbox/faults.ts";

/** How long the sandbox may take for an order: it is on this machine, in ms. */
const PATIENCE = 5000;

type Answer = Record<string, unknown>;

/** What the sandbox says of itself. */
export interface SandboxStatus {
  faults: { fault: string; remainingSeconds?: number; remainingTimes?: number }[];
  counters: Record<string, Record<string, number>>;
}

/** A global variable of the sandbox's contact centre. Its value is not told. */
export interface SandboxVariable {
  id: string;
  name: string;
  sensitive?: boolean;
  characters: number;
  /** Whose token it holds; absent: none. */
  token?: { clientId: string; live: boolean };
}

/** A fault to switch on. It ends after `seconds` or `times` requests, else when the sandbox is mended. */
export interface FaultOrder {
  fault: Fault;
  seconds?: number | undefined;
  times?: number | undefined;
}

// `control` is where the sandbox takes orders. Each throws `CommandError`.

export const sandboxStatus = async (control: string): Promise<SandboxStatus> =>
  (await order(control, "GET", "")) as unknown as SandboxStatus;

export const variablesInSandbox = async (control: string): Promise<SandboxVariable[]> =>
  ((await order(control, "GET", "variables")) as unknown as { variables: SandboxVariable[] }).variables;

/** The oldest fault wins in the sandbox; a person means the newest. */
export async function breakSandbox(control: string, fault: FaultOrder): Promise<Answer> {
  await mendSandbox(control);
  return order(control, "PUT", "faults", fault);
}

export const mendSandbox = (control: string): Promise<Answer> => order(control, "DELETE", "faults");

/** `clientId`: `undefined` revokes the tokens of all. */
export const revokeInSandbox = (
  control: string,
  clientId: string | undefined,
  accessTokens: boolean,
): Promise<Answer> => order(control, "POST", "revoke", { clientId, accessTokens });

/** Makes an integration of the sandbox, as a person does at Webex. */
export const registerInSandbox = (control: string, client: object): Promise<Answer> =>
  order(control, "POST", "clients", client);

/** A refresh token of a client of the sandbox, as Webex shows one on the page of a Service App. */
export async function grantInSandbox(control: string, clientId: string): Promise<string> {
  const { refresh_token: refreshToken } = await order(control, "POST", "grants", { clientId });
  return String(refreshToken);
}

/** One request of the sandbox's control interface. */
async function order(control: string, method: string, path: string, body?: object): Promise<Answer> {
  const url = new URL(`/sandbox${path && `/${path}`}`, control);
  const response = await fetch(url, {
    method,
    signal: AbortSignal.timeout(PATIENCE),
    ...(body && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
  }).catch(() => {
    throw new CommandError(`the sandbox does not answer at ${url.origin}: start it again with "npm start"`);
  });
  const answer = (await response.json()) as Answer;
  if (response.ok) return answer;
  throw new CommandError(`the sandbox refuses that: ${answer.message}`);
}
