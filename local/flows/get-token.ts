import type { FlowDescription, Variable } from "./description.ts";

/** How lookup knows the flow: by the credentials of a connector, or by a passphrase in the subflow. */
export type Credentials = "connector" | "passphrase";

const NAME: Record<Credentials, string> = {
  connector: "get_token",
  passphrase: "get_token_passphrase",
};
export const CONNECTOR = "Token service";

/** The answers of lookup after which to ask again now is of no use, and those that pass. */
const REFUSALS = [400, 401, 404, 405, 409, 500];
const PASSING = [429, 503];

const text = (about: string, more: Partial<Variable> = {}): Variable => ({
  type: "STRING",
  value: "",
  about,
  ...more,
});

/** Asks lookup for an access token. Whatever is answered, it returns a status, and ends. */
export function getToken(credentials: Credentials): FlowDescription {
  const toEach = (answers: readonly number[], target: string) =>
    Object.fromEntries(answers.map((answer) => [String(answer), target]));
  return {
    kind: "SUBFLOW",
    name: NAME[credentials],
    about: "Asks the token service for a Webex access token",
    variables: {
      token_name: text("Which token", { passed: "in" }),
      rejected_token: text("The token that an API has just refused with 401; else empty", {
        passed: "in",
        sensitive: true,
      }),
      access_token: text("The token, where the status is 200 or unchanged", {
        passed: "out",
        sensitive: true,
      }),
      status: text("200, unchanged, no answer, error, or the status of lookup's refusal", {
        value: "error",
        passed: "out",
      }),
      message: text("What lookup says of a refusal", { passed: "out" }),
      reference: text("What to quote: it is in lookup's log, too", { passed: "out" }),
      ...(credentials === "passphrase" && {
        lookup_url: text("The address of lookup, without a / at its end"),
        passphrase: text("The passphrase of the token service", { sensitive: true }),
      }),
    },
    activities: {
      StartSubflow: { do: "start", next: "AskToken" },
      AskToken: {
        do: "ask",
        about: "With wait=1, lookup answers within the 2 s that this activity waits, whatever it holds",
        at: credentials === "connector" ? { connector: CONNECTOR, path: "/" } : { url: "{{ lookup_url }}/" },
        query: { name: "{{ token_name }}", wait: "1" },
        headers: {
          "x-token-rejected": "{{ rejected_token }}",
          ...(credentials === "passphrase" && { "x-token-passphrase": "{{ passphrase }}" }),
        },
        outputs: { access_token: "$.token", message: "$.message", reference: "$.reference" },
        next: "WhatAnswer",
      },
      WhatAnswer: {
        do: "choose",
        by: "{{ AskToken.httpStatusCode }}",
        cases: {
          "200": "IsEmpty",
          ...toEach(REFUSALS, "TellRefusal"),
          ...toEach(PASSING, "TellPassing"),
        },
        otherwise: "TellNoAnswer",
        failed: "Failed",
      },
      IsEmpty: {
        do: "if",
        about: "A 200 that is not lookup's, of something in between",
        holds: "{{ access_token is empty }}",
        yes: "TellNoAnswer",
        no: "IsUnchanged",
        failed: "Failed",
      },
      IsUnchanged: {
        do: "if",
        about: "The very token that was refused: there is no better one",
        holds: "{{ access_token == rejected_token }}",
        yes: "TellUnchanged",
        no: "TellToken",
        failed: "Failed",
      },
      TellToken: { do: "set", variable: "status", to: "200", next: "Token", failed: "Failed" },
      TellUnchanged: { do: "set", variable: "status", to: "unchanged", next: "Unchanged", failed: "Failed" },
      TellRefusal: {
        do: "set",
        variable: "status",
        to: "{{ AskToken.httpStatusCode }}",
        next: "Refused",
        failed: "Failed",
      },
      TellPassing: {
        do: "set",
        variable: "status",
        to: "{{ AskToken.httpStatusCode }}",
        next: "TryLater",
        failed: "Failed",
      },
      TellNoAnswer: { do: "set", variable: "status", to: "no answer", next: "NoAnswer", failed: "Failed" },
      Token: { do: "end" },
      Unchanged: { do: "end" },
      Refused: { do: "end" },
      TryLater: { do: "end" },
      NoAnswer: { do: "end" },
      Failed: { do: "end" },
    },
  };
}
