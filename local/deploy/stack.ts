import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { ArgsError, UNOPENED } from "../../infra/args.ts";
import { NAMESPACE, readConfig, type Values } from "../../infra/config.ts";
import { ROOT } from "../build/names.ts";
import { CommandError } from "../commands/errors.ts";

/** The folder of the Pulumi program, from where the commands run. */
export const INFRA = "infra";
const EXAMPLE = "example";
const fileOf = (stack: string) => `${INFRA}/Pulumi.${stack}.yaml`;

/** A stack's configuration, as its file has it. */
export interface Stack {
  /** As Pulumi is told it. */
  name: string;
  file: string;
  /** Secrets are closed: `UNOPENED` stands for them. */
  values: Values;
  /** More values come from environments of Pulumi Cloud, which are not read here. */
  more: boolean;
  /** Secrets in it and in Pulumi's state are closed with a passphrase of its own. */
  locked: boolean;
}

/** The one that is named, else the only one that there is. Throws `CommandError`. */
export function findStack(named: string | undefined): Stack {
  const name = named ?? onlyStack();
  if (name === undefined)
    throw new CommandError(
      `there is no stack yet: cp ${fileOf(EXAMPLE)} ${fileOf("dev")}, change its values to yours, then run "npx pulumi stack init dev --cwd ${INFRA}"`,
    );
  return readStack(name);
}

/** The same, or what `Pulumi.example.yaml` shows where there is no stack. Throws `CommandError`. */
export const findStackOrExample = (named: string | undefined): Stack =>
  readStack(named ?? onlyStack() ?? EXAMPLE);

/** Throws `CommandError` that names the file, and everything in it that is missing or wrong. */
export function checkStack({ file, values, more }: Stack): void {
  try {
    if (!more) readConfig(values, String);
  } catch (error) {
    if (!(error instanceof ArgsError)) throw error;
    throw new CommandError(`${file}: ${error.message} (${fileOf(EXAMPLE)} explains each key)`);
  }
}

/** Google would refuse what is the example's in the middle of the work. Throws `CommandError`. */
export function checkOwn({ file, values }: Stack): void {
  const texts = Object.entries(values).filter(([, value]) => /@example\.com\b|^my-project$/.test(value));
  const keys = texts.map(([key]) => `"${key.replace(`${NAMESPACE}:`, "")}"`);
  if (keys.length > 0)
    throw new CommandError(
      `${file}: ${keys.join(" and ")} still as in the example: put your own values there`,
    );
}

/** Pulumi asks a person only where all that it prints is shown: not where its outputs are read. Throws `CommandError`. */
export function checkUnlocked(
  { name, locked }: Stack,
  env: Readonly<Record<string, string | undefined>>,
): void {
  // An empty passphrase is one, too.
  if (!locked || env.PULUMI_CONFIG_PASSPHRASE !== undefined || env.PULUMI_CONFIG_PASSPHRASE_FILE) return;
  throw new CommandError(
    `Pulumi can't open the secrets of stack "${name}": export PULUMI_CONFIG_PASSPHRASE, or PULUMI_CONFIG_PASSPHRASE_FILE with the name of a file that holds it`,
  );
}

/** `undefined`: there is none. */
function onlyStack(): string | undefined {
  const names = readdirSync(path.join(ROOT, INFRA)).flatMap(
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

function readStack(name: string): Stack {
  // Pulumi takes organization/project/stack, too.
  const file = fileOf(name.split("/").at(-1) ?? name);
  const { config, environment, encryptionsalt } = asMap(parse(file, textOf(file)));
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

function textOf(file: string): string {
  try {
    return readFileSync(path.join(ROOT, file), "utf8");
  } catch {
    throw new CommandError(
      `${file} can't be read: cp ${fileOf(EXAMPLE)} ${file}, and change its values to yours`,
    );
  }
}

/** Of js-yaml, which Pulumi's own library reads these files with. */
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

/** As Pulumi hands it to programs; `undefined`: nothing stands there. */
function textIn(value: unknown): string | undefined {
  const closed = withoutSecrets(value);
  if (closed === null || closed === undefined) return undefined;
  return typeof closed === "object" ? JSON.stringify(closed) : String(closed);
}

/** `{ secure: … }` is a secret, wherever it stands. */
function withoutSecrets(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutSecrets);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value);
  if (entries.length === 1 && typeof asMap(value).secure === "string") return UNOPENED;
  return Object.fromEntries(entries.map(([key, inner]) => [key, withoutSecrets(inner)]));
}
