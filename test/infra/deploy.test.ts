import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { endAll } from "../e2e/child.ts";
import { ageingDocument, deploy, newClient, PASSPHRASE, sqlitePlace, startWebex } from "../e2e/deployed.ts";
import { callAddress, startCloudScheduler } from "../support/cloud-scheduler.ts";
import { clientsAt } from "../support/google-clients.ts";
import { stopAll } from "../support/processes.ts";
import { type Checkout, checkout, IDENTITY, LOGGED_IN, offline, outcomeOf, STACK } from "./checkout.ts";

/** `npm run preview` and `npm run deploy` as processes, in a checkout of their own, with a stand-in for Pulumi's CLI. */

afterAll(async () => {
  await endAll();
  await stopAll();
});

describe("with all that is needed", () => {
  let here: Checkout;
  beforeAll(async () => {
    here = await checkout();
    here.stack("dev", `${STACK}  webex-token-service:passphrase:\n    secure: canary-ciphertext\n`);
  });

  test("preview builds, and hands on to pulumi what was asked and what came of it", async () => {
    here.pulumi({ ...LOGGED_IN, preview: { code: 3, stdout: "what would change\n" } });
    const { code, stdout, stderr } = await outcomeOf(here, "preview", ["--", "--diff"], IDENTITY);
    expect({ code, stdout, stderr }).toEqual({ code: 3, stdout: "what would change\n", stderr: "" });
    expect(here.built()).toBe(true);
    expect(here.calls().at(-1)).toBe("preview --cwd infra --stack dev --diff");
  });

  test("preview --offline shows each resource and why it is there, without CLI or credentials", async () => {
    const bare = await checkout();
    const { code, stdout, stderr } = await outcomeOf(bare, "preview", ["--offline"], await offline());
    expect(code).toBe(0);
    const [head, ...lines] = stdout.trim().split("\n");
    expect(head).toMatch(/^NAME +KIND +WHY$/);
    for (const line of lines) expect(line).toMatch(/^tokens-\S+ +[a-z0-9]+\.[A-Z]\w+ +[a-z]+ .*\w/);
    const names = lines.map((line) => line.split(" ")[0]);
    expect(names).toEqual([...names].sort());
    expect(stdout).toMatch(
      /^tokens-lookup-function +cloudfunctionsv2\.Function +answers flows with a token that works$/m,
    );
    expect(stderr).toBe(
      `${lines.length} resources, with the options of infra/Pulumi.example.yaml; nothing was asked of Google\n`,
    );
  });

  test("Ctrl-C reaches Pulumi once, and deploy ends as Pulumi does, with its exit code", async () => {
    here.pulumi({ ...LOGGED_IN, up: { waits: true, code: 7 } });
    const child = here.start("deploy", ["--yes"], IDENTITY);
    await child.says("waiting");
    child.signal("SIGINT");
    expect([(await child.ended).code, child.stdout(), child.stderr()]).toEqual([7, "waiting\n", ""]);
    expect(here.calls().slice(-2)).toEqual(["up --cwd infra --stack dev --yes", "SIGINT"]);
  });

  test("deploy ends with a sweep, a census and a look at lookup: the service works", async () => {
    const [place, webex] = [await sqlitePlace(), await startWebex()];
    const service = deploy(place, webex);
    const client = await webex.register(newClient("https://tokens.example/callback"));
    await service.put("sales", await ageingDocument(webex, client));
    const refresher = await service.refresher();
    const lookup = await service.lookup(refresher.url, { TOKEN_PASSPHRASE: PASSPHRASE });
    const jobs = "projects/made-up-project/locations/europe-west1/jobs";
    const scheduler = await startCloudScheduler();
    scheduler.answers(callAddress);
    scheduler.create({ name: `${jobs}/the-sweep`, uri: `${refresher.url}/` });
    scheduler.create({ name: `${jobs}/the-census`, uri: `${refresher.url}/census` });
    scheduler.create({ name: `${jobs}/another-sweep`, uri: "nowhere:" });
    const outputs = {
      project: "made-up-project",
      region: "europe-west1",
      baseUrl: lookup.url,
      redirectUri: `${lookup.url}/callback`,
      jobs: { sweep: "the-sweep", census: "the-census" },
    };
    here.pulumi({
      ...LOGGED_IN,
      up: { stdout: "all was created\n" },
      "stack output": { stdout: JSON.stringify(outputs) },
    });
    const env = { ...IDENTITY, ...clientsAt({ scheduler: scheduler.port }) };

    const { code, stdout, stderr } = await outcomeOf(here, "deploy", ["--yes"], env);
    expect(stderr).toBe("trying sweep\ntrying census\ntrying /health\n");
    expect(stdout).toBe(
      `all was created\nthe service works: a sweep and a census were completed, and lookup answers at ${lookup.url} (redirect URI: ${lookup.url}/callback)\n`,
    );
    expect(code).toBe(0);
    expect(scheduler.calls().filter((call) => call.startsWith("Run"))).toEqual([
      "RunJob the-sweep",
      "RunJob the-census",
    ]);
    expect(scheduler.callers()).toEqual([`Bearer ${IDENTITY.GOOGLE_OAUTH_ACCESS_TOKEN}`]);
    expect(await webex.refreshes()).toBe(1);
    const events = refresher.output().join("\n");
    expect(events).toContain("sweep.done");
    expect(events).toContain("census.done");

    await lookup.stop();
    const again = await outcomeOf(here, "deploy", ["--yes", "--wait", "0s"], env);
    expect(again.code).toBe(1);
    expect(again.stderr.trim().split("\n").at(-1)).toBe(
      `the service does not work yet: ${lookup.url}/health can't be reached: run "curl -i ${lookup.url}/health", and look into the log of lookup`,
    );
    await scheduler.close();
    await place.documents.close();
  });
});
