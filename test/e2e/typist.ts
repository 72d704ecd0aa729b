import { fieldsOf, type RawFields } from "../../functions/core/document.ts";
import type { Typed, TypedFields } from "../contract/reader.ts";
import type { Place } from "./deployed.ts";

/** A token document as a person types it: most of it plain, some of its values of the very kind that is named. */
export interface TypedDocument {
  name: string;
  plain: RawFields;
  odd?: TypedFields;
}

/** Firestore takes no more in one request. */
const MOST_WRITES = 500;

/** A person at the console. A store that holds JSON gets the nearest that JSON has. */
export function typist({ env, documents }: Place) {
  const { FIRESTORE_EMULATOR_HOST: emulator = "", GOOGLE_CLOUD_PROJECT: project } = env;
  const root = `projects/${project}/databases/(default)`;

  async function commit(typed: readonly TypedDocument[]): Promise<void> {
    const writes = typed.map(({ name, plain, odd }) => {
      const usual = Object.entries(plain).map(([field, value]) => [field, typedOf(value)]);
      const fields = { ...Object.fromEntries(usual), ...odd };
      return { update: { name: `${root}/documents/tokens/${name}`, fields } };
    });
    const body = JSON.stringify({ writes }).replaceAll('"projects/p/', `"projects/${project}/`);
    const headers = { authorization: "Bearer owner" };
    const url = `http://${emulator}/v1/${root}/documents:commit`;
    const response = await fetch(url, { method: "POST", headers, body });
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  }

  return async (typed: readonly TypedDocument[]): Promise<void> => {
    if (emulator !== "")
      for (let first = 0; first < typed.length; first += MOST_WRITES)
        await commit(typed.slice(first, first + MOST_WRITES));
    else
      for (const { name, plain, odd = {} } of typed) {
        const fields = Object.entries(odd).map(([field, value]) => [field, plainOf(value)]);
        await documents.create("tokens", name, { ...plain, ...Object.fromEntries(fields) });
      }
  };
}

function typedOf(value: unknown): Typed {
  if (typeof value === "number")
    return Number.isInteger(value) ? { integerValue: String(value) } : { doubleValue: value };
  return typeof value === "boolean" ? { booleanValue: value } : { stringValue: String(value) };
}

function plainOf(typed: Typed): unknown {
  const [[type, content] = []] = Object.entries(typed);
  if (type === "integerValue") return Number(content);
  if (type === "arrayValue") return ((fieldsOf(content).values ?? []) as Typed[]).map(plainOf);
  if (type !== "mapValue") return content;
  const fields = Object.entries(fieldsOf(fieldsOf(content).fields)) as [string, Typed][];
  return Object.fromEntries(fields.map(([name, value]) => [name, plainOf(value)]));
}
