import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, expect, test } from "vitest";
import { freshProject } from "../support/emulator.ts";
import { startFunction, stopAll } from "../support/processes.ts";

afterAll(stopAll);

test("lookup takes its access token from GCE_METADATA_HOST, and answers 503 while Firestore does not answer", async () => {
  const asked: (string | undefined)[] = [];
  const metadata = createServer((request, response) => {
    asked.push(request.url);
    response.end(JSON.stringify({ access_token: "canary-access", expires_in: 3600, token_type: "Bearer" }));
  }).listen(0, "127.0.0.1");
  await once(metadata, "listening");
  const running = await startFunction("lookup", {
    GCE_METADATA_HOST: `127.0.0.1:${(metadata.address() as AddressInfo).port}`,
    GOOGLE_CLOUD_PROJECT: freshProject(),
    TOKEN_PASSPHRASE: "canary-passphrase-of-the-flow",
    REFRESHER_URL: "http://127.0.0.1:1",
  });
  const headers = { "x-token-passphrase": "canary-passphrase-of-the-flow" };
  const reads = Array.from({ length: 5 }, () => fetch(`${running.url}/?name=flow`, { headers }));
  const answers = await Promise.all(reads);
  expect(answers.map(({ status }) => status)).toEqual([503, 503, 503, 503, 503]);
  expect(answers[0]?.headers.get("retry-after")).toMatch(/^\d+$/);
  expect(new Set(asked)).toEqual(new Set(["/computeMetadata/v1/instance/service-accounts/default/token"]));
  // All reads share one ask; on a machine so busy that it took a second, there is another.
  expect(asked.length).toBeLessThanOrEqual(2);
  expect(running.output().join("\n")).not.toMatch(/canary/);
  expect((await fetch(`${running.url}/health`)).status).toBe(200);
  metadata.close();
});
