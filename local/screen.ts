/** A terminal that one program has for itself, until it is given back as it was. */
export interface Screen {
  /** Aborted when the person at the keyboard wants to leave (q, Ctrl-C, Ctrl-D). */
  left: AbortSignal;
  /** How many lines it has now. */
  height(): number;
  /** In place of what was there. Lines that are too long are cut, not broken. */
  draw(lines: readonly string[]): void;
  close(): void;
}

/** xterm's control sequences: another screen, no cursor, no line breaks of its own; and all of that undone. */
const TAKE = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const GIVE_BACK = "\x1b[?7h\x1b[?25h\x1b[?1049l";
const HOME = "\x1b[H";
const CLEAR_LINE = "\x1b[K";
const CLEAR_BELOW = "\x1b[J";
const LEAVING = ["q", "Q", "\x03", "\x04"];
/** Where the terminal does not say. */
const HEIGHT = 24;

/** `onResize`: it has another size now. */
export function openScreen(
  input: NodeJS.ReadStream,
  output: NodeJS.WriteStream,
  onResize: () => void,
): Screen {
  const leaving = new AbortController();
  let isOpen = true;
  const listen = (keys: Buffer | string) => {
    if (LEAVING.includes(String(keys))) leaving.abort();
  };
  const close = () => {
    if (!isOpen) return;
    isOpen = false;
    process.off("exit", close);
    output.off("resize", onResize);
    input.off("data", listen);
    if (input.isTTY) input.setRawMode(false);
    input.pause();
    output.write(GIVE_BACK);
  };
  // Whatever ends the process: a terminal without cursor and echo is of no use to anybody.
  process.on("exit", close);
  output.on("resize", onResize);
  if (input.isTTY) {
    input.setRawMode(true);
    input.on("data", listen).resume();
  }
  output.write(TAKE);
  return {
    left: leaving.signal,
    height: () => output.rows || HEIGHT,
    draw(lines) {
      const text = lines.map((line) => `${CLEAR_LINE}${line}`).join("\r\n");
      if (isOpen) output.write(`${HOME}${text}${CLEAR_BELOW}`);
    },
    close,
  };
}
