import { CommandError } from "./errors.ts";

/** From here on a person who waits is shown how far it is. */
const MANY = 50;

/** How far long work is. On a terminal a bar; else nothing. */
export interface Progress {
  advance(): void;
  stop(): void;
}

/** `what`: the work, as in "adopting". `total`: how many pieces it has. */
export async function showProgress(what: string, total: number): Promise<Progress> {
  if (!process.stderr.isTTY || total < MANY) return { advance: () => {}, stop: () => {} };
  const { progress } = await import("@clack/prompts");
  const bar = progress({ max: total, output: process.stderr });
  bar.start(what);
  return { advance: () => bar.advance(1), stop: () => bar.stop("done") };
}

/** How many pieces of long work are done, where nobody knows how many there are. On a terminal a line; else nothing. */
export interface Count {
  reached(done: number): void;
  /** Writes something else meanwhile. */
  around(write: () => void): void;
  /** The line is gone then. */
  stop(): void;
}

/** Work that is done sooner is not worth a line, in ms. */
const SOON = 500;

/** `what`: the pieces, as in "tokens read". */
export function showCount(what: string, stream: NodeJS.WriteStream = process.stderr): Count {
  const began = Date.now();
  let line = "";
  const show = (text: string) => {
    if (text !== line && stream.isTTY) stream.write(`\r\x1b[K${text}`);
    line = text;
  };
  return {
    reached(done) {
      if (Date.now() - began >= SOON) show(`${done} ${what} …`);
    },
    around(write) {
      const shown = line;
      show("");
      write();
      show(shown);
    },
    stop: () => show(""),
  };
}

/** The same pages, with a count of them for whoever waits; Ctrl-C ends the reading. */
export async function* counted<T>(
  pages: AsyncIterable<T[]>,
  what: string,
  signal: AbortSignal,
): AsyncGenerator<T[]> {
  const count = showCount(what);
  let done = 0;
  try {
    for await (const page of pages) {
      if (signal.aborted) throw new CommandError("cancelled", 130);
      done += page.length;
      count.reached(done);
      yield page;
    }
  } finally {
    count.stop();
  }
}
