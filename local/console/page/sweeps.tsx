import { useLive } from "./live.tsx";
import { sweepsText } from "./words.ts";

const WIDTH = 3;
const HEIGHT = 40;
/** Fewer sweeps leave room at the left. */
const LEAST = 40;

/** The last sweeps that had something to do, the newest at the right. */
export function Sweeps({ now }: { now: number }) {
  const { sweeps } = useLive();
  const { text, well } = sweepsText(sweeps, now);
  const most = Math.max(1, ...sweeps.list.map(({ refreshed, failed }) => refreshed + failed));
  const places = Math.max(LEAST, sweeps.list.length);
  const offset = places - sweeps.list.length;
  return (
    <section class="card sweeps" aria-labelledby="sweeps">
      <h2 id="sweeps">Sweeps</h2>
      <p class={well ? "" : "error"}>{text}</p>
      {sweeps.list.length > 0 && (
        <svg
          class="plot"
          viewBox={`0 0 ${places * WIDTH} ${HEIGHT}`}
          preserveAspectRatio="none"
          role="img"
          aria-label={`Tokens refreshed and failed in each of the last ${sweeps.list.length} sweeps, at most ${most} in one`}
        >
          {sweeps.list.map(({ at, refreshed, failed }, index) => {
            const good = (refreshed / most) * HEIGHT;
            const bad = (failed / most) * HEIGHT;
            const x = (offset + index) * WIDTH;
            return (
              <g key={`${at} ${index}`}>
                <rect class="plot-good" x={x} y={HEIGHT - good} width={WIDTH - 0.7} height={good} />
                <rect class="plot-bad" x={x} y={HEIGHT - good - bad} width={WIDTH - 0.7} height={bad} />
              </g>
            );
          })}
          <line class="plot-base" x1="0" x2={places * WIDTH} y1={HEIGHT} y2={HEIGHT} />
        </svg>
      )}
      {sweeps.list.length > 0 && (
        <p class="legend">
          <span class="key good" /> refreshed <span class="key bad" /> failed
        </p>
      )}
    </section>
  );
}
