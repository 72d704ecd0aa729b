import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { FAULTS } from "../../local/sandbox/faults.ts";
import type { TokenResponse } from "../../local/sandbox/grants.ts";
import { type Box, CLIENT, CREDENTIALS, openBox } from "./sandbox-box.ts";

let box: Box;
beforeEach(async () => {
  box = await openBox();
});
afterEach(() => box.close());

describe("faults", () => {
  let held: TokenResponse;
  beforeEach(() => {
    held = box.sandbox.authority.issue("C1");
  });
  const again = () => box.refresh(held.refresh_token);

  test("each fault has a description of one line, and can be set", async () => {
    for (const { fault, about } of FAULTS) {
      expect(about).toMatch(/^.{10,90}$/);
      expect((await box.control("PUT", "/sandbox/faults", { fault, times: 1 })).status).toBe(200);
    }
    expect((await box.control("DELETE", "/sandbox/faults")).body).toEqual({ faults: [] });
    expect((await again()).status).toBe(200);
  });

  test("a fault ends by the sandbox's clock, and shows what remains", async () => {
    await box.control("PUT", "/sandbox/faults", { fault: "500", seconds: 10 });
    box.clock.advance(8500);
    expect((await box.control("GET", "/sandbox")).body.faults).toEqual([
      { fault: "500", remainingSeconds: 2 },
    ]);
    expect((await again()).status).toBe(500);
    box.clock.advance(1500);
    expect((await again()).status).toBe(200);
    expect(box.sandbox.faults.list()).toEqual([]);
  });

  test("faults with times apply one after another in the order set", async () => {
    box.sandbox.faults.add({ fault: "500", times: 2 });
    box.sandbox.faults.add({ fault: "html-403", times: 1 });
    const statuses = [];
    for (let i = 0; i < 4; i++) statuses.push((await again()).status);
    expect(statuses).toEqual([500, 500, 403, 200]);
  });

  test("a fault of one client does not affect others", async () => {
    box.sandbox.authority.registerClient({ ...CLIENT, clientId: "C2" });
    const other = box.sandbox.authority.issue("C2").refresh_token;
    box.sandbox.faults.add({ fault: "500", clientId: "C2" });
    expect((await again()).status).toBe(200);
    const theirs = { ...CREDENTIALS, client_id: "C2", grant_type: "refresh_token", refresh_token: other };
    expect((await box.post(theirs)).status).toBe(500);
  });

  test("down destroys connections to both endpoints, and changes nothing", async () => {
    box.sandbox.faults.add({ fault: "down" });
    await expect(again()).rejects.toThrow();
    await expect(box.me(held.access_token)).rejects.toThrow();
    expect(box.sandbox.authority.counters().refresh_token).toMatchObject({
      received: 1,
      granted: 0,
      faulted: 1,
    });
  });

  test("lost spends a code although its tokens do not arrive", async () => {
    const code = await box.consentedCode();
    box.sandbox.faults.add({ fault: "lost", times: 1 });
    await expect(box.exchange(code)).rejects.toThrow();
    expect(box.sandbox.authority.counters().authorization_code.granted).toBe(1);
    expect((await box.exchange(code)).body.error).toBe("invalid_grant");
  });

  test("hang never answers, and closing the sandbox ends it", async () => {
    box.sandbox.faults.add({ fault: "hang" });
    let answered = false;
    const hanging = Promise.allSettled([again(), box.me(held.access_token)]).then((results) => {
      answered = true;
      return results;
    });
    await expect.poll(() => box.events.filter(({ kind }) => kind === "fault").length).toBe(2);
    expect(answered).toBe(false);
    await box.sandbox.close();
    expect((await hanging).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  });

  test("slow changes state at once, while its answer is still to come", async () => {
    box.sandbox.faults.add({ fault: "slow", delayMs: 600_000 });
    let answered = false;
    const pending = again().finally(() => {
      answered = true;
    });
    const ended = expect(pending).rejects.toThrow();
    await expect.poll(() => box.sandbox.authority.counters().refresh_token.granted).toBe(1);
    expect(answered).toBe(false);
    await box.sandbox.close();
    await ended;
  });

  test("slow answers correctly after its delay, on both endpoints", async () => {
    box.sandbox.faults.add({ fault: "slow", delayMs: 30, times: 2 });
    const timers = vi.spyOn(globalThis, "setTimeout");
    expect((await again()).status).toBe(200);
    expect((await box.me(held.access_token)).status).toBe(200);
    expect(timers.mock.calls.filter(([, ms]) => ms === 30)).toHaveLength(2);
    timers.mockRestore();
  });

  test("a fault of the token endpoint does not affect people/me", async () => {
    box.sandbox.faults.add({ fault: "500", times: 1 });
    expect((await box.me(held.access_token)).status).toBe(200);
    expect((await again()).status).toBe(500);
  });
});
