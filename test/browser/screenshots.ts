import { statSync } from "node:fs";
import path from "node:path";
import type { Browser, Page } from "playwright-core";
import type { RawFields } from "../../functions/core/document.ts";
import { DAY, HOUR, MINUTE, SECOND } from "../../functions/core/time.ts";
import { startBrowser } from "../support/browser.ts";
import { openShop, type Shop } from "../support/console.ts";
import { stopAll } from "../support/processes.ts";

// npm run screenshots: the images of docs/ and the README, always of the same made-up tokens at the same time.

const FOLDER = path.resolve(import.meta.dirname, "../../docs/images");
const NOW = Date.UTC(2026, 2, 3, 14, 20);
/** Bytes: a README should not weigh more. */
const MOST = 200_000;

const ORGS = ["7c1e4f52-93a0-4d7b-8f6e-2b9d5a10c3e4", "e2a90b6d-51f8-4c3e-a7d4-90c6b1f3d852"];

interface Made {
  age: number;
  runway?: number;
  org?: number;
  more?: RawFields;
}

/** A token of twelve hours that was refreshed `age` ms ago. */
function fields({ age, runway = 52 * DAY, org = 0, more = {} }: Made): RawFields {
  const back = NOW - age;
  return {
    clientId: "C5d8e2f0a9b31c47",
    clientSecret: "canary-made-up",
    redirectUri: "https://tokens.example.com/callback",
    scopes: "cjp:config_read cjp:config_write",
    scope: "cjp:config_read cjp:config_write",
    accessToken: `canary-made-up_PF84_${ORGS[org]}`,
    refreshToken: "canary-made-up",
    accessExpires: back + 43_199 * SECOND,
    refreshExpires: NOW + runway,
    lastRefresh: back,
    lifetime: 43_199,
    refreshAt: back + 43_199 * SECOND - 160 * MINUTE,
    ...more,
  };
}

const failure = (code: string, permanent: boolean, count: number, since: number) => ({
  failure: { count, code, since: NOW - since, at: NOW - 2 * MINUTE, permanent, inputs: "made-up" },
});

const TOKENS: Record<string, RawFields> = {
  "sales-emea": fields({ age: 3 * HOUR + 12 * MINUTE }),
  "sales-apac": fields({ age: 6 * HOUR + 40 * MINUTE, org: 1 }),
  "callback-queue": fields({ age: 9 * HOUR + 18 * MINUTE }),
  "journey-data": fields({ age: 40 * MINUTE, org: 1, runway: 59.5 * DAY }),
  "desk-reports": fields({ age: 8 * HOUR, more: { lease: { id: "x", expires: NOW + 20 * SECOND } } }),
  surveys: fields({
    age: 9 * HOUR + 50 * MINUTE,
    more: { ...failure("http_503", false, 4, 18 * MINUTE), refreshAt: NOW + 5.5 * MINUTE },
  }),
  "billing-bot": fields({
    age: 10 * HOUR + 31 * MINUTE,
    org: 1,
    more: { ...failure("invalid_request", true, 2, 71 * MINUTE), refreshAt: NOW + 50 * MINUTE },
  }),
  "partner-portal": fields({ age: 2 * HOUR, runway: 6.4 * DAY }),
  "load-test": {
    accessToken: `canary-made-up_P0A1_${ORGS[1]}`,
    accessExpires: NOW + 38 * DAY,
    lifetime: 60 * 24 * 60 * 60,
    static: true,
  },
  "new-campaign": {
    clientId: "C0a1",
    clientSecret: "canary-made-up",
    redirectUri: "https://tokens.example.com/callback",
  },
};

function sweeps() {
  const list = Array.from({ length: 72 }, (_, index) => ({
    at: NOW - (72 - index) * 7 * MINUTE,
    due: 4,
    refreshed: 1 + ((index * 7) % 5) + (index % 9 === 0 ? 4 : 0),
    failed: index > 52 && index < 58 ? 3 : 0,
    deferred: 0,
    remaining: 0,
    overdueSeconds: 3,
    elapsedMs: 400,
  }));
  return { last: NOW - 12 * SECOND, sweeps: list };
}

async function shoot(name: string, page: Page): Promise<void> {
  const file = path.join(FOLDER, `${name}.png`);
  await page.screenshot({ path: file, animations: "disabled", caret: "hide" });
  const { size } = statSync(file);
  console.log(`docs/images/${name}.png  ${Math.round(size / 1000)} kB`);
  if (size > MOST) throw new Error(`${name}.png is larger than ${MOST} bytes`);
}

async function open(browser: Browser, shop: Shop, height: number): Promise<Page> {
  const context = await browser.newContext({
    viewport: { width: 1200, height },
    deviceScaleFactor: 1,
    colorScheme: "light",
    locale: "en-GB",
    timezoneId: "UTC",
    reducedMotion: "reduce",
  });
  const page = await context.newPage();
  await page.goto(shop.page.url);
  await page.locator("main h1").waitFor();
  return page;
}

const newShop = () =>
  openShop({
    now: () => NOW,
    live: true,
    where: "Firestore, project contact-centre",
    url: "https://tokens.example.com",
    passphraseFile: "passphrase",
  });

const browser = await startBrowser();
try {
  const shop = await newShop();
  for (const [name, token] of Object.entries(TOKENS)) await shop.put(name, token);
  await shop.documents.create("status", "sweeps", sweeps());
  const page = await open(browser, shop, 1120);
  await page.getByRole("rowheader", { name: "sales-emea" }).waitFor();
  await shoot("overview", page);
  await page.setViewportSize({ width: 1200, height: 820 });
  await page.getByRole("link", { name: "billing-bot" }).click();
  await page.getByRole("button", { name: "Authorize again with Webex" }).waitFor();
  await page.evaluate("document.activeElement.blur()");
  await shoot("failing-token", page);
  await shop.close();

  const empty = await newShop();
  const first = await open(browser, empty, 900);
  await first.getByRole("link", { name: "Set up the first token" }).click();
  await first.getByLabel("Name of the token").fill("sales-emea");
  await first.getByLabel("Client id").fill("C5d8e2f0a9b31c47");
  await first.getByLabel("Client secret").fill("canary-client-secret");
  await first.evaluate("document.activeElement.blur(); scrollTo(0, 0)");
  await shoot("set-up", first);
  await empty.close();
} finally {
  await browser.close();
  await stopAll();
}
