import { STATES, type State } from "../../functions/core/state.ts";
import { broken, type Check, warning, well } from "./check.ts";

/** Named at most; whoever wants all has `list`. */
const NAMED = 5;

/** Callers get no token, or soon will not, and nothing mends it but a person. */
const LOST: readonly State[] = ["needs a person", "ended"];
const UNSETTLED: readonly State[] = ["retrying", "not authorized"];

export const tokens: Check = {
  id: "tokens",
  title: "tokens",
  needs: ["database"],
  limit: 180_000,
  async run(patient) {
    const { tokens: total, names } = await patient.tokens();
    if (total === 0) return well("there are none yet");
    const counts = STATES.flatMap((state) => {
      const { length } = names[state];
      if (length === 0) return [];
      const named = [...LOST, ...UNSETTLED].includes(state) ? ` (${some(names[state])})` : "";
      return [`${length} ${state}${named}`];
    });
    const says = counts.join(", ");
    const first = (states: readonly State[]) => states.flatMap((state) => names[state])[0];
    const [lost, unsettled] = [first(LOST), first(UNSETTLED)];
    if (lost !== undefined) return broken(says, showing(lost));
    return unsettled === undefined ? well(says) : warning(says, showing(unsettled));
  },
};

export const mistyped: Check = {
  id: "mistyped",
  title: "fields of documents",
  needs: ["database"],
  limit: 180_000,
  async run(patient) {
    const { mistyped: all } = await patient.tokens();
    const [first] = all;
    if (first === undefined) return well("all are of the right kind");
    const each = all.map(({ name, fields }) => `${name} (${fields.join(", ")})`);
    return warning(`of a wrong kind, and taken as absent: ${some(each)}`, showing(first.name));
  },
};

export const published: Check = {
  id: "published",
  title: "global variables",
  needs: ["database"],
  limit: 180_000,
  async run(patient) {
    const { unpublished } = await patient.tokens();
    const [first] = unpublished;
    if (first === undefined) return well("every token is in those that it is to be in");
    const each = unpublished.map(({ name, code }) => `${name} (${code})`);
    return warning(`not published: ${some(each)}`, showing(first.name));
  },
};

function some(all: readonly string[]): string {
  const more = all.length - NAMED;
  return `${all.slice(0, NAMED).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

/** To be pasted into a shell. */
const showing = (name: string) =>
  `npm run tokens -- show ${/^[\w.@:+-]+$/.test(name) && !name.startsWith("-") ? name : quoted(name)}`;

const quoted = (name: string) => `${name.startsWith("-") ? "-- " : ""}'${name.replaceAll("'", "'\\''")}'`;
