import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Row } from "../row.ts";
import { LifeBar } from "./life-bar.tsx";
import { endsSoon, FEW, type Span, spanInView } from "./order.ts";
import { Name } from "./parts.tsx";
import { tokenAddress } from "./route.tsx";
import { State } from "./state.tsx";
import { lifeText, refreshText, runwayText, visible, worstParts } from "./words.ts";

const NARROW = "(max-width: 56rem)";
/** px; the style sheet says the same. */
const HEIGHTS = { wide: 60, narrow: 176 };

const HEADS = ["Token", "State", "Life left", "Next refresh", "Refresh token", "Last result", "Organization"];

/**
 * One row a token. Of many only those in view are on the page, with the number of all of them told to screen readers;
 * the roles are said, because narrow screens show rows as cards.
 */
export function TokenTable({ rows, now }: { rows: readonly Row[]; now: number }) {
  const body = useRef<HTMLTableSectionElement>(null);
  const [span, height] = useSpan(rows.length, body);
  const shown = rows.slice(span.from, span.to);
  return (
    <table aria-rowcount={rows.length + 1} aria-label="Tokens, the most urgent first">
      <thead>
        <tr aria-rowindex={1}>
          {HEADS.map((head) => (
            <th key={head} scope="col">
              {head}
            </th>
          ))}
        </tr>
      </thead>
      <tbody ref={body}>
        <Spacer height={span.from * height} />
        {shown.map((row, index) => (
          <TokenRow key={row.name} row={row} now={now} index={span.from + index + 2} />
        ))}
        <Spacer height={(rows.length - span.to) * height} />
      </tbody>
    </table>
  );
}

/** Stands for the rows that are out of view. */
function Spacer({ height }: { height: number }) {
  if (height <= 0) return null;
  // biome-ignore lint/a11y/noAriaHiddenOnFocusable: nothing in it can be focused
  return <tr class="spacer" aria-hidden="true" style={{ height: `${height}px` }} />;
}

function TokenRow({ row, now, index }: { row: Row; now: number; index: number }) {
  const { name, orgId, cluster } = row;
  const [what, when] = worstParts(row, now).map(visible);
  return (
    <tr aria-rowindex={index}>
      <th scope="row" class="name">
        <a href={tokenAddress(name)} title={visible(name)}>
          <Name of={name} />
        </a>
      </th>
      <td class="state-cell">
        <State row={row} now={now} />
      </td>
      <td class="life">
        <LifeBar row={row} now={now} />
        <span>{lifeText(row, now)}</span>
      </td>
      <td data-head="Next refresh">{refreshText(row, now)}</td>
      <td data-head="Refresh token" class={endsSoon(row, now) ? "soon" : ""}>
        {runwayText(row, now)}
      </td>
      <td data-head="Last result" title={`${what} ${when}`}>
        {what}
        <span class="second"> {when}</span>
      </td>
      <td data-head="Organization" class="org" title={visible(orgId ?? "")}>
        {orgId === undefined ? "–" : visible(orgId)}
        {cluster !== undefined && <span class="second">{visible(cluster)}</span>}
      </td>
    </tr>
  );
}

/** Which rows are in view, and how high one is in px. */
function useSpan(count: number, body: { current: HTMLTableSectionElement | null }): [Span, number] {
  const [height, setHeight] = useState(() => heightNow());
  const [span, setSpan] = useState<Span>(() => spanInView(count, 0, innerHeight, height));
  const measure = () => {
    const top = -(body.current?.getBoundingClientRect().top ?? 0);
    const next = spanInView(count, top, innerHeight, heightNow());
    setHeight(heightNow());
    setSpan((before) => (before.from === next.from && before.to === next.to ? before : next));
  };
  useLayoutEffect(measure, [count]);
  useEffect(() => {
    if (count <= FEW) return;
    let frame = 0;
    const later = () => {
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(measure);
    };
    addEventListener("scroll", later, { passive: true });
    addEventListener("resize", later);
    return () => {
      cancelAnimationFrame(frame);
      removeEventListener("scroll", later);
      removeEventListener("resize", later);
    };
  }, [count]);
  return [{ from: Math.min(span.from, count), to: Math.min(span.to, count) }, height];
}

const heightNow = () => (matchMedia(NARROW).matches ? HEIGHTS.narrow : HEIGHTS.wide);
