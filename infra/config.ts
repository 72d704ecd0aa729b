import { Config } from "@pulumi/pulumi";
import { ArgsError, type TokenServiceArgs } from "./args.ts";

type Kind = "text" | "secret" | "number" | "flag" | "object";

/** What `Pulumi.<stack>.yaml` may hold, beside `gcp:project` and `gcp:region`; `Pulumi.example.yaml` explains each. */
export const KEYS: Record<Exclude<keyof TokenServiceArgs, "project" | "region">, Kind> = {
  database: "object",
  names: "object",
  minInstances: "number",
  maxInstances: "number",
  refreshThreshold: "text",
  refreshConcurrency: "number",
  webexUrl: "text",
  passphrase: "secret",
  sealKeys: "secret",
  sealing: "text",
  operators: "object",
  notify: "object",
  compat: "text",
  corsOrigins: "object",
  legacySetup: "flag",
  staticEgress: "flag",
  publicAccess: "flag",
  protect: "flag",
};

/** The configuration of this stack. Throws `ArgsError`; ranges are checked by `withDefaults`. */
export function readConfig(): TokenServiceArgs {
  const config = new Config("webex-token-service");
  const google = new Config("gcp");
  const problems: string[] = [];
  const read = (key: string, kind: Kind) => {
    switch (kind) {
      case "text":
        return config.get(key);
      case "secret":
        return config.getSecret(key);
      case "number":
        return numberOf(key, config.get(key), problems);
      case "flag":
        return flagOf(key, config.get(key), problems);
      case "object":
        return objectOf(key, config.get(key), problems);
    }
  };
  const given = Object.entries(KEYS).flatMap(([key, kind]) => {
    const value = read(key, kind);
    return value === undefined ? [] : [[key, value]];
  });
  if (problems.length > 0) throw new ArgsError(problems);
  return {
    project: google.get("project") ?? "",
    region: google.get("region") ?? "",
    ...Object.fromEntries(given),
  };
}

function numberOf(key: string, text: string | undefined, problems: string[]): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d+$/.test(text)) return Number(text);
  problems.push(`"${key}" must be a whole number`);
  return undefined;
}

function flagOf(key: string, text: string | undefined, problems: string[]): boolean | undefined {
  if (text === undefined || text === "true" || text === "false")
    return text === undefined ? undefined : text === "true";
  problems.push(`"${key}" must be true or false`);
  return undefined;
}

function objectOf(key: string, text: string | undefined, problems: string[]): unknown {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    problems.push(`"${key}" must be a list or a set of keys, as in Pulumi.example.yaml`);
    return undefined;
  }
}
