import type { IncomingMessage } from "node:http";
import { Refusal } from "./refusal.ts";

const LARGEST_BODY = 65_536; // bytes

/** The body as strict UTF-8; a Refusal if it is too large or not text. */
export async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    size += chunk.length;
    if (size > LARGEST_BODY) throw new Refusal("invalid_request", "The body is too large.");
    chunks.push(chunk);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.concat(chunks));
  } catch {
    throw new Refusal("invalid_request", "The body is not UTF-8.");
  }
}

/** The pairs of a form or query, strictly: what cannot be decoded is refused, never mended. */
export function formPairs(text: string): [name: string, value: string][] {
  if (text === "") return [];
  return text.split("&").map((pair) => {
    const [name, ...value] = pair.split("=");
    if (!name || value.length === 0)
      throw new Refusal("invalid_request", "A parameter lacks its name or value.");
    return [decoded(name), decoded(value.join("="))];
  });
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    throw new Refusal("invalid_request", "A parameter is not percent-encoded UTF-8.");
  }
}
