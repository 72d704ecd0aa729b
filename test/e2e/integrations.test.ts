import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { openSqlite } from "../../functions/adapters/sqlite.ts";
import { fieldsOf } from "../../functions/core/document.ts";
import { INHERITED } from "../support/environment.ts";
import { startFunction, startSandbox, stopAll } from "../support/processes.ts";
import { ORG } from "../support/world.ts";
import { type Child, endAll, freePair, run } from "./child.ts";
import { newClient, until } from "./deployed.ts";

/** Global variables and Service Apps as an operator has them: the documentation's own commands, and a built refresher. */

const ROOT = path.resolve(import.meta.dirname, "../..");
const NODE24 = ["--import", path.join(ROOT, "local/node24.js")];
const TOKENS = [process.execPath, ...NODE24, path.join(ROOT, "local/tokens.ts")].join(" ");

// Each command is a process of its own; a busy machine takes its time for each.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 30_000 });

const folder = mkdtempSync(path.join(tmpdir(), "integrations-"));
afterAll(async () => {
  await endAll();
  await stopAll();
  rmSync(folder, { recursive: true, force: true });
});

describe("beside a running npm start", () => {
  let service: Child;
  beforeAll(async () => {
    const env = { ...INHERITED, HOME: folder, PORT: String(await freePair()) };
    const start = [...NODE24, path.join(ROOT, "local/start.ts")];
    service = run(process.execPath, start, { cwd: folder, env });
    await service.says("Ctrl-C ends it");
  });

  /** The lines of the first `sh` block of a page, as they are pasted. */
  function commandsOf(page: string): string[] {
    const [, block = ""] = /```sh\n(.*?)```/s.exec(readFileSync(path.join(ROOT, "docs", page), "utf8")) ?? [];
    return block.split("\n").filter((line) => line.trim() !== "");
  }

  /** A person sleeps for as long as two sweeps take; here it is looked at when the next one has come. */
  async function swept(): Promise<void> {
    const documents = openSqlite(path.join(folder, ".data/sandbox/tokens.db"), Date.now);
    await until("publishing", async () => {
      const { publish } = (await documents.read("tokens", "example"))?.fields ?? {};
      return Number(fieldsOf(publish).nextAt ?? Number.POSITIVE_INFINITY) > Date.now();
    });
    await documents.close();
  }

  async function paste(line: string) {
    const [, pause, rest = line] = /^(sleep \d+); (.*)/.exec(line) ?? [];
    if (pause !== undefined) await swept();
    const command = rest.replace("npm run tokens --", TOKENS);
    const child = run("sh", ["-c", command], { cwd: folder, env: { ...INHERITED, HOME: folder } });
    const { code } = await child.ended;
    return { line, code, said: child.stdout() + child.stderr() };
  }

  test.concurrent("the commands of docs/global-variables.md do what they say", async () => {
    const said: string[] = [];
    for (const line of commandsOf("global-variables.md")) {
      const pasted = await paste(line);
      expect(pasted).toMatchObject({ line, code: 0 });
      said.push(pasted.said);
    }
    expect(said).toHaveLength(8);
    expect(said[1]).toMatch(/Webex_Token +yes +a live token of example-integration/);
    expect(said[2]).toMatch(/published in +00000000-cad0-4000-8000-000000000001 \(us1\)/);
    expect(said[5]).toMatch(/example .*publish: forbidden/);
  });

  test.concurrent("the commands of docs/service-apps.md do what they say", async () => {
    for (const line of commandsOf("service-apps.md"))
      expect(await paste(line)).toMatchObject({ line, code: 0 });
    const shown = await paste("npm run tokens -- show robot --json");
    expect(JSON.parse(shown.said.slice(shown.said.indexOf("{")))).toMatchObject({
      state: "working",
      failure: null,
      serviceApp: { applicationId: "example-application", manager: "example" },
    });
  });

  test("what can't be is refused in a sentence that holds no secret", async () => {
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

test("the built refresher heals a Service App and publishes its token in one sweep, and logs neither", async () => {
  const sandbox = await startSandbox();
  const documents = openSqlite(path.join(folder, "tokens.db"), Date.now);
  const refresher = await startFunction("refresher", {
    STORE: path.join(folder, "tokens.db"),
    WEBEX_URL: `${sandbox.url}/v1`,
    WXCC_URL: sandbox.url,
  });
  const scopes = ["cjp:config_write", "spark:applications_token"];
  const [manager, app] = [{ ...newClient("http://127.0.0.1/"), scopes }, newClient("http://127.0.0.1/")];
  for (const client of [manager, app]) await sandbox.control("POST", "/sandbox/clients", client);
  await sandbox.control("POST", "/sandbox/applications", {
    applicationId: "made-up",
    clientId: app.clientId,
    authorizedBy: [ORG],
  });
  const flags = { active: true, agentEditable: false, agentViewable: false, reportable: false };
  const variable = { id: "cad-1", name: "Token", ...flags, variableType: "String", defaultValue: "" };
  await sandbox.control("POST", "/sandbox/variables", { orgId: ORG, variable });
  const granted = await sandbox.control<Record<string, string>>("POST", "/sandbox/grants", {
    clientId: manager.clientId,
  });
  await documents.create("tokens", "manager", {
    accessToken: granted.access_token,
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
  const { variables } = await sandbox.control<{ variables: unknown[] }>("GET", "/sandbox/variables");
  expect(variables).toEqual([expect.objectContaining({ token: { clientId: app.clientId, live: true } })]);
  await until("the log line", async () => refresher.output().join("").includes("publish.done"));
  expect(refresher.output().join("")).not.toContain(String(robot?.fields.accessToken));
  await documents.close();
});
