/** Ends the use of a token this long before its end; ms. */
const MARGIN = 60_000;

/** Makes a `fetch` that sends a Webex token along, and once more with a new one where an API answers 401. */
export function webexFetch(lookup: string, name: string, passphrase: string) {
  let kept: { token: string; until: number } | undefined;
  let asking: Promise<string> | undefined;

  async function ask(rejected = ""): Promise<string> {
    const headers = { "x-token-passphrase": passphrase, "x-token-rejected": rejected };
    const signal = AbortSignal.timeout(15_000);
    const response = await fetch(`${lookup}/?name=${encodeURIComponent(name)}`, { headers, signal });
    const { token, message } = (await response.json()) as { token: string; message?: string };
    if (!response.ok) throw new Error(`no Webex token (${response.status}): ${message}`);
    const expiresIn = Number(response.headers.get("x-token-expires-in")) * 1000;
    kept = { token, until: Date.now() + expiresIn - MARGIN };
    return token;
  }

  /** The kept token while it lives and is not the rejected one; else a new one, fetched once for all who wait. */
  async function tokenFor(rejected?: string): Promise<string> {
    if (kept && kept.token !== rejected && Date.now() < kept.until) return kept.token;
    asking ??= ask(rejected).finally(() => (asking = undefined));
    return asking;
  }

  return async (url: string | URL, init: RequestInit = {}): Promise<Response> => {
    const send = (token: string) => {
      const headers = new Headers(init.headers);
      headers.set("authorization", `Bearer ${token}`);
      return fetch(url, { ...init, headers });
    };
    const first = await tokenFor();
    const response = await send(first);
    if (response.status !== 401) return response;
    const second = await tokenFor(first).catch(() => first);
    if (second === first) return response;
    await response.body?.cancel();
    return send(second);
  };
}
