import { randomUUID } from "node:crypto";

/** One HTTP answer, sent after `delayMs`. */
export interface Reply {
  status: number;
  headers?: Record<string, string>;
  body?: string;
  delayMs?: number;
}

export function json(status: number, body: object, headers: Record<string, string> = {}): Reply {
  return {
    status,
    headers: { "content-type": "application/json; charset=utf-8", ...headers },
    body: JSON.stringify(body),
  };
}

/** The identity broker's error shape; its `trackingID` ends in capitals, unlike the other's. */
export function brokerError(status: number, error: string, description: string): Reply {
  return json(status, { error, error_description: description, trackingID: `NA_${randomUUID()}` });
}

/** The general error shape of webexapis.com. */
export function webexError(status: number, message: string, headers: Record<string, string> = {}): Reply {
  return json(
    status,
    { message, errors: [{ description: message }], trackingId: `ROUTER_${randomUUID()}` },
    headers,
  );
}

const CONTACT_CENTRE: Readonly<Record<number, string>> = {
  400: "The request is not valid.",
  401: "The access token is missing, has ended, or is not known.",
  403: "The access token does not allow this.",
  404: "There is no such resource.",
  405: "The request method is not supported.",
  412: "The resource was changed meanwhile.",
  500: "Something went wrong on the server.",
};

/** The error shape of the contact centre's APIs. */
export function contactCentreError(status: number, ...message: string[]): Reply {
  const told = message.length > 0 ? message : [CONTACT_CENTRE[status] ?? ""];
  return json(status, { trackingId: randomUUID(), error: { key: String(status), message: told } });
}

/** What webexapis.com says to a request without a live access token (401). */
export const UNAUTHORIZED =
  "The request requires a valid access token set in the Authorization request header.";

/** A reply that sends the browser on; 303, so that a form's POST becomes a GET. */
export function redirection(to: string): Reply {
  return { status: 303, headers: { location: to, "referrer-policy": "no-referrer" } };
}
