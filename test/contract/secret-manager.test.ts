import { status } from "@grpc/grpc-js";
import { beforeAll, describe, expect, test } from "vitest";
import { accessLatest } from "../../functions/adapters/secret-manager.ts";
import { keysOf } from "../../local/commands/keys.ts";
import type { Deployment } from "../../local/deployment.ts";
import { changeManaged } from "../../local/google/managed-secret.ts";
import { openSealerHere } from "../../local/sealing.ts";
import { type SecretManager, sharedSecretManager } from "../support/secret-manager.ts";

const NAME = "projects/made-up/secrets/seal-keys";

let manager: SecretManager;
beforeAll(async () => {
  manager = await sharedSecretManager();
});

describe("reading a secret of Secret Manager", () => {
  test("gives the text of its newest version", async () => {
    manager.create(NAME, "canary one", "canary two ü");
    expect(await accessLatest(NAME, 5000, manager.client)).toBe("canary two ü");
  });

  test.each([
    ["is not there", status.NOT_FOUND, "Secret Manager failed (5)"],
    ["may not be read", status.PERMISSION_DENIED, "Secret Manager failed (7)"],
  ])("that %s says so with Google's code", async (_, code, words) => {
    manager.create(NAME, "canary one");
    manager.fail("AccessSecretVersion", code);
    await expect(accessLatest(NAME, 5000, manager.client)).rejects.toThrow(words);
  });
});

describe("changing a secret of Secret Manager", () => {
  test("adds a version and disables those before; none is destroyed", async () => {
    manager.create(NAME, "canary one", "canary two");
    await changeManaged(NAME, (text) => `${text} and three`, manager.client);
    expect(manager.versions(NAME)).toEqual([
      { name: `${NAME}/versions/1`, text: "canary one", enabled: false },
      { name: `${NAME}/versions/2`, text: "canary two", enabled: false },
      { name: `${NAME}/versions/3`, text: "canary two and three", enabled: true },
    ]);
  });

  test("makes the first version where there is none", async () => {
    manager.create(NAME);
    await changeManaged(NAME, (text) => `first after ${text}`, manager.client);
    expect(manager.versions(NAME).map(({ text }) => text)).toEqual(["first after undefined"]);
  });

  test("that the change itself refuses leaves it as it was", async () => {
    manager.create(NAME, "canary one");
    const refuse = () => {
      throw new Error("refused");
    };
    await expect(changeManaged(NAME, refuse, manager.client)).rejects.toThrow("refused");
    expect(manager.versions(NAME)).toHaveLength(1);
  });

  test("while somebody else does says so, and names both versions", async () => {
    manager.create(NAME, "canary one");
    const meanwhile = () =>
      manager.versions(NAME).push({ name: `${NAME}/versions/2`, text: "theirs", enabled: true });
    manager.fail("AddSecretVersion", status.OK, meanwhile);
    await expect(changeManaged(NAME, () => "ours", manager.client)).rejects.toThrow(
      `somebody else changed ${NAME} at the same time: compare its versions 2 and 3`,
    );
  });

  test("that changes nothing adds no version", async () => {
    manager.create(NAME, "canary one");
    await changeManaged(NAME, (text = "") => text, manager.client);
    expect(manager.versions(NAME)).toHaveLength(1);
  });

  test("that landed although nobody answered is taken for done", async () => {
    manager.create(NAME, "canary one");
    manager.fail("AddSecretVersion", status.UNAVAILABLE, () =>
      manager.versions(NAME).push({ name: `${NAME}/versions/2`, text: "canary two", enabled: true }),
    );
    await changeManaged(NAME, () => "canary two", manager.client);
    expect(manager.versions(NAME).map(({ enabled }) => enabled)).toEqual([false, true]);
  });

  test.each([
    [
      "is not allowed",
      "AddSecretVersion",
      status.PERMISSION_DENIED,
      /^you may not.*"made-up".*Version Manager/,
    ],
    ["may not look", "AccessSecretVersion", status.PERMISSION_DENIED, /^you may not.*Secret Accessor/],
    ["has no secret", "AddSecretVersion", status.NOT_FOUND, /^there is no secret projects/],
    [
      "has bad credentials",
      "AccessSecretVersion",
      status.UNAUTHENTICATED,
      /gcloud auth application-default login/,
    ],
    ["gets no answer", "AddSecretVersion", status.UNAVAILABLE, /^Secret Manager did not answer: try again/],
    [
      "finds the newest disabled",
      "AccessSecretVersion",
      status.FAILED_PRECONDITION,
      /newest version .* is disabled/,
    ],
    ["meets something else", "AddSecretVersion", status.DATA_LOSS, /did not change .* \(code 15\)/],
  ])("by somebody who %s says so in one sentence, without its text", async (_, method, code, words) => {
    manager.create(NAME, "canary one");
    manager.fail(method, code);
    const { name, message } = await changeManaged(NAME, () => "canary two", manager.client).then(
      () => new Error("it was changed"),
      (error: Error) => error,
    );
    expect({ name, message }).toEqual({ name: "CommandError", message: expect.stringMatching(words) });
    expect(message).not.toMatch(/canary|\n/);
    expect(manager.versions(NAME)).toEqual([
      { name: `${NAME}/versions/1`, text: "canary one", enabled: true },
    ]);
  });

  test.each(["ListSecretVersions", "DisableSecretVersion"])(
    "whose older version can't be disabled (%s) says so, and that the new one is there",
    async (method) => {
      manager.create(NAME, "canary one");
      manager.fail(method, status.PERMISSION_DENIED);
      await expect(changeManaged(NAME, () => "canary two", manager.client)).rejects.toMatchObject({
        name: "Unfinished",
        message: expect.stringMatching(/has its new version, but .*\(code 7\).*versions disable/),
      });
      expect(manager.versions(NAME)).toHaveLength(2);
    },
  );
});

describe("sealing keys in Secret Manager that can't be had", () => {
  const deployment = { sealKeys: NAME } as Deployment;
  const twice = (code: number) => {
    manager.create(NAME, "canary keys");
    // The one who reads them for the work, and the one who then looks why it could not.
    manager.fail("AccessSecretVersion", code, () => manager.fail("AccessSecretVersion", code));
  };

  test.each([
    [status.PERMISSION_DENIED, /^you may not .*Secret Accessor/],
    [status.UNAUTHENTICATED, /gcloud auth application-default login/],
    [status.NOT_FOUND, /^there is no secret .*SEAL_KEYS must name/],
  ])("end a command that needs them (%d) with what to do", async (code, words) => {
    twice(code);
    const { name, message } = await openSealerHere({ keys: NAME }, Date.now).then(
      () => new Error("it was opened"),
      (error: Error) => error,
    );
    expect({ name, message }).toEqual({ name: "CommandError", message: expect.stringMatching(words) });
  });

  test("are told apart from keys that are none", async () => {
    manager.create(NAME, "canary keys");
    await expect(openSealerHere({ keys: NAME }, Date.now)).rejects.toThrow(/^(?!.*canary)the sealing keys/);
    await expect(keysOf(deployment)).rejects.toThrow(/^(?!.*canary)the sealing keys can't be used/);
  });

  test("are made by keys add only where there are none yet", async () => {
    manager.create(NAME);
    await expect(keysOf(deployment)).rejects.toThrow('"npm run tokens -- keys add" makes the first one');
    manager.create(NAME, "canary keys");
    manager.fail("AccessSecretVersion", status.PERMISSION_DENIED);
    await expect(keysOf(deployment)).rejects.toThrow(/^you may not/);
  });
});
