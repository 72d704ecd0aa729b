import { createHash } from "node:crypto";
import { expect } from "vitest";
import { pageReply } from "../../functions/core/page.ts";
import type { Answer } from "./served.ts";

/** What `expectStrict` needs of an answer. */
export type Seen = Pick<Answer, "status" | "text"> & { headers: Readonly<Record<string, unknown>> };

/** Expects a page of the service that runs, loads, sets and submits nothing. */
export function expectStrict({ status, headers, text }: Seen, body = true): void {
  const style = /<style>(.*?)<\/style>/s.exec(text)?.[1] ?? "";
  const hash = createHash("sha256").update(style).digest("base64");
  const policy = String(headers["content-security-policy"])
    .split(";")
    .map((directive) => directive.trim());
  expect(policy.filter((directive) => !directive.startsWith("style-src")).sort()).toEqual([
    "base-uri 'none'",
    "default-src 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ]);
  if (body) expect(policy).toContain(`style-src 'sha256-${hash}'`);
  expect(policy).toHaveLength(5);
  expect(headers).toMatchObject({
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
  });
  for (const header of ["set-cookie", "location", "refresh", "link", "x-powered-by", "server"])
    expect(headers, header).not.toHaveProperty(header);
  if (status === 405) expect(headers).toHaveProperty("allow", "GET");
  if (status === 503 && text.includes("store")) expect(headers).toHaveProperty("retry-after");
  if (body) expect(frameOf(text)).toBe(FRAME);
}

/** The page without its texts, which is always the same. */
export const frameOf = (page: string) =>
  page.replace(/<(p|title|h1)>[^<>"']*<\/\1>/g, "<$1></$1>").replace(/(<p><\/p>)+/, "<p></p>");
export const FRAME = frameOf(String(pageReply(200, "", "").body));
