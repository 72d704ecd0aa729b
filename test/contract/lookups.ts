import { expect } from "vitest";
import { type Answer, PASSPHRASE } from "../support/served.ts";

/** Seconds. */
export const HOUR = 3600;
/** Life left, in seconds, that asks for no refresh. */
export const FRESH = 11 * HOUR;

/** An error as design 2 has it, and nothing else in its body. */
export function expectProblem(answer: Answer, status: number, message: RegExp): void {
  expect(answer.body).toEqual({
    status: String(status),
    message: expect.stringMatching(message),
    reference: expect.stringMatching(/^[0-9a-f]{32}$/),
  });
  expect(answer.status).toBe(status);
  expect(answer.headers["cache-control"]).toBe("no-store");
  expect(answer.headers["content-type"]).toBe("application/json; charset=utf-8");
}

export const withHeaders = (headers: Record<string, string | string[]>) => ({
  headers: { "x-token-passphrase": PASSPHRASE, ...headers },
});
export const rejecting = (accessToken: unknown) => withHeaders({ "x-token-rejected": String(accessToken) });
export const basic = (text: string) => ({ authorization: `Basic ${Buffer.from(text).toString("base64")}` });
