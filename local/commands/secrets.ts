import { fieldsOf } from "../../functions/core/document.ts";
import { secretIn } from "../actions/settings.ts";
import type { Terminal } from "../terminal.ts";
import { CommandError } from "./errors.ts";

/** What an operator types unseen; it never comes as an argument, since every process of a machine can read those. */
export interface Secrets {
  clientSecret?: string;
  refreshToken?: string;
  accessToken?: string;
}

type Field = keyof Secrets;

const WORDS: Record<Field, string> = {
  clientSecret: "client secret",
  refreshToken: "refresh token",
  accessToken: "access token",
};

/** How `--help` tells it. */
export const stdinHelp = (alone: Field) => `
Secrets are asked for, or read from standard input where that is no terminal: one line with the
${WORDS[alone]}, or one JSON object: {"clientSecret":"…","refreshToken":"…","accessToken":"…"}`;

/**
 * Asks for the `wanted` secrets one by one, with the remark that belongs to each; or takes them from a pipe, where a
 * line that is no JSON is `alone`. What is blank is absent. Throws `CommandError`.
 */
export async function readSecrets(
  wanted: Partial<Record<Field, string>>,
  alone: Field,
  terminal: Terminal,
): Promise<Secrets> {
  if (!terminal.interactive) {
    const text = await terminal.piped(`the ${WORDS[alone]}`);
    return text === undefined ? {} : parseSecrets(text, Object.keys(wanted) as Field[], alone);
  }
  const secrets: Secrets = {};
  for (const [field, remark] of Object.entries(wanted) as [Field, string][]) {
    const typed = await terminal.secret(`${WORDS[field]}${remark && ` (${remark})`}`);
    if (typed !== undefined) secrets[field] = checked(field, typed);
  }
  return secrets;
}

/** What came over a pipe. No error quotes any of it. */
export function parseSecrets(text: string, wanted: readonly Field[], alone: Field): Secrets {
  if (!text.startsWith("{")) return { [alone]: checked(alone, text) };
  const secrets: Secrets = {};
  const known = Object.keys(WORDS) as Field[];
  for (const [name, value] of Object.entries(fieldsOf(parsed(text)))) {
    const field = known.find((candidate) => candidate === name);
    if (field === undefined)
      throw new CommandError(`standard input holds a field that is none of ${known.join(", ")}`);
    if (!wanted.includes(field)) throw new CommandError(`this command takes no ${WORDS[field]}`);
    if (typeof value !== "string") throw new CommandError(`the ${WORDS[field]} must be text`);
    if (value.trim() !== "") secrets[field] = checked(field, value);
  }
  return secrets;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new CommandError("what came on standard input begins like a JSON object, but is none");
  }
}

function checked(field: Field, value: string): string {
  const secret = secretIn(value);
  if (secret !== undefined) return secret;
  throw new CommandError(`the ${WORDS[field]} holds a space, a line break or a letter that none can have`);
}
