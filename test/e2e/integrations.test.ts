import { readFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openSqlite } from "../../functions/adapters/sqlite.ts";
import { fieldsOf } from "../../functions/core/document.ts";
import { createSandbox } from "../../local/sandbox/server.ts";
import { tokens } from "../support/command-line.ts";
import { INHERITED } from "../support/environment.ts";
import { eventuallyTrue } from "../support/eventually.ts";
import { startFunction, stopAll, temporaryFolder } from "../support/processes.ts";
import { ORG } from "../support/world.ts";
import { type Child, endAll, freePair, run } from "./child.ts";
import { newClient } from "./deployed.ts";

/** Global variables and Service Apps as an operator has them: the commands of the documentation, and a built refresher. */

const ROOT = path.resolve(import.meta.dirname, "../..");

let folder: string;
beforeAll(async () => {
  folder = await temporaryFolder();
});
afterAll(async () => {
  await endAll();
  await stopAll();
});

describe("beside a running npm start", () => {
  let service: Child;
  beforeAll(async () => {
    const env = { ...INHERITED, HOME: folder, PORT: String(await freePair()) };
    const start = ["--import", path.join(ROOT, "local/node24.js"), path.join(ROOT, "local/start.ts")];
    service = run(process.execPath, start, { cwd: folder, env });
    await service.says("Ctrl-C ends it");
  });

  /** The lines of the first `sh` block of a page, without their comments. */
  function commandsOf(page: string): string[] {
    const [, block = ""] = /```sh\n(.*?)```/s.exec(readFileSync(path.join(ROOT, "docs", page), "utf8")) ?? [];
    return block.split("\n").flatMap((line) => line.replace(/ +#.*/, "").trim() || []);
  }

  /** In place of the sleep of two sweeps: waits until a sweep has published. */
  async function swept(): Promise<void> {
    const documents = openSqlite(path.join(folder, ".data/sandbox/tokens.db"), Date.now);
    await eventuallyTrue(async () => {
      const { publish } = (await documents.read("tokens", "example"))?.fields ?? {};
      return Number(fieldsOf(publish).nextAt ?? Number.POSITIVE_INFINITY) > Date.now();
    });
    await documents.close();
  }

  /** Runs a line of the documentation, `sleep 7; ` and `echo … | ` included. */
  async function paste(line: string) {
    const [, pause, input, command] =
      /^(sleep \d+; )?(?:echo '([^']*)' \| )?npm run tokens -- (.*)$/.exec(line) ?? [];
    if (command === undefined) throw new Error(`not a line that this test can run: ${line}`);
    if (pause !== undefined) await swept();
    const { code, stdout, stderr } = await tokens(command, { cwd: folder, ...(input && { input }) });
    return { line, code, said: stdout + stderr };
  }

  test("the commands of docs/global-variables.md publish, fail and recover as their comments say", async () => {
    const said: string[] = [];
    for (const command of commandsOf("global-variables.md")) {
      // The fault ends with the next command, however slow this machine is.
      const line = command.replace(/ 1m$/, " 1h");
      const pasted = await paste(line);
      expect(pasted).toMatchObject({ line, code: 0 });
      said.push(pasted.said);
    }
    expect(said).toHaveLength(8);
    expect(said[1]).toMatch(/Webex_Token +yes +a live token of example-integration/);
    expect(said[2]).toMatch(/published in +00000000-cad0-4000-8000-000000000001 \(us1\)/);
    expect(said[5]).toMatch(/example .*publish: forbidden/);
  });

  test("the commands of docs/service-apps.md import a Service App and refresh it after a revocation", async () => {
    for (const line of commandsOf("service-apps.md"))
      expect(await paste(line)).toMatchObject({ line, code: 0 });
    const shown = await paste("npm run tokens -- show robot --json");
    expect(JSON.parse(shown.said.slice(shown.said.indexOf("{")))).toMatchObject({
      state: "working",
      failure: null,
      serviceApp: { applicationId: "example-application", manager: "example" },
    });
  });

  test("impossible publications and Service Apps are refused in a sentence without a secret", async () => {
    const refused: [line: string, sentence: RegExp][] = [
      ["publish nobody --variable a --region us1", /there is no token "nobody"/],
      ["publish example --variable a --region mars1", /--region must be one of us1/],
      ["publish example --variable ../x --region us1", /--variable must be the id/],
      ["publish example --variable a --region us1 --via example", /this very token/],
      ["publish robot --variable a --region us1 --via nobody", /there is no token "nobody"/],
      ["import robot --replace --service-app a --org b", /go together/],
      ["import robot --replace --service-app a --org b --manager robot", /its own manager/],
      ["import example --replace --service-app a --org b --manager robot", /itself managed by "example"/],
      [
        "import other --client-id C --service-app a/b --org b --manager example",
        /--service-app must be an id/,
      ],
      ["import other --client-id C --service-app a --org b --manager nobody", /there is no token "nobody"/],
    ];
    const told = refused.map(async ([line, sentence]) => {
      const { code, said } = await paste(`echo '{"clientSecret":"canary"}' | npm run tokens -- ${line}`);
      expect([line, code === 0, said]).toEqual([line, false, expect.stringMatching(sentence)]);
      expect(said).not.toContain("canary");
    });
    await Promise.all(told);
  });
});

test("the built refresher gets new tokens for a Service App and publishes them in one sweep, and logs none of them", async () => {
  const sandbox = createSandbox({ file: ":memory:" });
  const webexUrl = `http://127.0.0.1:${await sandbox.listen()}`;
  const documents = openSqlite(path.join(folder, "tokens.db"), Date.now);
  const refresher = await startFunction("refresher", {
    STORE: path.join(folder, "tokens.db"),
    WEBEX_URL: `${webexUrl}/v1`,
    WXCC_URL: webexUrl,
  });
  const scopes = ["cjp:config_write", "spark:applications_token"];
  const [manager, app] = [{ ...newClient("http://127.0.0.1/"), scopes }, newClient("http://127.0.0.1/")];
  for (const client of [manager, app]) sandbox.authority.registerClient(client);
  sandbox.authority.registerApplication({
    applicationId: "made-up",
    clientId: app.clientId,
    authorizedBy: [ORG],
  });
  const flags = { active: true, agentEditable: false, agentViewable: false, reportable: false };
  const variable = { id: "cad-1", name: "Token", ...flags, variableType: "String", defaultValue: "" };
  sandbox.authority.putVariable(ORG, variable);
  await documents.create("tokens", "manager", {
    accessToken: sandbox.authority.issue(manager.clientId).access_token,
    accessExpires: Date.now() + 3_600_000,
    static: true,
  });
  await documents.create("tokens", "robot", {
    clientId: app.clientId,
    clientSecret: app.clientSecret,
    refreshToken: "canary-refresh-token-that-was-ended",
    refreshAt: 1,
    serviceApp: { applicationId: "made-up", targetOrg: ORG, manager: "manager" },
    publish: { variables: ["cad-1"], region: "us1", via: "manager" },
  });

  const swept = await fetch(refresher.url, { method: "POST" });
  expect(await swept.json()).toMatchObject({ due: 1, refreshed: 1, failed: 0 });
  const robot = await documents.read("tokens", "robot");
  expect(robot?.fields.publish).toMatchObject({ publishedAt: expect.any(Number) });
  const { variables } = (await (await fetch(`${webexUrl}/sandbox/variables`)).json()) as {
    variables: unknown[];
  };
  expect(variables).toEqual([expect.objectContaining({ token: { clientId: app.clientId, live: true } })]);
  await eventuallyTrue(() => refresher.output().join("").includes("publish.done"));
  expect(refresher.output().join("")).not.toContain(String(robot?.fields.accessToken));
  await documents.close();
  await sandbox.close();
});
