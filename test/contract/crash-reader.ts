import { expect } from "vitest";
import type { TokenDocument } from "../../functions/core/document.ts";
import { makeLookup } from "../../functions/core/lookup.ts";
import { Problem, problemReply, type Reply } from "../../functions/core/reply.ts";
import { tokenReader } from "../../functions/core/store.ts";
import { DEFAULT_THRESHOLD } from "../../functions/core/time.ts";
import { Refusal } from "../../local/sandbox/refusal.ts";
import type { World } from "../support/world.ts";

const PASSPHRASE = "canary-passphrase-of-crashes";

/** The answer to a reader that does not wait, while there is no refresher. */
async function answerTo(name: string, world: World): Promise<Reply> {
  const lookup = makeLookup({
    reader: tokenReader(world.documents, world.runtime.now),
    askRefresher: () => Promise.reject(new Error("there is no refresher")),
    passphrases: { live: () => [PASSPHRASE] },
    // No deadline is met by the clock that others move.
    runtime: { ...world.runtime, sleep: () => new Promise(() => {}) },
    log: () => {},
    threshold: DEFAULT_THRESHOLD,
  });
  const headers = { "x-token-passphrase": PASSPHRASE };
  const query = new URLSearchParams({ name, wait: "0" });
  try {
    return await lookup({ method: "GET", path: "/", query, headers });
  } catch (error) {
    if (error instanceof Problem) return problemReply(error, "made-up reference");
    throw error;
  }
}

/** A reader gets a token that lives, or an answer that is true: nothing alive is held, and this is what helps. */
export async function expectHonestAnswer(name: string, world: World): Promise<Reply> {
  const reply = await answerTo(name, world);
  const { status, body, headers } = reply;
  if (status === 200) {
    expect(world.live((body as { token: string }).token)).toBe(true);
    return reply;
  }
  const document = (await world.store.read(name))?.document;
  expect(world.live(document?.accessToken)).not.toBe(true);
  if (status === 503) expect(headers?.["retry-after"]).toMatch(/^[1-9]\d*$/);
  else if (status === 404) expect(document).toBeUndefined();
  else {
    expect(status).toBe(409);
    expect(isAccepted(document, world)).toBe(false);
  }
  return reply;
}

/** Whether Webex would still refresh with what the document holds. */
export function isAccepted(document: TokenDocument | undefined, { sandbox }: World): boolean {
  const { clientId = "", clientSecret = "", refreshToken = "" } = document ?? {};
  try {
    sandbox.authority.grant({ grantType: "refresh_token", clientId, clientSecret, refreshToken });
    return true;
  } catch (error) {
    if (error instanceof Refusal) return false;
    throw error;
  }
}
