import { describe, expect, test } from "vitest";
import { SECOND } from "../../functions/core/time.ts";
import { hasBrowser } from "../support/browser.ts";
import { fakeClock } from "../support/clock.ts";
import { workingToken } from "../support/console.ts";
import { expectAccessible } from "./pages.ts";
import { inBrowser } from "./shops.ts";

/** More tokens than the page draws at once, in several pages of the store. */

const COUNT = 2_000;
const nameOf = (index: number) => `token-${String(index).padStart(4, "0")}`;

describe.skipIf(!hasBrowser())("the overview of two thousand tokens", () => {
  const { newShop, open } = inBrowser();

  test("draws only the rows in view, searches all of them, and asks only for what changed", async () => {
    const clock = fakeClock();
    const shop = await newShop({ now: clock.now });
    const fields = workingToken(shop, shop.client());
    for (let index = 0; index < COUNT; index++) await shop.put(nameOf(index), fields);
    const { page, complaints, close } = await open(shop);
    await page.getByRole("heading", { name: `${COUNT} tokens` }).waitFor();
    await page.getByRole("rowheader", { name: nameOf(0) }).waitFor();
    const rows = page.locator("tbody tr:not(.spacer)");
    expect(await page.getByRole("table").getAttribute("aria-rowcount")).toBe(String(COUNT + 1));

    // The most rows that were there at once on the way to the bottom, at two frames a step.
    const most = await page.evaluate(`(async () => {
      let most = 0;
      const height = document.documentElement.scrollHeight;
      for (let step = 0; step <= 30; step++) {
        scrollTo(0, (height * step) / 30);
        for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
        most = Math.max(most, document.querySelectorAll("tbody tr:not(.spacer)").length);
      }
      return most;
    })()`);
    expect(most).toBeLessThan(100);
    await page.getByRole("rowheader", { name: nameOf(COUNT - 1) }).waitFor();
    expect(await rows.last().getAttribute("aria-rowindex")).toBe(String(COUNT + 1));

    await page.getByLabel("Search").fill(nameOf(1321));
    await expect.poll(() => page.getByRole("rowheader").allInnerTexts()).toEqual([nameOf(1321)]);
    await expectAccessible(page);
    await page.getByLabel("Search").fill("");
    await expect.poll(() => rows.count()).toBeGreaterThan(10);

    const answer = page.waitForResponse(async (response) =>
      (await response.text()).includes("ownPassphrase"),
    );
    const token = await shop.store.read(nameOf(1234));
    if (token !== undefined) await shop.store.update(token, { passphraseHash: "made-up" });
    clock.advance(2 * SECOND);
    expect((await (await answer).text()).length, "bytes for one changed token").toBeLessThan(5_000);
    expect(complaints).toEqual([]);
    await close();
  });
});
