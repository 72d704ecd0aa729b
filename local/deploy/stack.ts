import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { ArgsError, UNOPENED } from "../../infra/args.ts";
import { NAMESPACE, readConfig, type Values } from "../../infra/config.ts";
import { CommandError } from "../commands/errors.ts";

/** The folder of the Pulumi program, from where the commands run. */
export const INFRA = "infra";
const EXAMPLE = "example";
const fileOf = (stack: string) => `${INFRA}/Pulumi.${stack}.yaml`;

/** A stack's configuration, as its file has it. */
export interface Stack {
  /** As the Pulumi CLI takes it. */
  name: string;
  file: string;
  /** Secrets are encrypted: `UNOPENED` stands for each. */
  values: Values;
  /** More values come from environments of Pulumi Cloud, which are not read here. */
  more: boolean;
  /** A passphrase of its own encrypts the secrets in it and in Pulumi's state. */
  locked: boolean;
}

/** The stack with this name, or the only one. Throws `CommandError`. */
export function findStack(named: string | undefined, root: string): Stack {
  const name = named ?? onlyStack(root);
  if (name === undefined)
    throw new CommandError(
      `there is no stack yet: cp ${fileOf(EXAMPLE)} ${fileOf("dev")}, change its values to yours, then run "npx pulumi stack init dev --cwd ${INFRA}"`,
    );
  return readStack(name, root);
}

/** The same; without any stack, `Pulumi.example.yaml`. Throws `CommandError`. */
export const findStackOrExample = (named: string | undefined, root: string): Stack =>
  readStack(named ?? onlyStack(root) ?? EXAMPLE, root);

/** Throws `CommandError` that names the file, and everything in it that is missing or wrong. */
export function checkStack({ file, values, more }: Stack): void {
  try {
    if (!more) readConfig(values, String);
  } catch (error) {
    if (!(error instanceof ArgsError)) throw error;
    throw new CommandError(`${file}: ${error.message} (${fileOf(EXAMPLE)} explains each key)`);
  }
}

/** Google would refuse the example's values in the middle of the deployment. Throws `CommandError`. */
export function checkOwn({ file, values }: Stack): void {
  const texts = Object.entries(values).filter(([, value]) => /@example\.com\b|^my-project$/.test(value));
  const keys = texts.map(([key]) => `"${key.replace(`${NAMESPACE}:`, "")}"`);
  if (keys.length > 0)
    throw new CommandError(
      `${file}: ${keys.join(" and ")} still as in the example: put your own values there`,
    );
}

/** Pulumi can't ask for a passphrase while its output is read here. Throws `CommandError`. */
export function checkUnlocked(
  { name, locked }: Stack,
  env: Readonly<Record<string, string | undefined>>,
): void {
  // An empty passphrase counts.
  if (!locked || env.PULUMI_CONFIG_PASSPHRASE !== undefined || env.PULUMI_CONFIG_PASSPHRASE_FILE) return;
  throw new CommandError(
    `Pulumi can't open the secrets of stack "${name}": export PULUMI_CONFIG_PASSPHRASE, or PULUMI_CONFIG_PASSPHRASE_FILE with the name of a file that holds it`,
  );
}

/** `undefined`: there is no stack. */
function onlyStack(root: string): string | undefined {
  const names = readdirSync(path.join(root, INFRA)).flatMap(
    (file) => /^Pulumi\.(.+)\.yaml$/.exec(file)?.slice(1) ?? [],
  );
  const [first, ...others] = names.filter((name) => name !== EXAMPLE).sort();
  if (first !== undefined && others.length > 0)
    throw new CommandError(
      `there are several stacks: say --stack ${[first, ...others].join(" or --stack ")}`,
      2,
    );
  return first;
}

function readStack(name: string, root: string): Stack {
  // Pulumi also takes organization/project/stack.
  const file = fileOf(name.split("/").at(-1) ?? name);
  const { config, environment, encryptionsalt } = asMap(parse(file, textOf(file, root)));
  const values = Object.entries(asMap(config)).flatMap(([key, value]) => {
    const text = textIn(value);
    return text === undefined ? [] : [[key.includes(":") ? key : `${NAMESPACE}:${key}`, text]];
  });
  return {
    name,
    file,
    values: Object.fromEntries(values),
    more: environment !== undefined,
    locked: encryptionsalt !== undefined,
  };
}

function textOf(file: string, root: string): string {
  try {
    return readFileSync(path.join(root, file), "utf8");
  } catch {
    throw new CommandError(
      `${file} can't be read: cp ${fileOf(EXAMPLE)} ${file}, and change its values to yours`,
    );
  }
}

/** Part of js-yaml, with which Pulumi's own library reads these files. */
interface Yaml {
  load(text: string, options: { schema: unknown }): unknown;
  CORE_SCHEMA: unknown;
}

function parse(file: string, text: string): unknown {
  const { load, CORE_SCHEMA }: Yaml = createRequire(createRequire(import.meta.url).resolve("@pulumi/pulumi"))(
    "js-yaml",
  );
  try {
    return load(text, { schema: CORE_SCHEMA });
  } catch (error) {
    const { reason = "it can't be read", mark } = error as { reason?: string; mark?: { line: number } };
    throw new CommandError(`${file} is no YAML: ${reason}${mark ? ` in line ${mark.line + 1}` : ""}`);
  }
}

const asMap = (value: unknown): Record<string, unknown> =>
  typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};

/** As Pulumi hands it to programs; `undefined`: no value. */
function textIn(value: unknown): string | undefined {
  const closed = withoutSecrets(value);
  if (closed === null || closed === undefined) return undefined;
  return typeof closed === "object" ? JSON.stringify(closed) : String(closed);
}

/** `{ secure: … }` is a secret at any depth. */
function withoutSecrets(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutSecrets);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value);
  if (entries.length === 1 && typeof asMap(value).secure === "string") return UNOPENED;
  return Object.fromEntries(entries.map(([key, inner]) => [key, withoutSecrets(inner)]));
}
