import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { refresherAt } from "../../functions/adapters/refresher-client.ts";
import { relayTo } from "../support/relay.ts";

test("an ask is answered after the connection of the ask before went silent (row 31)", async () => {
  const refresher = createServer((_, response) => response.end('{"outcome":"fresh"}')).listen(0, "127.0.0.1");
  await once(refresher, "listening");
  const relay = await relayTo(`127.0.0.1:${(refresher.address() as AddressInfo).port}`);
  onTestFinished(async () => {
    await relay.close();
    refresher.closeAllConnections();
    refresher.close();
  });
  const askRefresher = refresherAt(`http://${relay.host}`, { identityToken: async () => "made-up" });

  await askRefresher("sales", { by: "reader" });
  relay.silence();
  expect(await askRefresher("sales", { by: "reader" })).toEqual({ outcome: "fresh" });
});
