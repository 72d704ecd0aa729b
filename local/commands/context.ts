import { type Command, InvalidArgumentError, Option } from "commander";
import { idProblem, nameProblem } from "../../functions/core/document.ts";
import type { Runtime } from "../../functions/core/runtime.ts";
import { unsealed } from "../../functions/core/seal.ts";
import { type TokenStore, tokenStore } from "../../functions/core/store.ts";
import type { Deployment } from "../deployment.ts";
import { openSealerHere } from "../sealing.ts";
import type { Terminal } from "../terminal.ts";

/** What every command works with. */
export interface Context {
  env: Readonly<Record<string, string | undefined>>;
  /** Found when it is first asked for, so that `--help` needs none. */
  deployment(): Deployment;
  terminal: Terminal;
  runtime: Runtime;
  /** Aborted by Ctrl-C: waiting ends, a write that has begun is finished. */
  signal: AbortSignal;
}

/** Each file of this folder that is a command adds itself to the program. */
export type Register = (program: Command, context: Context) => void;

interface Work {
  /** A store file that is not there is made. */
  create?: boolean;
  /** It writes client secrets or refresh tokens: whether they are sealed must be known before. */
  writesSecrets?: boolean;
}

/** Opens the tokens for one piece of work, and closes them whatever comes of it. Throws `SettingsError`. */
export async function withTokens<T>(
  { deployment, terminal, runtime }: Context,
  work: (store: TokenStore, deployment: Deployment) => Promise<T>,
  { create = false, writesSecrets = false }: Work = {},
): Promise<T> {
  const found = deployment();
  terminal.remark(`tokens in ${found.where}`);
  if (writesSecrets) found.requireSealing();
  const sealer = found.sealing === undefined ? unsealed : await openSealerHere(found.sealing, runtime.now);
  const documents = await found.open({ create });
  try {
    return await work(tokenStore(documents, runtime.now, sealer), found);
  } finally {
    await documents.close();
  }
}

/** For `.argument`: the name of a stored token, exactly as it was typed. */
export const tokenName = (text: string) => named(text, idProblem);

/** For `.argument`: a name for a new token. */
export const newTokenName = (text: string) => named(text.trim(), nameProblem);

function named(name: string, problemOf: typeof idProblem): string {
  const problem = problemOf(name);
  if (problem !== undefined) throw new InvalidArgumentError(`No token can have this name: ${problem}.`);
  return name;
}

export const jsonOption = () => new Option("--json", "answer in JSON, for programs");

/** `lines`: what to type after `npm run tokens --`, and what it does. */
export function examples(...lines: [command: string, about: string][]): string {
  const width = Math.max(...lines.map(([command]) => command.length));
  const text = lines.map(([command, about]) => `  npm run tokens -- ${command.padEnd(width)}  ${about}`);
  return `\nExamples:\n${text.join("\n")}\n`;
}
