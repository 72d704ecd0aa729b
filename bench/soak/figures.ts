import { quantile } from "../numbers.ts";
import { type Circumstances, LASTING } from "./judge.ts";
import type { Answer } from "./reader.ts";

/** What reads took, by kind. */
export interface Figures {
  add(answer: Answer, known: Circumstances): void;
  reads(): number;
  groups(): Group[];
}

/** Times are ms. */
export interface Group {
  title: string;
  count: number;
  served: number;
  p50: number;
  p99: number;
  slowest: number;
}

const TITLES = {
  plain: "a token is held",
  rejected: "… and refused by an API (x-token-rejected)",
  minTtl: "… and must live for longer (minTtl)",
  none: "none is held, or it is about to end",
};

export function makeFigures(): Figures {
  const groups = new Map<keyof typeof TITLES, { took: number[]; served: number }>();
  let reads = 0;
  return {
    add({ kind, sent, answered, status }, { heldUntil }) {
      const title = heldUntil >= sent + LASTING ? kind : "none";
      const group = groups.get(title) ?? { took: [], served: 0 };
      groups.set(title, group);
      group.took.push(answered - sent);
      if (status === 200) group.served++;
      reads++;
    },
    reads: () => reads,
    groups: () =>
      (Object.keys(TITLES) as (keyof typeof TITLES)[]).flatMap((name) => {
        const { took, served } = groups.get(name) ?? { took: [], served: 0 };
        if (took.length === 0) return [];
        const sorted = took.toSorted((a, b) => a - b);
        const [p50 = 0, p99 = 0, slowest = 0] = [0.5, 0.99, 1].map((share) => quantile(sorted, share));
        return [{ title: TITLES[name], count: took.length, served, p50, p99, slowest }];
      }),
  };
}
