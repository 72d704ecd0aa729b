import { describe, expect, test } from "vitest";
import { sha256 } from "../../functions/core/hash.ts";
import { DAY, HOUR, MINUTE, SECOND } from "../../functions/core/time.ts";
import { hasBrowser } from "../support/browser.ts";
import { fakeClock } from "../support/clock.ts";
import { workingToken } from "../support/console.ts";
import { clipboard, consentIn, cutOff, expectAccessible, expectNoSideways, failing, names } from "./pages.ts";
import { inBrowser } from "./shops.ts";

/** The list of tokens and the page of one token, in a real browser. */

const NOW = Date.UTC(2026, 10, 28, 12);

describe.skipIf(!hasBrowser())("the overview", () => {
  const { newShop, open } = inBrowser();

  test("lists tokens by urgency with their states in words, and follows the store without a reload", async () => {
    const clock = fakeClock(NOW);
    const shop = await newShop({ now: clock.now });
    const fields = () => workingToken(shop, shop.client());
    await shop.put("a-works", fields());
    await shop.put("b-refreshes", { ...fields(), lease: { id: "x", expires: NOW + 20_000 } });
    await shop.put("c-retries", {
      ...fields(),
      failure: failing(NOW, "http_500", false),
      refreshAt: NOW + HOUR,
    });
    await shop.put("d-needs", { ...fields(), failure: failing(NOW, "invalid_request", true) });
    await shop.put("e-fixed", {
      accessToken: "canary-access-token",
      accessExpires: NOW + 40 * DAY,
      static: true,
    });
    await shop.put("f-new", { clientId: "C" });
    await shop.put("g-soon", { ...fields(), refreshExpires: NOW + 3.5 * DAY });
    const opened = await open(shop);
    const { page, complaints, close } = opened;
    await expect
      .poll(() => names(opened))
      .toEqual(["d-needs", "f-new", "c-retries", "g-soon", "b-refreshes", "a-works", "e-fixed"]);
    const text = (name: string) => page.getByRole("row", { name }).innerText();
    expect(await text("d-needs")).toMatch(
      /needs a person[\s\S]*failed \(invalid_request\)\s+3 times, 5m ago/,
    );
    expect(await text("c-retries")).toContain("retrying since 10:55");
    expect(await text("b-refreshes")).toContain("refreshing");
    expect(await text("e-fixed")).toContain("static until 7 Jan 2027");
    expect(await text("f-new")).toMatch(/not yet authorized[\s\S]*no token/);
    expect(await text("g-soon")).toMatch(/working[\s\S]*3 days/);
    expect(await text("a-works")).toMatch(/10h 59m left[\s\S]*in 8h 29m[\s\S]*59 days[\s\S]*refreshed\s+1h/);
    const bar = page.getByRole("row", { name: "a-works" }).getByRole("img");
    expect(await bar.locator("title").textContent()).toBe(
      "10h 59m of 11h 59m left, threshold 2h, refreshed with 2h 30m left",
    );
    expect(await cutOff(page, "td[data-head]:not(.org)")).toEqual([]);
    await expectAccessible(page);

    await shop.put("h-late", { ...fields(), failure: failing(NOW, "unauthorized_client", true) });
    clock.advance(2 * SECOND);
    await page.getByRole("rowheader", { name: "h-late" }).waitFor();
    await shop.store.remove("d-needs");
    clock.advance(2 * SECOND);
    await page.getByRole("rowheader", { name: "d-needs" }).waitFor({ state: "detached" });

    await page.getByLabel("Search").fill("RETRYING c-");
    await expect.poll(() => names(opened)).toEqual(["c-retries"]);
    await page.getByLabel("Search").fill("");
    await page.getByRole("button", { name: "1 needs a person" }).click();
    await expect.poll(() => names(opened)).toEqual(["h-late"]);
    expect(complaints).toEqual([]);
    await close();
  });

  test.for(["en-GB", "en-US"])(
    "shows each state in full with its longest date in %s, at 360, 900 and 1280 px",
    async (locale) => {
      // A date has its longest form in September: with the time of day up to three days away, with the year in another year.
      const now = Date.UTC(2026, 8, 30, 12);
      const shop = await newShop({ now: () => now });
      const fields = () => workingToken(shop, shop.client());
      const failed = (since: number) => ({
        ...fields(),
        failure: { ...failing(now, "unauthorized_client", false), since },
        refreshAt: now + HOUR,
      });
      const fixed = (accessExpires: number) => ({ accessToken: "canary-token", accessExpires, static: true });
      await shop.put("needs", { ...fields(), failure: failing(now, "unauthorized_client", true) });
      await shop.put("ended", { ...fields(), accessExpires: now - HOUR, refreshExpires: now - HOUR });
      await shop.put("new", { clientId: "C" });
      await shop.put("retries", failed(Date.UTC(2026, 8, 28, 22, 58)));
      await shop.put("retries-long", failed(Date.UTC(2025, 8, 28)));
      await shop.put("refreshes", { ...fields(), lease: { id: "x", expires: now + 20_000 } });
      await shop.put("works", fields());
      await shop.put("fixed", fixed(Date.UTC(2026, 9, 2, 22, 58)));
      await shop.put("fixed-long", fixed(Date.UTC(2027, 8, 28)));
      const { page, complaints, close } = await open(shop, { locale });
      await page.clock.setFixedTime(now);
      await page.getByRole("rowheader", { name: "fixed-long" }).waitFor();
      const year = { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" } as const;
      const inFull = (instant: number) => new Date(instant).toLocaleDateString(locale, year);
      const states = await page.locator("tbody .state").allInnerTexts();
      expect(states.join("\n")).toContain(`retrying since ${inFull(Date.UTC(2025, 8, 28))}`);
      expect(states.join("\n")).toContain(`static until ${inFull(Date.UTC(2027, 8, 28))}`);
      expect(states.join("\n")).toMatch(/retrying since \D*28\D* (22:58|10:58 PM|10:58\u202fPM)/);
      expect(new Set(states.map((state) => state.split(" ")[1])).size, "each state").toBe(7);

      for (const width of [1280, 900, 360]) {
        await page.setViewportSize({ width, height: 700 });
        await expectNoSideways(page);
        expect(await cutOff(page, ".state, .state-cell, tbody tr"), `at ${width} px`).toEqual([]);
      }
      await page.emulateMedia({ colorScheme: "dark" });
      await expectAccessible(page);
      expect(complaints).toEqual([]);
      await close();
    },
  );

  test("shows the reason and the remedy of a refused refresh token, and authorizes it again", async () => {
    const shop = await newShop({ service: true });
    const client = shop.client();
    await shop.put("sales", workingToken(shop, client));
    shop.sandbox.authority.revoke({ clientId: client.clientId });
    const { page, complaints, close } = await open(shop);
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

  test("changes the client secret, refreshes, sets a passphrase, withdraws and removes a token, and reports each result", async () => {
    const shop = await newShop({ service: true });
    const client = shop.client();
    await shop.put("sales", { ...workingToken(shop, client), clientSecret: "canary-client-secret-wrong" });
    const { page, complaints, close } = await open(shop);
    await page.getByRole("link", { name: "sales" }).click();
    const fold = (title: string) => page.locator("details").filter({ hasText: title });
    const status = (text: string) => page.getByRole("status").filter({ hasText: text }).waitFor();

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
    await Promise.all([
      page.getByRole("heading", { name: "No tokens yet" }).waitFor(),
      status('Token "sales" is removed.'),
    ]);
    expect(await shop.store.read("sales")).toBeUndefined();
    expect(complaints.filter((line) => !line.includes("422"))).toEqual([]);
    await close();
  });

  test("asks for nothing while the page is hidden, and for what changed once it is shown again", async () => {
    const clock = fakeClock(NOW);
    const shop = await newShop({ now: clock.now });
    await shop.put("sales", workingToken(shop, shop.client()));
    const opened = await open(shop);
    const { page, complaints, close } = opened;
    const asked: string[] = [];
    let answered = 0;
    page.on("request", (request) => void asked.push(new URL(request.url()).pathname));
    page.on("requestfinished", () => answered++);
    // Headless Chromium shows every page, and the page's clock is driven.
    await page.clock.install();
    await page.reload();
    await page.getByRole("rowheader", { name: "sales" }).waitFor();
    const polls = () => asked.filter((path) => path === "/api/tokens").length;
    const seen = polls();
    await page.clock.runFor(5 * SECOND);
    await expect.poll(polls).toBeGreaterThan(seen);

    const show = (state: "visible" | "hidden") =>
      page.evaluate(`
        Object.defineProperty(document, "hidden", { configurable: true, value: ${state === "hidden"} });
        document.dispatchEvent(new Event("visibilitychange"));`);
    await show("hidden");
    // All earlier requests are answered.
    await expect.poll(() => answered).toBeGreaterThanOrEqual(asked.length);
    asked.length = 0;
    await shop.put("support", workingToken(shop, shop.client()));
    clock.advance(MINUTE);
    await page.clock.runFor(MINUTE);
    await page.evaluate("fetch('/').catch(() => {})");
    expect(asked).toEqual(["/"]);
    expect(await names(opened)).toEqual(["sales"]);

    await show("visible");
    await page.getByRole("rowheader", { name: "support" }).waitFor();
    expect(complaints).toEqual([]);
    await close();
  });

  test("shows a token's global variables, and the remedy where publishing fails", async () => {
    const shop = await newShop({ now: () => NOW });
    const variables = ["11111111-cad0-4000-8000-000000000001"];
    const publish = { variables, region: "eu1", via: "admin", publishedAt: NOW - 3 * HOUR };
    const { count, code } = failing(NOW, "forbidden", false);
    const at = NOW - 5 * HOUR - 10 * MINUTE;
    await shop.put("a-there", { ...workingToken(shop, shop.client()), publish });
    await shop.put("b-not-there", {
      ...workingToken(shop, shop.client()),
      publish: { ...publish, failure: { count, code, since: at - HOUR, at }, nextAt: NOW + HOUR },
    });
    const { page, close } = await open(shop);
    expect(await page.getByRole("row", { name: "b-not-there" }).innerText()).toMatch(
      /working[\s\S]*not published \(forbidden\)\s+3 times, 5h 10m ago/,
    );
    await page.getByRole("link", { name: "a-there" }).click();
    await page.getByText(`${variables[0]} (eu1)`).waitFor();
    expect(await page.locator(".health").innerText()).toMatch(/Published\s+3h ago/);
    expect(await page.getByRole("note").count()).toBe(0);
    await page.getByRole("link", { name: "All tokens" }).click();
    await page.getByRole("link", { name: "b-not-there" }).click();
    await page.getByRole("note").getByText("It can't be put into its global variable.").waitFor();
    expect(await page.locator(".health").innerText()).toMatch(/failed \(forbidden\) 3 times/);
    await expectAccessible(page);
    await close();
  });

  test("breaks and resets the sandbox", async () => {
    const shop = await newShop({ now: () => NOW });
    await shop.put("sales", workingToken(shop, shop.client()));
    const { page, close } = await open(shop);
    await page.getByLabel("What goes wrong").selectOption("500");
    await page.getByRole("button", { name: "Break it" }).click();
    await page.getByText(/Webex is now broken: 500 for \d+ s/).waitFor();
    expect(shop.sandbox.faults.list()).toEqual([{ fault: "500", remainingSeconds: expect.any(Number) }]);
    await page.getByRole("button", { name: "Make it well" }).click();
    await page.getByText("The sandbox is well").waitFor();
    expect(shop.sandbox.faults.list()).toEqual([]);
    await close();
  });
});
