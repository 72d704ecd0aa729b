import axe from "axe-core";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { expect } from "vitest";
import { sha256 } from "../../functions/core/hash.ts";
import { HOUR, MINUTE } from "../../functions/core/time.ts";
import type { Shop } from "../support/console.ts";
import { HANG } from "../support/hang.ts";

const DESKTOP = { width: 1280, height: 800 };

/** A page of the console, with the errors that it does not show. */
export interface Opened {
  page: Page;
  /** Messages of the browser: script errors, violations of the content security policy, dialogs. */
  complaints: string[];
  close(): Promise<void>;
}

/** Opens the console in a new browser profile, with the key. Dates are in UTC and British English. */
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
  context.setDefaultTimeout(HANG);
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

/** axe finds nothing serious on the page. */
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

/** The page does not scroll sideways. */
export async function expectNoSideways(page: Page): Promise<void> {
  const wide = await page.evaluate(
    "document.documentElement.scrollWidth - document.documentElement.clientWidth",
  );
  expect(wide).toBeLessThanOrEqual(0);
}

/** Texts of the elements that hold more than they show. */
export const cutOff = (page: Page, selector: string) =>
  page.evaluate(
    `[...document.querySelectorAll("${selector}")]
      .filter((it) => it.scrollWidth > it.clientWidth || it.scrollHeight > it.clientHeight)
      .map((it) => it.className + ": " + it.textContent)`,
  ) as Promise<string[]>;

/** Presses a button of the consent page that `act` opens; gives the text of the page that follows. */
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

/** Three failures since an hour before the last one, which was 5 minutes before `now`, as the store holds them. */
export function failing(now: number, code: string, permanent: boolean) {
  const at = now - 5 * MINUTE;
  return { count: 3, code, since: at - HOUR, at, permanent, inputs: sha256("others") };
}

/** Names of the tokens on the page from top to bottom. */
export const names = ({ page }: Opened) => page.getByRole("rowheader").allInnerTexts();
