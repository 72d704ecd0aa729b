import { createContext } from "preact";
import { useContext, useEffect, useRef, useState } from "preact/hooks";
import type { Row } from "../row.ts";
import type { About } from "../views.ts";
import type { Changes } from "../watch.ts";
import { AskError, look } from "./ask.ts";

/** What the page knows of the store, kept up to date. */
export interface Live {
  rows: readonly Row[];
  sweeps: Changes["sweeps"];
  about: About | undefined;
  /** The store has been looked at. */
  ready: boolean;
  /** Why what is shown may be old. `undefined`: it is not. */
  problem: string | undefined;
  /** ms: the store's clock now. */
  now(): number;
  /** Looks again at once. */
  again(): void;
  /** What was told last of something that is no longer in view. */
  notice: string;
  /** Tells something for a while, whichever view comes next. */
  tell(text: string): void;
}

const NOTHING: Omit<Live, "now" | "again" | "tell"> = {
  rows: [],
  sweeps: { last: 0, list: [] },
  about: undefined,
  ready: false,
  problem: undefined,
  notice: "",
};

export const LiveContext = createContext<Live>({ ...NOTHING, now: () => 0, again: () => {}, tell: () => {} });

export const useLive = () => useContext(LiveContext);

const RETRY = 2000;
const NOTICE = 12_000;

/**
 * Asks the console for what changed, again and again while the page is in view: a page that nobody sees costs no reads
 * of the store. The first answer brings all rows, later ones those that changed.
 */
export function usePolling(): Live {
  const [state, setState] = useState(NOTHING);
  const clock = useRef({ now: Date.now(), at: performance.now() });
  const wake = useRef(() => {});
  useEffect(() => {
    const rows = new Map<string, Row>();
    let mark: string | undefined;
    let timer = 0;
    let turn = 0;
    const take = (changes: Changes) => {
      if (changes.whole) rows.clear();
      for (const row of changes.rows) rows.set(row.name, row);
      for (const name of changes.gone) rows.delete(name);
      mark = changes.mark;
      clock.current = { now: changes.now, at: performance.now() };
      const moved = changes.whole || changes.rows.length > 0 || changes.gone.length > 0;
      setState((before) => ({
        ...before,
        ...(moved && { rows: [...rows.values()] }),
        sweeps: changes.sweeps,
        ready: true,
        problem: undefined,
      }));
    };
    const poll = async (mine: number) => {
      if (document.hidden) return;
      let pause = RETRY;
      try {
        const changes = await look<Changes>("tokens", mark === undefined ? {} : { since: mark });
        if (mine !== turn) return;
        take(changes);
        pause = changes.again;
      } catch (error) {
        if (mine !== turn) return;
        const problem = error instanceof AskError ? error.message : String(error);
        setState((before) => ({ ...before, problem }));
      }
      timer = window.setTimeout(() => poll(mine), pause);
    };
    wake.current = () => {
      clearTimeout(timer);
      void poll(++turn);
    };
    const shown = () => !document.hidden && wake.current();
    document.addEventListener("visibilitychange", shown);
    wake.current();
    look<About>("about").then(
      (about) => setState((before) => ({ ...before, about })),
      () => {},
    );
    return () => {
      document.removeEventListener("visibilitychange", shown);
      clearTimeout(timer);
      turn++;
    };
  }, []);
  return {
    ...state,
    now: () => clock.current.now + performance.now() - clock.current.at,
    again: () => wake.current(),
    tell(notice) {
      setState((before) => ({ ...before, notice }));
      setTimeout(() => setState((before) => ({ ...before, notice: "" })), NOTICE);
    },
  };
}

/** The store's clock, again every second. */
export function useNow(): number {
  const { now } = useLive();
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((ticks) => ticks + 1), 1000);
    return () => clearInterval(timer);
  }, []);
  return now();
}
