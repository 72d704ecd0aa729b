import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { RawFields, ServiceApp } from "../../functions/core/document.ts";
import type { IssueRequest, TokenEndpoint } from "../../functions/core/grant.ts";
import { refresh } from "../../functions/core/refresh.ts";
import { stateOf } from "../../functions/core/state.ts";
import { StoreUnavailable, tokenStore } from "../../functions/core/store.ts";
import { sweep } from "../../functions/core/sweep.ts";
import { DAY, HOUR, MINUTE, SECOND } from "../../functions/core/time.ts";
import type { Fault } from "../../local/sandbox/faults.ts";
import { CLIENT, OLD, ORG, openWorld, READER, range, type World } from "../support/world.ts";
import { KILLED, kills, mortalProcess } from "./crash.ts";
import { expectHonestAnswer } from "./crash-reader.ts";
import { makeVariable, variable, WISH } from "./publishing.ts";
import { intercepted } from "./troubled.ts";

const APP = { ...CLIENT, clientId: "app", clientSecret: "canary-client-secret-of-app", redirectUris: [] };
const APPLICATION = "Y2lzY29zcGFyazovL3VzL0FQUExJQ0FUSU9OL21hZGUtdXA=";
const MANAGER = { ...CLIENT, clientId: "manager", scopes: ["spark:applications_token"] };

let world: World;
let name = "";
let manager = "";
let count = 0;
beforeEach(async () => {
  world = await openWorld();
  name = `app ${++count}`;
  manager = `manager ${count}`;
  const { authority } = world.sandbox;
  authority.registerClient(APP);
  authority.registerClient(MANAGER);
  authority.registerApplication({ applicationId: APPLICATION, clientId: "app", authorizedBy: [ORG] });
  await world.add(manager, { ...world.granted(0, MANAGER), refreshAt: world.clock.now() + 9 * HOUR });
});
afterEach(async () => {
  await world.close();
});

const serviceApp = (): ServiceApp => ({ applicationId: APPLICATION, targetOrg: ORG, manager });
/** Adds a Service App whose refresh token Webex has revoked. */
async function addRefused(more: RawFields = {}): Promise<void> {
  await world.add(name, { ...world.granted(OLD, APP), serviceApp: serviceApp(), ...more });
  world.sandbox.authority.revoke({ clientId: "app" });
}
const document = async () => (await world.token(name)).document;
const issued = () => world.sandbox.authority.counters().service_app.received;
async function expectRecovered(): Promise<void> {
  const { accessToken, failure, lease, accessExpires, refreshAt } = await document();
  expect(world.live(accessToken)).toBe(true);
  expect([failure, lease]).toEqual([undefined, undefined]);
  expect((accessExpires ?? 0) - (refreshAt ?? 0)).toBeGreaterThanOrEqual(2.5 * HOUR);
}

describe("a Service App", () => {
  test("whose refresh token is refused gets new tokens through its manager at once", async () => {
    await addRefused();
    const before = await document();
    expect(await refresh(name, READER, world.refresher())).toEqual({ outcome: "refreshed" });
    await expectRecovered();
    const { refreshToken, serviceApp: kept } = await document();
    expect(refreshToken).not.toBe(before.refreshToken);
    expect(kept).toEqual(serviceApp());
    expect([world.refreshes(), issued()]).toEqual([1, 1]);
    expect(world.critical()).toEqual([]);
    expect(await refresh(name, { by: "operator" }, world.refresher())).toEqual({ outcome: "refreshed" });
    expect([world.refreshes(), issued()]).toEqual([2, 1]);
  });

  test("without tokens gets its first ones in a sweep", async () => {
    const { clientId, clientSecret } = APP;
    await world.add(name, { clientId, clientSecret, serviceApp: serviceApp(), refreshAt: 1 });
    await sweep(world.sweeper());
    await expectRecovered();
    expect([world.refreshes(), issued()]).toEqual([0, 1]);
  });

  test("is issued tokens once for twenty readers at once", async () => {
    await addRefused();
    await Promise.all(range(20).map(() => refresh(name, READER, world.refresher())));
    await expectRecovered();
    expect([world.refreshes(), issued()]).toEqual([1, 1]);
  });

  test("is published with its new token", async () => {
    makeVariable(world);
    const writing = { ...world.granted(), refreshAt: world.clock.now() + 9 * HOUR };
    await world.add(`writer of ${name}`, writing);
    await addRefused({ publish: { ...WISH, via: `writer of ${name}` } });
    await sweep(world.sweeper());
    expect(variable(world)?.defaultValue).toBe((await document()).accessToken);
  });

  test("is not issued tokens while its own refresh token works", async () => {
    await world.add(name, { ...world.granted(OLD, APP), serviceApp: serviceApp() });
    await sweep(world.sweeper());
    await expectRecovered();
    expect(issued()).toBe(0);
  });

  test("is not issued tokens after a transient failure", async () => {
    await world.add(name, { ...world.granted(OLD, APP), serviceApp: serviceApp() });
    world.sandbox.faults.add({ fault: "500" });
    await refresh(name, READER, world.refresher());
    expect(issued()).toBe(0);
  });
});

describe("a Service App whose manager fails", () => {
  const lasting: [string, string, () => unknown][] = [
    [
      "no administrator has authorized it",
      "app_http_403",
      () =>
        world.sandbox.authority.registerApplication({
          applicationId: APPLICATION,
          clientId: "app",
          authorizedBy: [],
        }),
    ],
    [
      "the application does not exist",
      "app_http_404",
      () => world.edit(name, { serviceApp: { ...serviceApp(), applicationId: "another" } }),
    ],
    ["Webex rejects the manager's token", "app_http_401", revokeManager],
    ["the manager does not exist", "app_manager_missing", () => world.store.remove(manager)],
  ];
  function revokeManager() {
    world.sandbox.authority.revoke({ clientId: "manager", accessTokens: true });
  }
  test.each(lasting)("because %s alerts with %s and backs off", async (_, code, spoil) => {
    await addRefused();
    await spoil();
    await sweep(world.sweeper());
    expect((await document()).failure).toMatchObject({ code, count: 1, permanent: true });
    expect(world.events("refresh.refused")).toEqual([{ token: name, count: 1, code, permanent: true }]);
    await world
      .edit(manager, { refreshAt: world.clock.now() + 2 * DAY, accessExpires: world.clock.now() + 2 * DAY })
      .catch(() => "it was removed");
    await world.sweepFor(DAY, world.sweeper(), undefined, 5 * MINUTE);
    expect(issued()).toBeLessThanOrEqual(40);
  });

  const PASSING: [Fault, string][] = [
    ["429-none", "rate_limited"],
    ["500", "app_http_500"],
    ["html", "app_not_json"],
    ["html-403", "app_http_403"],
    ["down", "app_network"],
    ["empty-token", "app_no_access_token"],
  ];
  test.each(PASSING)("with %s is retried soon, and recovers", async (fault, code) => {
    await addRefused();
    const endpoint: TokenEndpoint = {
      ...world.endpoint,
      issue: (request: IssueRequest) => {
        world.sandbox.faults.add({ fault, times: 1 });
        return world.endpoint.issue(request);
      },
    };
    expect(await refresh(name, READER, world.refresher({ endpoint }))).toMatchObject({
      code,
      permanent: false,
    });
    expect(world.events("refresh.refused")).toEqual([]);
    await world.sweepFor(3 * MINUTE);
    await expectRecovered();
  });

  test("with an ended token sends no request, and recovers with the manager", async () => {
    await addRefused();
    const { accessExpires } = (await world.token(manager)).document;
    await world.edit(manager, { accessExpires: world.clock.now() - 1, refreshAt: world.clock.now() + DAY });
    await world.sweepFor(2 * HOUR);
    expect((await document()).failure).toMatchObject({ code: "app_manager_ended", permanent: false });
    expect([world.refreshes(), issued()]).toEqual([1, 0]);
    await world.edit(manager, { accessExpires });
    await world.sweepFor(15 * MINUTE);
    await expectRecovered();
  });

  test("because the store does not answer is retried soon", async () => {
    await addRefused();
    let reads = 0;
    const documents = intercepted(world.documents, async ({ method }, perform) => {
      if (method === "read" && ++reads === 2) throw new StoreUnavailable("no answer in time");
      return perform();
    });
    const store = tokenStore(documents, world.runtime.now);
    const outcome = await refresh(name, READER, world.refresher({ store }));
    expect(outcome).toMatchObject({ code: "app_manager_unread", permanent: false });
    expect((await document()).lease).toBeUndefined();
    await world.sweepFor(3 * MINUTE);
    await expectRecovered();
  });

  test("after a new secret was typed discards the issued tokens", async () => {
    await addRefused();
    const endpoint: TokenEndpoint = {
      ...world.endpoint,
      async issue(request) {
        const answer = await world.endpoint.issue(request);
        await world.edit(name, { clientSecret: "canary-newer-client-secret" });
        return answer;
      },
    };
    expect(await refresh(name, READER, world.refresher({ endpoint }))).toEqual({ outcome: "discarded" });
    expect((await document()).clientSecret).toBe("canary-newer-client-secret");
  });
});

describe("a Service App replaced by hand", () => {
  test("discards tokens issued for the one before", async () => {
    await addRefused({ serviceApp: { ...serviceApp(), targetOrg: ORG } });
    const before = (await document()).accessToken;
    const endpoint: TokenEndpoint = {
      ...world.endpoint,
      async issue(request) {
        const answer = await world.endpoint.issue(request);
        await world.edit(name, { serviceApp: { ...serviceApp(), targetOrg: "another-organization" } });
        return answer;
      },
    };
    expect(await refresh(name, READER, world.refresher({ endpoint }))).toEqual({ outcome: "discarded" });
    const { accessToken, lease, serviceApp: kept } = await document();
    expect([accessToken, lease, kept?.targetOrg]).toEqual([before, undefined, "another-organization"]);
  });

  test("is issued tokens at once although the one before was refused", async () => {
    await addRefused({ serviceApp: { ...serviceApp(), manager: "missing" } });
    await sweep(world.sweeper());
    expect((await document()).failure).toMatchObject({ code: "app_manager_missing", permanent: true });
    expect(await refresh(name, READER, world.refresher())).toMatchObject({ outcome: "deferred" });
    await world.edit(name, { serviceApp: serviceApp() });
    expect(await refresh(name, READER, world.refresher())).toEqual({ outcome: "refreshed" });
    await expectRecovered();
  });
});

describe("a cycle of managers", () => {
  test("of two Service Apps sends twelve requests a day at most", async () => {
    const other = `${name} other`;
    await addRefused({ serviceApp: { ...serviceApp(), manager: other } });
    const circle = { ...world.granted(OLD, APP), serviceApp: { ...serviceApp(), manager: name } };
    await world.add(other, circle);
    world.sandbox.authority.revoke({ clientId: "app", accessTokens: true });
    for (let hours = 0; hours < 24; hours++) {
      await sweep(world.sweeper());
      await Promise.all([name, other].map((one) => refresh(one, READER, world.refresher())));
      world.clock.advance(HOUR);
    }
    expect(world.refreshes()).toBeLessThanOrEqual(12);
    expect(issued()).toBeLessThanOrEqual(12);
    expect(stateOf(await world.token(name), world.clock.now())).not.toBe("working");
  });

  test("of one asks once with its own token", async () => {
    await addRefused({ serviceApp: { ...serviceApp(), manager: name } });
    const outcome = await refresh(name, READER, world.refresher());
    expect(outcome).toEqual({ outcome: "failed", code: "app_http_403", permanent: true });
    expect([world.refreshes(), issued()]).toEqual([1, 1]);
  });
});

describe("a process killed while it gets a Service App's tokens (row 4)", () => {
  test("at each step: readers get true answers, and the token recovers within a minute", async () => {
    await addRefused();
    const whole = mortalProcess(world);
    await refresh(name, READER, world.refresher(whole.parts));
    expect(whole.steps.filter((step) => step === "Webex is asked")).toHaveLength(2);
    for (const [title, kill] of kills(whole.steps)) {
      const before = name;
      name = `${before}, killed ${title}`;
      await addRefused();
      const victim = mortalProcess(world, kill);
      expect(await victim.live(refresh(name, READER, world.refresher(victim.parts))), title).toBe(KILLED);
      await expectHonestAnswer(name, world);
      world.clock.advance(31 * SECOND);
      await sweep(world.sweeper());
      expect([title, world.live((await document()).accessToken)]).toEqual([title, true]);
      name = before;
    }
  });
});
