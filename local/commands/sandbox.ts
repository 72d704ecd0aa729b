import type { Command } from "commander";
import { fieldsOf } from "../../functions/core/document.ts";
import {
  breakSandbox,
  mendSandbox,
  revokeInSandbox,
  type SandboxStatus,
  sandboxStatus,
  variablesInSandbox,
} from "../actions/sandbox.ts";
import { sandboxControl } from "../deployment.ts";
import { FAULTS, type Fault } from "../sandbox/faults.ts";
import { type Context, examples, jsonOption, type Register, tokenName, withTokens } from "./context.ts";
import { durationText, parseDuration } from "./durations.ts";
import { CommandError } from "./errors.ts";
import { findToken } from "./stored.ts";
import { table } from "./table.ts";

/** `sandbox`: breaks and mends the sandbox that a running `npm start` has in place of Webex. */
export const sandbox: Register = (program, context) => {
  const group = program
    .command("sandbox")
    .description("break the sandbox that stands in for Webex, and mend it again")
    .addHelpText(
      "after",
      examples(
        ["sandbox down 30s", "no answer at all, for 30 seconds"],
        ["sandbox slow", "every answer comes late, until it is well"],
        ["sandbox 429 --times 3", "the next three requests are too many"],
        ["sandbox revoke example", "the refresh token of one token is ended"],
        ["sandbox well", "all is as it should be"],
      ),
    );
  well(group, context);
  status(group, context);
  revoke(group, context);
  variables(group, context);
  for (const { fault, about } of FAULTS) faulty(group, fault, about, context);
};

function faulty(group: Command, fault: Fault, about: string, { terminal }: Context): void {
  group
    .command(fault)
    .argument("[duration]", "how long, such as 30s or 5m; without it, until well", secondsOf)
    .description(about)
    .option("--times <number>", "for that many requests only", timesOf)
    .addOption(jsonOption())
    .addHelpText("after", examples([`sandbox ${fault} 30s`, "for 30 seconds"], ["sandbox well", "ends it"]))
    .action(async (seconds: number | undefined, { times, json }: { times?: number; json?: boolean }) => {
      const answer = await breakSandbox(sandboxControl(), { fault, seconds, times });
      if (json) return terminal.json(answer);
      const until = seconds === undefined ? "" : ` for ${durationText(seconds * 1000)}`;
      const uses = times === undefined ? "" : `, ${times} times`;
      terminal.print(`the sandbox is now "${fault}"${until}${uses}: ${about}; "sandbox well" ends it`);
    });
}

function well(group: Command, { terminal }: Context): void {
  group
    .command("well")
    .description("end every fault")
    .addOption(jsonOption())
    .addHelpText("after", examples(["sandbox well", "the sandbox answers again"]))
    .action(async ({ json }: { json?: boolean }) => {
      const answer = await mendSandbox(sandboxControl());
      if (json) terminal.json(answer);
      else terminal.print("the sandbox is well: no fault is left");
    });
}

function revoke(group: Command, context: Context): void {
  const { terminal } = context;
  group
    .command("revoke")
    .argument("[name]", "name of the token; without it, all of them", tokenName)
    .description("end the refresh tokens, as Webex does when a grant is withdrawn")
    .option("--access", "end the access tokens too")
    .addOption(jsonOption())
    .addHelpText(
      "after",
      examples(
        ["sandbox revoke example", "its next refresh is refused for good"],
        ["sandbox revoke", "all of them"],
      ),
    )
    .action(async (name: string | undefined, { access, json }: { access?: boolean; json?: boolean }) => {
      const clientId = name === undefined ? undefined : await clientOf(name, context);
      const answer = await revokeInSandbox(sandboxControl(), clientId, access === true);
      if (json) terminal.json(answer);
      else terminal.print(revokedText(name, answer.revoked));
    });
}

function revokedText(name: string | undefined, revoked: unknown): string {
  const { refreshTokens, accessTokens } = fieldsOf(revoked);
  const whose = name === undefined ? "all clients" : `the client of token "${name}"`;
  return `revoked, of ${whose}: ${refreshTokens} refresh and ${accessTokens} access tokens`;
}

const clientOf = (name: string, context: Context) =>
  withTokens(context, async (store) => {
    const { clientId } = (await findToken(name, store)).document;
    if (clientId === undefined) throw new CommandError(`token "${name}" has no clientId`);
    return clientId;
  });

function status(group: Command, { terminal }: Context): void {
  group
    .command("status")
    .description("show the faults that are active, and what the sandbox was asked")
    .addOption(jsonOption())
    .addHelpText(
      "after",
      examples(["sandbox status", "for a person"], ["sandbox status --json", "for programs"]),
    )
    .action(async ({ json }: { json?: boolean }) => {
      const answer = await sandboxStatus(sandboxControl());
      if (json) return terminal.json(answer);
      terminal.print(answer.faults.map(faultText).join("\n") || "the sandbox is well");
      const counts = Object.entries(answer.counters).map(([grant, tally]) => [
        grant,
        ...["received", "granted", "refused", "faulted"].map((kind) => String(tally[kind] ?? 0)),
      ]);
      terminal.print(await table(["requests", "received", "granted", "refused", "faulted"], counts));
    });
}

function variables(group: Command, { terminal }: Context): void {
  group
    .command("variables")
    .description("show the global variables of the sandbox's contact centre, and whose token each holds")
    .addOption(jsonOption())
    .addHelpText("after", examples(["sandbox variables", "no value is shown"]))
    .action(async ({ json }: { json?: boolean }) => {
      const variables = await variablesInSandbox(sandboxControl());
      if (json) return terminal.json({ variables });
      const rows = variables.map(({ id, name, sensitive, characters, token }) => [
        id,
        name,
        sensitive ? "yes" : "no",
        token === undefined
          ? `${characters} characters`
          : `${token.live ? "a live" : "an ended"} token of ${token.clientId}`,
      ]);
      terminal.print(await table(["id", "name", "sensitive", "holds"], rows));
    });
}

function faultText({ fault, remainingSeconds, remainingTimes }: SandboxStatus["faults"][number]): string {
  const about = FAULTS.find((known) => known.fault === fault)?.about ?? "";
  const time = remainingSeconds === undefined ? "" : ` for another ${durationText(remainingSeconds * 1000)}`;
  const times = remainingTimes === undefined ? "" : `, ${remainingTimes} more times`;
  return `"${fault}"${time}${times}: ${about}`;
}

function secondsOf(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined) throw new CommandError('the duration must be one such as "30s", "5m" or "1h"', 2);
  return ms / 1000;
}

function timesOf(text: string): number {
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  throw new CommandError("--times must be a whole number, 1 or more", 2);
}
