import { expect, test } from "vitest";
import { runOffline } from "../../infra/offline.ts";
import { TokenService } from "../../infra/token-service.ts";
import { KINDS } from "../../local/scheduler-jobs.ts";
import { DEPLOYED } from "../../local/shared-passphrases.ts";

test("the command line looks for the jobs and the passphrases where the program puts them", async () => {
  const { resources } = await runOffline(
    () => new TokenService("tokens", { project: "made-up", region: "europe-west1" }),
  );
  const inputs = (type: string) =>
    resources.filter((resource) => resource.type === type).map((resource) => resource.inputs);
  const jobs = inputs("gcp:cloudscheduler/job:Job");
  const prefixes = KINDS.map((kind) => {
    const [job, ...others] = jobs.filter(({ name }) => name.endsWith(`-${kind}`));
    expect(others).toEqual([]);
    expect(job?.httpTarget.uri).toMatch(kind === "sweep" ? /\.app\/$/ : /\.app\/census$/);
    return job?.name.slice(0, -kind.length - 1);
  });
  expect(new Set(prefixes).size).toBe(1);
  const secrets = inputs("gcp:secretmanager/secret:Secret").map(({ secretId }) => secretId);
  expect(secrets).toContain(DEPLOYED);
});
