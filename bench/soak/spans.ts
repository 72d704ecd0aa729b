/** When something was so. Instants are ms. */
export interface Spans {
  begin(at: number): void;
  end(at: number): void;
  /** It is so now. */
  isOpen(): boolean;
  /** It was so at some instant of this time. */
  meets(from: number, until: number): boolean;
  /** When it last ended; `undefined`: it never did. */
  lastEnd(): number | undefined;
}

/** Begun several times at once, it lasts until each of those has ended. */
export function makeSpans(): Spans {
  const over: { from: number; until: number }[] = [];
  let since: number | undefined;
  let depth = 0;
  return {
    begin(at) {
      depth++;
      since ??= at;
    },
    end(at) {
      if (since === undefined || --depth > 0) return;
      over.push({ from: since, until: at });
      since = undefined;
      depth = 0;
    },
    isOpen: () => since !== undefined,
    meets: (from, until) =>
      (since !== undefined && since <= until) ||
      over.some((span) => span.from <= until && span.until >= from),
    lastEnd: () => over.at(-1)?.until,
  };
}
