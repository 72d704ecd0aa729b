import axe from "axe-core";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { expect } from "vitest";
import { sha256 } from "../../functions/core/hash.ts";
import { HOUR, MINUTE } from "../../functions/core/time.ts";
import type { Shop } from "../support/console.ts";

const DESKTOP = { width: 1280, height: 800 };

/** A page of the console, and what went wrong in it that nobody saw. */
export interface Opened {
  page: Page;
  /** What the browser complained of: errors of scripts, and what the policy forbade. */
  complaints: string[];
  close(): Promise<void>;
}

/** Opens the console in a browser profile of its own, with the key. */
export async function openPage(
  browser: Browser,
  shop: Pick<Shop, "page" | "origin">,
  options: BrowserContextOptions = {},
): Promise<Opened> {
  const context = await browser.newContext({
    viewport: DESKTOP,
    locale: "en-GB",
    timezoneId: "UTC",
    ...options,
  });
  context.setDefaultTimeout(15_000);
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: shop.origin });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  page.on("dialog", (dialog) => {
    complaints.push(`a dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  await page.goto(shop.page.url);
  await page.locator("main h1").waitFor();
  return { page, complaints, close: () => context.close() };
}

interface Violation {
  id: string;
  impact: string;
  nodes: { target: string[]; failureSummary?: string }[];
}

/** Nothing that axe finds serious is on the page as it is. */
export async function expectAccessible(page: Page): Promise<void> {
  await page.evaluate(axe.source);
  const violations = (await page.evaluate(
    "axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations)",
  )) as Violation[];
  const told = violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(" ")).join(", ")}`);
  expect(told).toEqual([]);
}

/** The page needs no scrolling from side to side. */
export async function expectNoSideways(page: Page): Promise<void> {
  const wide = await page.evaluate(
    "document.documentElement.scrollWidth - document.documentElement.clientWidth",
  );
  expect(wide).toBeLessThanOrEqual(0);
}

/** Presses the consent's button on the page that opens when `act` is done, and gives its text after that. */
export async function consentIn(
  page: Page,
  act: () => Promise<void>,
  button: "Allow" | "Deny" = "Allow",
): Promise<string> {
  const [webex] = await Promise.all([page.context().waitForEvent("page"), act()]);
  await webex.getByRole("button", { name: button }).click();
  await webex.waitForURL(/\/callback/);
  const text = await webex.locator("body").innerText();
  await webex.close();
  return text;
}

/** What the page put on the clipboard. */
export const clipboard = (page: Page) => page.evaluate("navigator.clipboard.readText()") as Promise<string>;

/** A failure of the last hour, as the store holds it. */
export function failing(code: string, permanent: boolean) {
  const at = Date.now() - 5 * MINUTE;
  return { count: 3, code, since: at - HOUR, at, permanent, inputs: sha256("others") };
}

/** The tokens on the page from top to bottom. */
export const names = ({ page }: Opened) => page.getByRole("rowheader").allInnerTexts();
