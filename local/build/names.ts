import path from "node:path";

export const ROOT = path.resolve(import.meta.dirname, "../..");

/** The one package that a deployed function installs: its registry of functions must be the one of its own process. */
export const FRAMEWORK = "@google-cloud/functions-framework";

export const FUNCTIONS = ["lookup", "refresher", "setup"] as const;
export type FunctionName = (typeof FUNCTIONS)[number];
