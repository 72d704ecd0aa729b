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
