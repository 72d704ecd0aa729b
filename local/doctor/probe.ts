import { fieldsOf } from "../../functions/core/document.ts";

/** What a function answered. */
export interface Answer {
  status: number;
  /** As our functions tell it; `undefined`: somebody else answered, such as Google in front of them. */
  said: { message: string } | undefined;
}

/** A cold start may take some seconds. */
const PATIENCE = 20_000;

/** One GET; `undefined`: nobody answered. A redirect is not followed: nothing that is sent along goes anywhere else. */
export async function probe(
  url: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Answer | undefined> {
  try {
    const within = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE)]);
    const response = await fetch(url, { headers, redirect: "manual", signal: within });
    return { status: response.status, said: saidIn(await response.text(), response.status) };
  } catch {
    return undefined;
  }
}

/** Every answer of theirs holds its own status. */
function saidIn(text: string, status: number): Answer["said"] {
  try {
    const body = fieldsOf(JSON.parse(text));
    if (body.status !== String(status)) return undefined;
    return { message: typeof body.message === "string" ? body.message : "" };
  } catch {
    return undefined;
  }
}
