import { asNumber, fieldsOf } from "../../functions/core/document.ts";
import type { DocumentStore, Snapshot } from "../../functions/core/store.ts";
import type { Held } from "./judge.ts";

const PAGE = 1000;

/** Every token as it stands in the store. Throws `StoreUnavailable`. */
export async function allHeld(documents: DocumentStore): Promise<{ held: Held; snapshot: Snapshot }[]> {
  const all: Snapshot[] = [];
  for (;;) {
    const page = await documents.list("tokens", PAGE, all.at(-1)?.id);
    all.push(...page);
    if (page.length < PAGE) return all.map((snapshot) => ({ held: heldIn(snapshot), snapshot }));
  }
}

function heldIn({ id: name, fields }: Snapshot): Held {
  const { code, permanent } = fieldsOf(fields.failure);
  return {
    name,
    until: asNumber(fields.accessExpires) ?? 0,
    refreshAt: asNumber(fields.refreshAt) ?? 0,
    failure: typeof code === "string" ? { code, permanent: permanent === true } : undefined,
  };
}
