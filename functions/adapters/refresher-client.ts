import { type AskRefresher, RefresherFailed } from "../core/asker.ts";
import { asNumber, fieldsOf } from "../core/document.ts";
import type { Outcome } from "../core/refresh.ts";
import type { Metadata } from "./metadata.ts";
import { ask } from "./platform-http.ts";

/** How long one ask may take, in ms. The refresher gives Webex 8 s, twice at most. */
const PATIENCE = 25_000;

/**
 * Asks the refresher function over HTTP; where its address is https, with an identity token that IAM checks. Each ask has a
 * connection of its own: a kept one that went silent would hold it up for its whole `PATIENCE`.
 */
export function refresherAt(url: string, metadata: Pick<Metadata, "identityToken">): AskRefresher {
  return async (name, { ifToken, minTtl }) => {
    const target = new URL(url);
    target.searchParams.set("name", name);
    if (ifToken !== undefined) target.searchParams.set("ifToken", ifToken);
    if (minTtl !== undefined) target.searchParams.set("minTtl", String(minTtl));
    const authorization =
      target.protocol === "https:"
        ? { authorization: `Bearer ${await metadata.identityToken(target.origin)}` }
        : undefined;
    const { status, body } = await ask(target, {
      method: "POST",
      headers: { "content-length": "0", ...authorization },
      agent: false,
      patience: PATIENCE,
    });
    if (status !== 200) throw new RefresherFailed(`the refresher answered ${status}`);
    return outcomeIn(body);
  };
}

/** By whether they say until when. */
const OUTCOMES: Record<Outcome["outcome"], boolean> = {
  refreshed: false,
  unchanged: false,
  fresh: false,
  deferred: true,
  held: true,
  leased: true,
  failed: false,
  discarded: false,
  unsaved: false,
  missing: false,
};

/** An incomplete outcome would delay readers for ever, or not at all. The parser's own error would quote the answer. */
function outcomeIn(body: string): Outcome {
  try {
    const said = fieldsOf(JSON.parse(body));
    const timed = Object.entries(OUTCOMES).find(([outcome]) => outcome === said.outcome)?.[1];
    if (
      timed === false ||
      (timed === true && typeof said.until === "number" && asNumber(said.until) !== undefined)
    )
      return said as unknown as Outcome;
  } catch {}
  throw new RefresherFailed("the answer is no outcome of the refresher");
}
