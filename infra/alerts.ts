import {
  hourly,
  lookupFails,
  lookupSlow,
  MINUTE,
  moreThan,
  mostlyAbove,
  onFailedJobs,
  onLines,
  standsStill,
  unreachable,
  type Watch,
} from "./conditions.ts";

export interface Alert extends Watch {
  /** Short, unique here. */
  id: string;
  title: string;
  severity: "CRITICAL" | "ERROR" | "WARNING";
  /** What to do, in Markdown. Each command in it exists, and each file. */
  remedy: string;
}

/** Every alert. `service`: the name of the deployment. */
export function alertsFor(service: string): Alert[] {
  return [
    {
      id: "no-sweep",
      title: "No sweep was completed for 15 minutes",
      severity: "CRITICAL",
      ...standsStill(service, "sweeps", "sweep.done", 15 * MINUTE),
      remedy: `Tokens are still refreshed when a reader needs it, but nothing is refreshed ahead.

1. \`npm run tokens -- schedule status\` says whether the sweep is paused, when it came last, and how that ended.
2. Paused: \`npm run tokens -- schedule resume\`.
3. Denied (401 or 403): \`npm run deploy -- -- --refresh\` gives the Scheduler's account its right to call the refresher again.
4. Else the refresher's log says why: \`service.stopped\`, \`store.unavailable\` or \`bug\`.
5. \`npm run tokens -- schedule run\` sweeps at once. The incident closes when sweeps come again.`,
    },
    {
      id: "overdue",
      title: "Tokens have been due for more than 10 minutes",
      severity: "ERROR",
      ...mostlyAbove(service, "overdue", "sweep.done", { most: 600, window: 10 * MINUTE }),
      remedy: `Sweeps run, but do not get through, or Webex refuses for the time being.

1. \`npm run tokens -- list\` shows which tokens wait, and why.
2. Many failures: see https://status.webex.com. All goes on by itself when Webex is back; held tokens are served until then.
3. No failures, and \`remaining\` above 0 in the sweeps' lines: raise \`refreshConcurrency\` (docs/deploy.md), then \`npm run deploy\`.`,
    },
    {
      id: "needs-a-person",
      title: "Webex refuses to refresh a token for good",
      severity: "CRITICAL",
      ...onLines(["refresh.refused"], "token"),
      remedy: `Token **\${log.extracted_label.token}**: the held access token is served to its end; then calls fail. Told again once a day.

1. \`npm run tokens -- show '\${log.extracted_label.token}'\` names the reason, and what mends it.
2. An integration: \`npm run tokens -- authorize '\${log.extracted_label.token}'\`, and open the address it prints.
3. A Service App: \`npm run tokens -- import '\${log.extracted_label.token}' --replace\` with a new refresh token.
4. The client secret was changed: \`npm run tokens -- add '\${log.extracted_label.token}' --replace\`.`,
    },
    {
      id: "unsaved",
      title: "A refreshed token could not be stored",
      severity: "CRITICAL",
      ...onLines(["refresh.unsaved"], "token"),
      remedy: `Token **\${log.extracted_label.token}**: Webex granted, but Firestore could not be written until the lease ran out. As a rule the next sweep mends it, since Webex gives the same refresh token again.

1. \`npm run tokens -- refresh '\${log.extracted_label.token}'\`. It works: nothing more to do.
2. It is refused: the refresh token was replaced and is lost. \`npm run tokens -- authorize '\${log.extracted_label.token}'\`.
3. Firestore itself: https://status.cloud.google.com.`,
    },
    {
      id: "unopened",
      title: "A token's secrets can't be opened with the configured keys",
      severity: "CRITICAL",
      ...onLines(["token.unopened"], "token"),
      remedy: `Token **\${log.extracted_label.token}** can't be refreshed; its held access token is served to its end.

1. \`npm run tokens -- show '\${log.extracted_label.token}'\` says which key it needs; \`npm run tokens -- keys list\` which there are.
2. Put that key back: an older version of the secret of the sealing keys holds it, since versions are disabled and never destroyed (docs/operating.md).
3. Is it lost, type the secrets anew: \`npm run tokens -- add '\${log.extracted_label.token}' --replace\`, then \`npm run tokens -- authorize '\${log.extracted_label.token}'\`.`,
    },
    {
      id: "unpublished",
      title: "A token can't be put into its global variable",
      severity: "ERROR",
      ...hourly(onLines(["publish.stuck"], "token", "code")),
      remedy: `Token **\${log.extracted_label.token}**, \`\${log.extracted_label.code}\`: flows that read the variable go on with the token in it, until that ends. Those that ask lookup are not affected.

1. \`npm run tokens -- show '\${log.extracted_label.token}'\` says since when, and when it is tried again; docs/global-variables.md explains each code.
2. \`unauthorized\`, \`forbidden\`: the token that writes lacks the scope \`cjp:config_write\`, or its person the role. \`npm run tokens -- authorize '\${log.extracted_label.token}'\`, or name another one with \`--via\`.
3. \`not_found\`, \`not_a_string\`, \`via_missing\`: \`npm run tokens -- publish '\${log.extracted_label.token}' --variable ID --region REGION\` with what is there.
4. Other codes mend themselves once the contact centre answers: see https://status.webex.com.`,
    },
    {
      id: "ending",
      title: "A refresh token or a fixed access token ends soon",
      severity: "WARNING",
      ...onLines(["token.ending"], "token"),
      remedy: `Token **\${log.extracted_label.token}**, told at 14, 7, 3 and 1 days; \`npm run tokens -- show '\${log.extracted_label.token}'\` says when.

- A fixed access token: \`npm run tokens -- import '\${log.extracted_label.token}' --static --replace --expires 14d\` with a new one.
- A refresh token: as a rule it is used, and so renewed, a day before its end. Where it is not: \`npm run tokens -- authorize '\${log.extracted_label.token}'\`.`,
    },
    {
      id: "stopped",
      title: "A function can't start, or meets a bug",
      severity: "CRITICAL",
      ...onLines(
        ["service.stopped", "bug", "seal.keys_unreadable", "passphrase.unreadable"],
        "event",
        "service",
      ),
      remedy: `**\${log.extracted_label.service}** wrote \`\${log.extracted_label.event}\`. The line says what is wrong in one sentence (\`reason\`), or where in the code (\`where\`).

1. A missing or malformed setting: correct the stack's configuration (docs/deploy.md), then \`npm run deploy\`.
2. A secret that can't be read: is its newest version enabled, and may the function's account read it? \`npm run deploy -- -- --refresh\` mends the latter.
3. \`bug\`: please report the line with its \`reference\`. The request was answered with 500, and held tokens are served on.`,
    },
    {
      id: "wrong-passphrases",
      title: "Many requests with a wrong passphrase",
      severity: "WARNING",
      ...moreThan(service, "wrong-passphrases", "request.unauthorized", { most: 60, window: 5 * MINUTE }),
      remedy: `More than 60 in 5 minutes. Either a flow still uses an old passphrase, or somebody guesses.

1. In Logs Explorer: \`jsonPayload.event="request.unauthorized"\`; \`caller\` is the address, \`token\` the name that was asked for.
2. After a rotation: change the flow that was forgotten.
3. Else nothing is lost as long as the passphrase is a generated one. \`npm run tokens -- passphrase rotate\` makes a new one (docs/operating.md).`,
    },
    {
      id: "scheduler",
      title: "A Scheduler job failed",
      severity: "ERROR",
      ...onFailedJobs(),
      remedy: `Job **\${log.extracted_label.job}** ended with \`\${log.extracted_label.status}\`.

1. \`npm run tokens -- schedule status\` says how the last attempts ended. One that failed alone is mended by the next.
2. \`PERMISSION_DENIED\` or \`UNAUTHENTICATED\`: \`npm run deploy -- -- --refresh\` restores who may call the refresher.
3. \`DEADLINE_EXCEEDED\`: \`remaining\` in the sweeps' lines says whether there is too much to do; raise \`refreshConcurrency\` (docs/deploy.md).
4. Else the refresher's log at that time says why.`,
    },
    {
      id: "lookup-errors",
      title: "Lookup answers with errors",
      severity: "ERROR",
      ...lookupFails({ most: 5, window: 5 * MINUTE }),
      remedy: `More than 5 answers of 5xx in 5 minutes: calls get no token.

1. \`npm run tokens -- list\`: a token that has ended shows why it was not refreshed.
2. Logs of lookup: \`store.unavailable\` is Firestore (https://status.cloud.google.com), \`bug\` is ours.
3. Callers of a service with \`compat: sample\` get 500 for their own mistakes, too: see \`code\` in \`request.refused\`.`,
    },
    {
      id: "lookup-slow",
      title: "Lookup is slow",
      severity: "WARNING",
      ...lookupSlow({ most: 1500, window: 5 * MINUTE }),
      remedy: `The slowest hundredth of answers takes longer than 1.5 s; Flow Designer gives up after 2 s.

1. Cold starts: set \`minInstances\` to 1 (docs/deploy.md), then \`npm run deploy\`.
2. Reads that wait, for the refresher or for a token that has ended: \`npm run tokens -- list\` shows which tokens, and why.
3. Firestore itself: https://status.cloud.google.com.`,
    },
    {
      id: "health",
      title: "Lookup does not answer from outside",
      severity: "CRITICAL",
      ...unreachable(),
      remedy: `\`/health\` asks nothing of the store: lookup itself can't be reached, or can't start.

1. \`curl -i BASE_URL/health\` from where you are; the stack's outputs name the address.
2. 403: a policy of the organization keeps \`allUsers\` out; docs/deploy.md has the remedy.
3. Logs of lookup: \`service.stopped\` says what is missing. \`npm run deploy -- -- --refresh\` puts back what was changed by hand.`,
    },
  ];
}
