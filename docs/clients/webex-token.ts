/** No token is used in the last minute of its life; ms. */
const MARGIN = 60_000;

/** Makes a `fetch` that sends a Webex token along, and where an API answers 401 asks once more with a new one. */
export function webexFetch(lookup: string, name: string, passphrase: string) {
  let kept = { token: "", until: 0 };
  let asking: Promise<string> | undefined;

  async function ask(rejected: string): Promise<string> {
    const headers = { "x-token-passphrase": passphrase, "x-token-rejected": rejected };
    const signal = AbortSignal.timeout(15_000);
    const response = await fetch(`${lookup}/?name=${encodeURIComponent(name)}`, { headers, signal });
    const { token, message } = (await response.json()) as Record<string, string>;
    if (!response.ok || !token) throw new Error(`no Webex token (${response.status}): ${message}`);
    const life = Number(response.headers.get("x-token-expires-in")) * 1000;
    kept = { token, until: Date.now() + life - MARGIN };
    return token;
  }

  async function tokenFor(rejected: string): Promise<string> {
    if (kept.token !== rejected && Date.now() < kept.until) return kept.token;
    asking ??= ask(rejected).finally(() => (asking = undefined));
    return asking;
  }

  return async (url: string | URL, init: RequestInit = {}): Promise<Response> => {
    const send = (token: string) => {
      const headers = new Headers(init.headers);
      headers.set("authorization", `Bearer ${token}`);
      return fetch(url, { ...init, headers });
    };
    const first = await tokenFor("");
    const response = await send(first);
    if (response.status !== 401) return response;
    const second = await tokenFor(first).catch(() => first);
    if (second === first) return response;
    await response.body?.cancel();
    return send(second);
  };
}
