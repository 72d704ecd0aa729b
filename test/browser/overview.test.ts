import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { sha256 } from "../../functions/core/hash.ts";
import { DAY, HOUR, MINUTE } from "../../functions/core/time.ts";
import { hasBrowser, startBrowser } from "../support/browser.ts";
import { openShop, type Shop, workingToken } from "../support/console.ts";
import { stopAll } from "../support/processes.ts";
import { clipboard, consentIn, expectAccessible, expectNoSideways, type Opened, openPage } from "./pages.ts";

/** How tokens are, and what is done when they are not well, in a real browser. */

describe.skipIf(!hasBrowser())("the overview", () => {
  let browser: Browser;
  const shops: Shop[] = [];
  beforeAll(async () => {
    browser = await startBrowser();
  });
  afterAll(async () => {
    await browser.close();
    for (const shop of shops) await shop.close();
    await stopAll();
  });
  const newShop = async (service = false) => {
    const shop = await openShop({ service });
    shops.push(shop);
    return shop;
  };
  const failing = (code: string, permanent: boolean) => {
    const at = Date.now() - 5 * MINUTE;
    return { count: 3, code, since: at - HOUR, at, permanent, inputs: sha256("others") };
  };
  const names = ({ page }: Opened) => page.getByRole("rowheader").allInnerTexts();

  test("tells each state in words, the most urgent first, and shows what changes without a reload", async () => {
    const shop = await newShop();
    const fields = () => workingToken(shop, shop.client());
    await shop.put("a-works", fields());
    await shop.put("b-refreshes", { ...fields(), lease: { id: "x", expires: Date.now() + 20_000 } });
    await shop.put("c-retries", {
      ...fields(),
      failure: failing("http_500", false),
      refreshAt: Date.now() + HOUR,
    });
    await shop.put("d-needs", { ...fields(), failure: failing("invalid_request", true) });
    await shop.put("e-fixed", {
      accessToken: "canary-access-token",
      accessExpires: Date.now() + 40 * DAY,
      static: true,
    });
    await shop.put("f-new", { clientId: "C" });
    await shop.put("g-soon", { ...fields(), refreshExpires: Date.now() + 3.5 * DAY });
    const opened = await openPage(browser, shop);
    const { page, complaints, close } = opened;
    await expect
      .poll(() => names(opened))
      .toEqual(["d-needs", "f-new", "c-retries", "g-soon", "b-refreshes", "a-works", "e-fixed"]);
    const text = (name: string) => page.getByRole("row", { name }).innerText();
    expect(await text("d-needs")).toMatch(/needs a person[\s\S]*failed \(invalid_request\)\s+3 times, 5m/);
    expect(await text("c-retries")).toMatch(/retrying since/);
    expect(await text("b-refreshes")).toContain("refreshing");
    expect(await text("e-fixed")).toMatch(/static until \d+ \w{3}/);
    expect(await text("f-new")).toMatch(/not yet authorized[\s\S]*no token/);
    expect(await text("g-soon")).toMatch(/working[\s\S]*3 days/);
    expect(await text("a-works")).toMatch(
      /10h 5\dm left[\s\S]*in 8h 2\dm[\s\S]*59 days[\s\S]*refreshed\s+1h/,
    );
    const bar = page.getByRole("row", { name: "a-works" }).getByRole("img");
    expect(await bar.locator("title").textContent()).toMatch(
      /^10h 5\dm of 11h 59m left, threshold 2h, refreshed with 2h 30m left$/,
    );
    await expectAccessible(page);

    await shop.put("h-late", { ...fields(), failure: failing("unauthorized_client", true) });
    await page.getByRole("rowheader", { name: "h-late" }).waitFor();
    await shop.store.remove("d-needs");
    await page.getByRole("rowheader", { name: "d-needs" }).waitFor({ state: "detached" });

    await page.getByLabel("Search").fill("RETRYING c-");
    await expect.poll(() => names(opened)).toEqual(["c-retries"]);
    await page.getByLabel("Search").fill("");
    await page.getByRole("button", { name: "1 needs a person" }).click();
    await expect.poll(() => names(opened)).toEqual(["h-late"]);
    await page.getByRole("button", { name: "1 needs a person" }).click();

    await page.emulateMedia({ colorScheme: "dark" });
    await expectAccessible(page);
    await page.setViewportSize({ width: 360, height: 700 });
    await expectNoSideways(page);
    await expectAccessible(page);
    expect(complaints).toEqual([]);
    await close();
  });

  test("a failing token says what is wrong and what mends it, and is mended on the page", async () => {
    const shop = await newShop(true);
    const client = shop.client();
    await shop.put("sales", workingToken(shop, client));
    shop.sandbox.authority.revoke({ clientId: client.clientId });
    const { page, complaints, close } = await openPage(browser, shop);
    await page.getByRole("link", { name: "sales" }).click();
    await expect.poll(() => page.evaluate("document.activeElement?.tagName")).toBe("H1");
    await page.getByRole("button", { name: "Refresh now" }).click();
    await page.getByRole("status").filter({ hasText: "Webex refuses to refresh it" }).waitFor();
    await page.locator(".health").getByText("needs a person").waitFor();
    await page.getByRole("note").getByText("Authorize it again.").waitFor();
    await expectAccessible(page);

    const again = page.getByRole("button", { name: "Authorize again with Webex" });
    await consentIn(page, () => again.click(), "Deny");
    await page.getByText(/It was not allowed at Webex/).waitFor();
    await consentIn(page, () => again.click());
    await page.getByText('Token "sales" is authorized').waitFor();
    await page.locator(".health").getByText("working").waitFor();
    await expect.poll(() => page.getByRole("note").count()).toBe(0);
    expect(complaints).toEqual([]);
    await close();
  });

  test("every other action is done on the page, and says what happened", async () => {
    const shop = await newShop(true);
    const client = shop.client();
    await shop.put("sales", { ...workingToken(shop, client), clientSecret: "canary-client-secret-wrong" });
    const { page, complaints, close } = await openPage(browser, shop);
    await page.getByRole("link", { name: "sales" }).click();
    const fold = (title: string) => page.locator("details").filter({ hasText: title });
    const status = (text: string | RegExp) => page.getByRole("status").filter({ hasText: text }).waitFor();

    await fold("Change the client secret").locator("summary").click();
    await page.getByLabel("New client secret").fill(client.clientSecret);
    await fold("Change the client secret").getByRole("button", { name: "Save" }).click();
    await status("The settings of");
    expect(await page.getByLabel("New client secret").inputValue()).toBe("");
    await page.getByRole("button", { name: "Refresh now" }).click();
    await status("is refreshed");

    await fold("Passphrase").first().locator("summary").click();
    await page.getByRole("button", { name: "Make a passphrase" }).click();
    const use = page.getByRole("button", { name: "Use it", exact: true });
    expect(await use.isDisabled()).toBe(true);
    await page.getByRole("button", { name: "Copy the new passphrase" }).click();
    await use.click();
    await status("opens with the new passphrase alone");
    const own = await clipboard(page);
    expect(own).toMatch(/^[\w-]{43}$/);
    expect((await shop.store.read("sales"))?.document.passphraseHash).toBe(sha256(own));
    expect(await page.content()).not.toContain(own);
    await page.getByRole("button", { name: "Take its own passphrase away" }).click();
    await status("The shared passphrase opens");

    await fold("Withdraw the grant").locator("summary").click();
    await page.getByRole("button", { name: "Withdraw it" }).click();
    await status("is withdrawn");

    await fold("Remove").locator("summary").click();
    await page.getByLabel("Type the name of the token").fill("Sales");
    await page.getByRole("button", { name: "Remove", exact: true }).click();
    await page.getByText("Type the name exactly as it is.").waitFor();
    expect(await shop.store.read("sales")).toBeDefined();
    await page.getByLabel("Type the name of the token").fill("sales");
    await page.getByRole("button", { name: "Remove", exact: true }).click();
    await page.getByRole("heading", { name: "No tokens yet" }).waitFor();
    await status('Token "sales" is removed.');
    expect(await shop.store.read("sales")).toBeUndefined();
    expect(complaints.filter((line) => !line.includes("422"))).toEqual([]);
    await close();
  });

  test("the sandbox is broken and made well on the page", async () => {
    const shop = await newShop();
    await shop.put("sales", workingToken(shop, shop.client()));
    const { page, close } = await openPage(browser, shop);
    await page.getByLabel("What goes wrong").selectOption("500");
    await page.getByRole("button", { name: "Break it" }).click();
    await page.getByText(/Webex is now broken: 500 for \d+ s/).waitFor();
    expect(shop.sandbox.faults.list()).toEqual([{ fault: "500", remainingSeconds: expect.any(Number) }]);
    await page.getByRole("button", { name: "Make it well" }).click();
    await page.getByText("The sandbox is well").waitFor();
    expect(shop.sandbox.faults.list()).toEqual([]);
    await close();
  });

  test("names and texts that are made to do harm are shown as the text that they are", async () => {
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
        failure: failing("<img src=y onerror=alert(5)>", true),
      });
    const opened = await openPage(browser, shop);
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

  test("no other page reaches the console with the cookie, and no script reads it", async () => {
    const shop = await newShop();
    await shop.put("sales", workingToken(shop, shop.client()));
    const { page, close } = await openPage(browser, shop);
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

    const other = await browser.newContext();
    const stranger = await other.newPage();
    expect((await stranger.goto(shop.page.url))?.status()).toBe(403);
    expect(await stranger.locator("body").innerText()).toContain("npm run console");
    await other.close();
    await close();
  });

  test("says so when the console has ended", async () => {
    const shop = await openShop();
    await shop.put("sales", workingToken(shop, shop.client()));
    const { page, close } = await openPage(browser, shop);
    await page.getByRole("table").waitFor();
    await shop.close();
    await page.getByRole("alert").filter({ hasText: "The console does not answer" }).waitFor();
    await expectAccessible(page);
    await close();
  });
});
