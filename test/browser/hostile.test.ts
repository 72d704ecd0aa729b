import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, test } from "vitest";
import { hasBrowser } from "../support/browser.ts";
import { openShop, workingToken } from "../support/console.ts";
import { expectAccessible, expectNoSideways, failing, names } from "./pages.ts";
import { inBrowser } from "./shops.ts";

/** Attacks on the page, and through it, in a real browser. */

describe.skipIf(!hasBrowser())("the page", () => {
  const { browser, newShop, open } = inBrowser();

  test("shows names and values that hold HTML, scripts or bidi characters as plain text", async () => {
    const shop = await newShop();
    const evil = [
      `<img src=x onerror="alert(1)">`,
      `"><script>alert(2)<\u2215script>`,
      "\u202Egnp.exe",
      "javascript:alert(3)",
      "#&?%41 name",
      "a".repeat(300),
    ];
    for (const name of evil)
      await shop.put(name, {
        ...workingToken(shop, shop.client()),
        clientId: "<b>bold</b>",
        redirectUri: "javascript:alert(4)",
        scopes: "<i>x</i>",
        orgId: "<u>org</u>",
        accessToken: "canary_<s>cluster</s>_no",
        failure: failing(shop.now(), "<img src=y onerror=alert(5)>", true),
      });
    const opened = await open(shop);
    const { page, complaints, close } = opened;
    const shown = (name: string) => name.replace("\u202E", "\uFFFD");
    await expect.poll(async () => (await names(opened)).sort()).toEqual(evil.map(shown).sort());
    for (const name of evil) {
      await page.getByRole("link", { name: shown(name), exact: true }).click();
      await page.getByRole("heading", { level: 1, name: shown(name), exact: true }).waitFor();
      await page.getByRole("note").getByText("<img src=y onerror=alert(5)>").waitFor();
      await page.getByText("<b>bold</b>").first().waitFor();
      await page.getByRole("link", { name: "All tokens" }).click();
      await page.getByRole("table").waitFor();
    }
    expect(
      await page.locator("main img, main b > b, script:not([src]), main a[href^=javascript]").count(),
    ).toBe(0);
    await page.setViewportSize({ width: 360, height: 700 });
    await expectNoSideways(page);
    expect(complaints).toEqual([]);
    await close();
  });

  test("refuses requests of another page that carry the cookie, which no script can read", async () => {
    const shop = await newShop();
    await shop.put("sales", workingToken(shop, shop.client()));
    const { page, close } = await open(shop);
    expect(await page.evaluate("document.cookie")).toBe("");
    const cookies = await page.context().cookies();
    expect(cookies).toEqual([expect.objectContaining({ httpOnly: true, sameSite: "Strict" })]);

    // Another port of this machine is the same site to the browser, which sends the cookie along.
    const server = createServer((_, response) =>
      response.setHeader("content-type", "text/html").end("<h1>evil</h1>"),
    );
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const evil = await page.context().newPage();
    await evil.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    // What the console answers, whether the browser shows it to that page or not.
    const asked = new Set<string>();
    const answered = new Map<string, number>();
    const network = await page.context().newCDPSession(evil);
    await network.send("Network.enable");
    network.on("Network.requestWillBeSent", ({ requestId, request }) => {
      if (request.url.startsWith(shop.origin)) asked.add(requestId);
    });
    network.on("Network.responseReceivedExtraInfo", ({ requestId, statusCode }) => {
      answered.set(requestId, statusCode);
    });
    const statuses = () => [...asked].flatMap((id) => answered.get(id) ?? []);
    await evil.evaluate(
      `Promise.allSettled([
        fetch("${shop.origin}/api/tokens", { credentials: "include", mode: "no-cors" }),
        fetch("${shop.origin}/api/remove", { method: "POST", credentials: "include", mode: "no-cors",
          body: JSON.stringify({ name: "sales", confirm: "sales" }) }),
        fetch("${shop.origin}/api/sandbox/well", { method: "POST", credentials: "include",
          headers: { "content-type": "application/json" }, body: "{}" }),
        new Promise((loaded) => {
          const frame = document.createElement("iframe");
          frame.src = "${shop.origin}/";
          frame.onload = loaded;
          document.body.append(frame);
        }),
      ])`,
    );
    await expect.poll(() => statuses().length).toBeGreaterThanOrEqual(3);
    expect(statuses().filter((status) => status !== 403)).toEqual([]);
    expect(await shop.store.read("sales")).toBeDefined();
    server.close();

    const other = await browser().newContext();
    const stranger = await other.newPage();
    expect((await stranger.goto(shop.page.url))?.status()).toBe(403);
    expect(await stranger.locator("body").innerText()).toContain("npm run console");
    await other.close();
    await close();
  });

  test("says that the console does not answer once it has ended", async () => {
    const shop = await openShop();
    await shop.put("sales", workingToken(shop, shop.client()));
    const { page, close } = await open(shop);
    await page.getByRole("table").waitFor();
    await shop.close();
    await page.getByRole("alert").filter({ hasText: "The console does not answer" }).waitFor();
    await expectAccessible(page);
    await close();
  });
});
