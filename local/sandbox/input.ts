/** A setting given to the sandbox is unusable; the message begins with `field`. */
export class InputError extends Error {
  readonly field: string;
  constructor(field: string, problem: string) {
    super(`${field}: ${problem}`);
    this.field = field;
  }
}

/** `input` as an object that holds none but the `allowed` fields; else an InputError. */
export function objectWith(input: unknown, allowed: readonly string[]): Record<string, unknown> {
  if (typeof input !== "object" || input === null || Array.isArray(input)) {
    throw new InputError("body", "must be a JSON object");
  }
  const unknown = Object.keys(input).find((name) => !allowed.includes(name));
  if (unknown !== undefined) throw new InputError(unknown.slice(0, 60), "is not a known field");
  return { ...input };
}
