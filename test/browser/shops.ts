import type { Browser } from "playwright-core";
import { afterAll, beforeAll, vi } from "vitest";
import { startBrowser } from "../support/browser.ts";
import { openShop, type Shop } from "../support/console.ts";
import { stopAll } from "../support/processes.ts";
import { type Opened, openPage } from "./pages.ts";

/** To be called where tests are described: one browser for all of them, and consoles that are closed with it. */
export function inBrowser() {
  // A page that is drawn late on a busy machine is no failure.
  vi.setConfig({ testTimeout: 60_000 });
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
  return {
    browser: () => browser,
    newShop: async (options: Parameters<typeof openShop>[0] = {}): Promise<Shop> => {
      const shop = await openShop(options);
      shops.push(shop);
      return shop;
    },
    open: (...[shop, options]: Tail<Parameters<typeof openPage>>): Promise<Opened> =>
      openPage(browser, shop, options),
  };
}

type Tail<T extends unknown[]> = T extends [unknown, ...infer Rest] ? Rest : never;
