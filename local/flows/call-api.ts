import type { FlowDescription, Variable } from "./description.ts";
import { getToken } from "./get-token.ts";

/** Seconds: a caller hears nothing meanwhile, and speech engines cut longer breaks. */
const LONGEST_WAIT = 10;

const text = (value: string, about: string): Variable => ({ type: "STRING", value, about });
const secret = (about: string): Variable => ({ ...text("", about), sensitive: true });
const count = (value: number, about: string): Variable => ({ type: "INTEGER", value: String(value), about });

/**
 * Calls an API with a token of the subflow. Refused (401), it asks for another once, naming the refused one; throttled
 * (429), it waits as it was told, once. So no API is called more than three times.
 */
export const callApi: FlowDescription = {
  kind: "FLOW",
  name: "call_api",
  about: "Calls a Webex API with a token of the token service",
  variables: {
    token_name: text("example", "Which token"),
    api_url: text("https://webexapis.com/v1/people/me", "What to call"),
    access_token: secret("The token"),
    token_status: text("", "What the subflow says of it"),
    display_name: text("", "What the API answers"),
    asked_again: count(0, "How often another token was asked for"),
    waited: count(0, "How often the API was waited for"),
    wait_seconds: count(2, "How long to wait for the API; where it says nothing, this"),
    retry_after: count(0, "What it says, as HTTP/1.1 spells it"),
    retry_after_lower: count(0, "What it says, as HTTP/2 spells it"),
  },
  onError: { event: "GlobalErrorHandling", end: "FlowFailed" },
  activities: {
    NewPhoneContact: { do: "start", next: "GetToken" },
    GetToken: {
      do: "call",
      subflow: getToken("connector").name,
      give: { token_name: "token_name" },
      take: { access_token: "access_token", token_status: "status" },
      next: "HasToken",
      failed: "NoToken",
    },
    HasToken: {
      do: "if",
      holds: '{{ token_status == "200" }}',
      yes: "CallApi",
      no: "NoToken",
      failed: "NoToken",
    },
    CallApi: {
      do: "ask",
      at: { url: "{{ api_url }}" },
      query: {},
      headers: { Authorization: "Bearer {{ access_token }}" },
      outputs: { display_name: "$.displayName" },
      next: "WhatAnswer",
    },
    WhatAnswer: {
      do: "choose",
      by: "{{ CallApi.httpStatusCode }}",
      cases: { "200": "Done", "401": "HasAskedAgain", "429": "HasWaited" },
      otherwise: "ApiFailed",
      failed: "ApiFailed",
    },

    HasAskedAgain: {
      do: "if",
      holds: "{{ asked_again >= 1 }}",
      yes: "ApiRefused",
      no: "CountAsking",
      failed: "ApiRefused",
    },
    CountAsking: {
      do: "set",
      variable: "asked_again",
      to: "{{ asked_again + 1 }}",
      next: "GetOtherToken",
      failed: "ApiRefused",
    },
    GetOtherToken: {
      do: "call",
      subflow: getToken("connector").name,
      give: { token_name: "token_name", rejected_token: "access_token" },
      take: { access_token: "access_token", token_status: "status" },
      next: "HasOtherToken",
      failed: "NoToken",
    },
    HasOtherToken: {
      do: "if",
      holds: '{{ token_status == "200" }}',
      yes: "CallApi",
      no: "IsUnchanged",
      failed: "NoToken",
    },
    IsUnchanged: {
      do: "if",
      about: "The API refuses a token that lives: it lacks a scope, or the API means something else",
      holds: '{{ token_status == "unchanged" }}',
      yes: "ApiRefused",
      no: "NoToken",
      failed: "NoToken",
    },

    HasWaited: {
      do: "if",
      holds: "{{ waited >= 1 }}",
      yes: "ApiBusy",
      no: "CountWaiting",
      failed: "ApiBusy",
    },
    CountWaiting: {
      do: "set",
      variable: "waited",
      to: "{{ waited + 1 }}",
      next: "ReadRetryAfter",
      failed: "ApiBusy",
    },
    ReadRetryAfter: {
      do: "read",
      from: "CallApi.httpResponseHeaders",
      outputs: { retry_after: '$["Retry-After"]', retry_after_lower: '$["retry-after"]' },
      next: "IsTold",
    },
    IsTold: {
      do: "if",
      holds: "{{ retry_after > 0 }}",
      yes: "TakeTold",
      no: "IsToldInLowerCase",
      failed: "ApiBusy",
    },
    TakeTold: {
      do: "set",
      variable: "wait_seconds",
      to: "{{ retry_after }}",
      next: "IsTooLong",
      failed: "ApiBusy",
    },
    IsToldInLowerCase: {
      do: "if",
      holds: "{{ retry_after_lower > 0 }}",
      yes: "TakeToldInLowerCase",
      no: "IsTooLong",
      failed: "ApiBusy",
    },
    TakeToldInLowerCase: {
      do: "set",
      variable: "wait_seconds",
      to: "{{ retry_after_lower }}",
      next: "IsTooLong",
      failed: "ApiBusy",
    },
    IsTooLong: {
      do: "if",
      holds: `{{ wait_seconds > ${LONGEST_WAIT} }}`,
      yes: "ApiBusy",
      no: "Wait",
      failed: "ApiBusy",
    },
    Wait: {
      do: "say",
      ssml: '<speak>One moment, please.<break time="{{ wait_seconds }}s" /></speak>',
      next: "CallApi",
      failed: "ApiBusy",
    },

    Done: { do: "end" },
    NoToken: { do: "end" },
    ApiRefused: { do: "end" },
    ApiBusy: { do: "end" },
    ApiFailed: { do: "end" },
  },
};
