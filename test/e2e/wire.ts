import { connect } from "node:net";
import { HANG } from "../support/hang.ts";

/** HTTP as bytes on a socket: what no client library would send, and what comes back. */

/** One answer as it stood on the wire; `1xx` are left out. */
export interface WireAnswer {
  status: number;
  /** Names in lower case. */
  headers: Readonly<Record<string, string>>;
  body: string;
}

export interface Exchange {
  answers: WireAnswer[];
  /** What came, byte by byte (Latin-1). */
  raw: string;
  /** False: the connection was still open, and silent, when patience ended. */
  closed: boolean;
}

/** Sends the bytes, and reads until the other side closes or is silent for `patience` ms. Never rejects. */
export function exchange(port: number, bytes: string | Buffer, patience = HANG): Promise<Exchange> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    let raw = "";
    const done = (closed: boolean) => {
      socket.destroy();
      resolve({ raw, closed, answers: answersIn(raw) });
    };
    socket.setTimeout(patience, () => done(false));
    socket.setEncoding("latin1").on("data", (text) => {
      raw += text;
    });
    // A reset is an end too.
    socket.on("error", () => {}).on("close", () => done(true));
    socket.write(bytes);
  });
}

/** The answers in a stream that was read to its end; one that was cut off counts, with the body that came. */
function answersIn(raw: string): WireAnswer[] {
  const [, version, status = "", fields = ""] =
    /^HTTP\/(1\.[01]) (\d{3})[^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n/.exec(raw) ?? [];
  if (version === undefined) return [];
  const head = raw.indexOf("\r\n\r\n") + 4;
  if (status.startsWith("1")) return answersIn(raw.slice(head));
  const headers = Object.fromEntries(
    fields
      .split("\r\n")
      .filter((line) => line !== "")
      .map((line) => [
        line.slice(0, line.indexOf(":")).toLowerCase(),
        line.slice(line.indexOf(":") + 1).trim(),
      ]),
  );
  const rest = raw.slice(head);
  // A HEAD's answer tells the length of a body that does not come: then the next answer follows at once.
  const length = rest.startsWith("HTTP/1.") ? 0 : Number(headers["content-length"] ?? rest.length);
  const answer = { status: Number(status), headers, body: rest.slice(0, length) };
  return [answer, ...answersIn(rest.slice(length))];
}
