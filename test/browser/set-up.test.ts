import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { hasBrowser } from "../support/browser.ts";
import { PASSPHRASE } from "../support/console.ts";
import { clipboard, consentIn, expectAccessible } from "./pages.ts";
import { inBrowser } from "./shops.ts";

/** The guided set-up in a real browser, with the whole service and the sandbox behind it. */

describe.skipIf(!hasBrowser())("the guided set-up", () => {
  const { newShop, open } = inBrowser();

  test("leads from an empty store to a curl command that prints a working token", async () => {
    const shop = await newShop({ service: true });
    const { page, complaints, close } = await open(shop);
    await expect.poll(() => page.locator("h1").innerText()).toBe("No tokens yet");
    await expectAccessible(page);
    await page.getByRole("link", { name: "Set up the first token" }).click();
    await expectAccessible(page);

    await page.getByRole("button", { name: "Copy Redirect URI" }).click();
    await expect.poll(() => clipboard(page)).toBe(`${shop.url}/callback`);

    await page.getByRole("button", { name: "Make a practice integration" }).click();
    await page.getByText("The sandbox has a made-up integration").waitFor();
    await page.getByLabel("Name of the token").fill("sales & more");
    await page.getByLabel("cjp:user").check();
    await page.getByRole("button", { name: "Save" }).click();

    // The element with the focus is gone; the next step gets it.
    await expect.poll(() => page.evaluate("document.activeElement?.textContent")).toBe("Authorize it");
    const said = await consentIn(page, () =>
      page.getByRole("button", { name: "Authorize with Webex" }).click(),
    );
    expect(said).toContain("Authorized");
    await page.getByText(/is authorized: it lives 2\dm/).waitFor();
    await expectAccessible(page);
    expect((await shop.store.read("sales & more"))?.document.scope).toBe(
      "cjp:config_read cjp:config_write cjp:user",
    );

    await page.getByRole("button", { name: "Copy Command" }).click();
    await expect.poll(() => clipboard(page)).toMatch(/^curl /);
    const { stdout } = await promisify(execFile)("sh", ["-c", await clipboard(page)]);
    const { status, token } = JSON.parse(stdout);
    expect(status).toBe("200");
    expect(shop.sandbox.authority.holder(token)?.live).toBe(true);

    const seen = await page.content();
    expect(seen).not.toContain(PASSPHRASE);
    expect(seen).not.toContain(token);
    await page.getByRole("link", { name: "Tokens", exact: true }).click();
    await page.getByRole("rowheader", { name: "sales & more" }).waitFor();
    expect(await page.getByRole("row", { name: "sales & more" }).innerText()).toMatch(/working[\s\S]*left/);
    expect(complaints).toEqual([]);
    await close();
  });

  test("has a snippet for each kind of caller, each with a button that copies it", async () => {
    const shop = await newShop({ service: true });
    await shop.put("sales", { clientId: "C", redirectUri: "http://127.0.0.1/callback" });
    const { page, close } = await open(shop);
    await page.getByRole("link", { name: "sales" }).click();
    for (const title of ["Flow Designer", "Webex Connect: HTTP Request", "Webex Connect: custom node", "JDS"])
      await page.getByText(title, { exact: true }).click();
    for (const wanted of [
      "x-token-passphrase = {{passphrase}}",
      "$.token",
      "HTTP Status equals 200",
      "$JDS_URL",
    ])
      await page.getByText(wanted).first().waitFor();
    const pieces = await page.locator("figure").all();
    expect(pieces.length).toBeGreaterThan(8);
    for (const piece of pieces) {
      const text = await piece.locator("pre").innerText();
      await piece.getByRole("button").click();
      await expect.poll(() => clipboard(page)).toBe(text.trim());
    }
    await expectAccessible(page);
    await close();
  });

  test("shows the error next to each invalid field, and focuses the first", async () => {
    const { page, complaints, close } = await open(await newShop({ service: true }));
    await page.getByRole("link", { name: "Set up the first token" }).click();
    // From here on with the keyboard only.
    const name = page.getByLabel("Name of the token");
    await name.focus();
    await page.keyboard.type("a/b");
    await page.keyboard.press("Enter");
    await page.getByText('No token can have this name: the name contains "/".').waitFor();
    await expect.poll(() => page.evaluate("document.activeElement?.value")).toBe("a/b");
    expect(await name.getAttribute("aria-invalid")).toBe("true");
    const described = (await name.getAttribute("aria-describedby")) ?? "";
    expect(await page.locator(`#${described.split(" ").at(-1)}`).innerText()).toContain("No token can have");
    await page.getByText("Paste the client id that Webex shows.").waitFor();
    await page.getByText("Paste the client secret that Webex showed once.").waitFor();
    await expectAccessible(page);
    // The browser itself logs an answer of 422.
    expect(complaints.filter((line) => !line.includes("422"))).toEqual([]);
    await close();
  });

  test("imports the refresh token of a Service App without a consent", async () => {
    const shop = await newShop({ service: true });
    const client = shop.client({ redirectUris: [] });
    const { page, close } = await open(shop);
    await page.getByRole("link", { name: "Set up the first token" }).click();
    await page.getByLabel("Service App").check();
    await page.getByLabel("Name of the token").fill("robot");
    await page.getByLabel("Client id").fill(client.clientId);
    await page.getByLabel("Client secret").fill(client.clientSecret);
    await page.getByLabel("Refresh token").fill(shop.sandbox.authority.issue(client.clientId).refresh_token);
    await page.getByRole("button", { name: "Save and refresh" }).click();
    await page.getByText(/Imported: Token "robot" is refreshed/).waitFor();
    await page.getByRole("button", { name: "Copy Command" }).waitFor();
    expect(await page.locator("input[type=password]").count()).toBe(0);
    await close();
  });

  test("says that Webex refuses the tokens of a Service App, and links to the page that repairs it", async () => {
    const shop = await newShop({ service: true });
    const { clientId } = shop.client({ redirectUris: [] });
    const { page, close } = await open(shop);
    await page.getByRole("link", { name: "Set up the first token" }).click();
    await page.getByLabel("Service App").check();
    await page.getByLabel("Name of the token").fill("robot");
    await page.getByLabel("Client id").fill(clientId);
    await page.getByLabel("Client secret").fill("canary-client-secret-wrong");
    await page.getByLabel("Refresh token").fill(shop.sandbox.authority.issue(clientId).refresh_token);
    await page.getByRole("button", { name: "Save and refresh" }).click();
    await page.getByText(/It is stored, but not refreshed yet: Webex refuses to refresh it/).waitFor();
    expect(await page.getByRole("button", { name: "Copy Command" }).count()).toBe(0);
    await page.getByRole("link", { name: "Open it, and mend it there" }).click();
    await page.getByRole("note").getByText("give that, too").waitFor();
    await page.getByRole("button", { name: "Save and refresh" }).waitFor();
    await close();
  });

  test("makes a practice Service App in the sandbox without showing its refresh token", async () => {
    const shop = await newShop({ service: true });
    const { page, complaints, close } = await open(shop);
    await page.getByRole("link", { name: "Set up the first token" }).click();
    await page.getByLabel("Service App").check();
    await page.getByRole("button", { name: "Make a practice Service App" }).click();
    await page.getByText("Its settings are filled in below.").waitFor();
    await page.getByLabel("Name of the token").fill("robot");
    await expectAccessible(page);
    await page.getByRole("button", { name: "Save and refresh" }).click();
    await page.getByText(/Imported: Token "robot" is refreshed/).waitFor();
    await page.getByRole("button", { name: "Copy Command" }).click();
    await expect.poll(() => clipboard(page)).toMatch(/^curl /);
    const { stdout } = await promisify(execFile)("sh", ["-c", await clipboard(page)]);
    expect(shop.sandbox.authority.holder(JSON.parse(stdout).token)?.live).toBe(true);
    expect(complaints).toEqual([]);
    await close();
  });
});
