/** Tells whoever watches how far it is: one line that changes on a terminal, else a line now and then. */
export interface Progress {
  say(text: string): void;
  /** Shows `line` from now on. */
  follow(line: () => string): void;
  stop(): void;
}

const ON_TERMINAL = 500;
const ELSEWHERE = 15_000;
const ERASE = "\r\u001b[2K";

export function openProgress(stream: NodeJS.WriteStream): Progress {
  let timer: NodeJS.Timeout | undefined;
  const erase = () => {
    if (stream.isTTY) stream.write(ERASE);
  };
  return {
    say(text) {
      erase();
      stream.write(`${text}\n`);
    },
    follow(line) {
      const show = () => {
        erase();
        // A line that wraps could not be erased.
        stream.write(stream.isTTY ? line().slice(0, stream.columns - 1) : `${line()}\n`);
      };
      timer = setInterval(show, stream.isTTY ? ON_TERMINAL : ELSEWHERE);
    },
    stop() {
      clearInterval(timer);
      erase();
    },
  };
}

/** `mm:ss`. */
export const clockText = (ms: number) =>
  [Math.floor(ms / 60_000), Math.floor(ms / 1000) % 60]
    .map((part) => String(part).padStart(2, "0"))
    .join(":");
