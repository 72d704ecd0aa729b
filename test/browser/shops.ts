import type { Browser } from "playwright-core";
import { afterAll, beforeAll } from "vitest";
import { startBrowser } from "../support/browser.ts";
import { openShop, type Shop } from "../support/console.ts";
import { stopAll } from "../support/processes.ts";
import { type Opened, openPage } from "./pages.ts";

/** Call it in a describe block: its tests share one browser, which is closed at the end with all their consoles. */
export function inBrowser() {
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
