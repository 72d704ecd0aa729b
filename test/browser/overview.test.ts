import { describe, expect, test } from "vitest";
import { sha256 } from "../../functions/core/hash.ts";
import { DAY, HOUR, MINUTE, SECOND } from "../../functions/core/time.ts";
import { hasBrowser } from "../support/browser.ts";
import { workingToken } from "../support/console.ts";
import { clipboard, consentIn, expectAccessible, expectNoSideways, failing, names } from "./pages.ts";
import { inBrowser } from "./shops.ts";

/** How tokens are, and what is done when they are not well, in a real browser. */

describe.skipIf(!hasBrowser())("the overview", () => {
  const { newShop, open } = inBrowser();

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
    const opened = await open(shop);
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

    // What is wrong is never cut off.
    const cut = (selector: string) =>
      page.evaluate(
        `[...document.querySelectorAll("${selector}")].filter((it) => it.scrollWidth > it.clientWidth).map((it) => it.textContent)`,
      );
    expect(await cut(".state, td[data-head]:not(.org)")).toEqual([]);
    await page.emulateMedia({ colorScheme: "dark" });
    await expectAccessible(page);
    await page.setViewportSize({ width: 360, height: 700 });
    await expectNoSideways(page);
    expect(await cut(".state")).toEqual([]);
    await expectAccessible(page);
    expect(complaints).toEqual([]);
    await close();
  });

  test("a failing token says what is wrong and what mends it, and is mended on the page", async () => {
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

  test("every other action is done on the page, and says what happened", async () => {
    const shop = await newShop({ service: true });
    const client = shop.client();
    await shop.put("sales", { ...workingToken(shop, client), clientSecret: "canary-client-secret-wrong" });
    const { page, complaints, close } = await open(shop);
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

  test("a page that nobody sees asks for nothing, and for what is new once it is seen again", async () => {
    const shop = await newShop();
    await shop.put("sales", workingToken(shop, shop.client()));
    const opened = await open(shop);
    const { page, complaints, close } = opened;
    const asked: string[] = [];
    let answered = 0;
    page.on("request", (request) => void asked.push(new URL(request.url()).pathname));
    page.on("requestfinished", () => answered++);
    // Headless Chromium shows every page that it has, and time is not slept for.
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
    // What was asked before is answered.
    await expect.poll(() => answered).toBeGreaterThanOrEqual(asked.length);
    asked.length = 0;
    await shop.put("support", workingToken(shop, shop.client()));
    await page.clock.runFor(10 * MINUTE);
    await page.evaluate("fetch('/').catch(() => {})");
    expect(asked).toEqual(["/"]);
    expect(await names(opened)).toEqual(["sales"]);

    await show("visible");
    await page.getByRole("rowheader", { name: "support" }).waitFor();
    expect(complaints).toEqual([]);
    await close();
  });

  test("says in which global variables a token is, and what to do where it does not get there", async () => {
    const shop = await newShop();
    const variables = ["11111111-cad0-4000-8000-000000000001"];
    const publish = { variables, region: "eu1", via: "admin", publishedAt: Date.now() - 3 * HOUR };
    const { count, code } = failing("forbidden", false);
    // Told in minutes: the second that passes meanwhile makes no difference.
    const at = Date.now() - 5 * HOUR - 10 * MINUTE - 5 * SECOND;
    await shop.put("a-there", { ...workingToken(shop, shop.client()), publish });
    await shop.put("b-not-there", {
      ...workingToken(shop, shop.client()),
      publish: { ...publish, failure: { count, code, since: at - HOUR, at }, nextAt: Date.now() + HOUR },
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

  test("the sandbox is broken and made well on the page", async () => {
    const shop = await newShop();
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
