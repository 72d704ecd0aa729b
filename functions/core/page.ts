import { createHash } from "node:crypto";
import type { Reply } from "./reply.ts";

const STYLE =
  "body{font:1rem/1.5 system-ui,sans-serif;max-width:38rem;margin:15vh auto;padding:0 1rem}:root{color-scheme:light dark}h1{font-size:1.4rem}";

const STYLE_HASH = createHash("sha256").update(STYLE).digest("base64");

/** Nothing may run, load, frame or be sent from a page of ours, and no address with a code in it is passed on. */
const PAGE_HEADERS = {
  "content-type": "text/html; charset=utf-8",
  "content-security-policy": `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

/** A small page for a person: a title and sentences, all of them escaped. */
export function pageReply(status: number, title: string, ...sentences: string[]): Reply {
  const paragraphs = sentences.map((sentence) => `<p>${escapeHtml(sentence)}</p>`).join("");
  return {
    status,
    headers: PAGE_HEADERS,
    body: `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escapeHtml(title)}</title><style>${STYLE}</style></head><body><h1>${escapeHtml(title)}</h1>${paragraphs}</body></html>`,
  };
}

const ENTITIES: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** What is no text, or turns the direction of the text around it, can't be seen: it is shown as U+FFFD. */
const UNSEEN = /[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu;

const escapeHtml = (text: string) =>
  text.replace(UNSEEN, "\uFFFD").replace(/[&<>"']/g, (character) => ENTITIES[character] ?? "");
