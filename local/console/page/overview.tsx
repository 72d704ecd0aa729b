import { useMemo, useState } from "preact/hooks";
import { STATES, type State } from "../../../functions/core/state.ts";
import { useLive, useNow } from "./live.tsx";
import { byUrgency, matching, totalsOf } from "./order.ts";
import { Title } from "./parts.tsx";
import { ADD } from "./route.tsx";
import { SandboxPanel } from "./sandbox.tsx";
import { Sweeps } from "./sweeps.tsx";
import { TokenTable } from "./table.tsx";
import { MOODS, STATE_WORDS } from "./words.ts";

/** All tokens, the most urgent first. */
export function Overview() {
  const { rows, ready, about } = useLive();
  const now = useNow();
  if (ready && rows.length === 0) return <Empty now={now} />;
  return (
    <>
      <div class="head">
        <Title title="Overview">{rows.length === 1 ? "1 token" : `${rows.length} tokens`}</Title>
        <a class="button main" href={ADD}>
          Add a token
        </a>
      </div>
      <Tokens now={now} />
      <div class="cards">
        <Sweeps now={now} />
        {about?.sandbox && <SandboxPanel />}
      </div>
    </>
  );
}

function Tokens({ now }: { now: number }) {
  const { rows, ready } = useLive();
  const [search, setSearch] = useState("");
  const [state, setState] = useState<State>();
  const totals = useMemo(() => totalsOf(rows), [rows]);
  const found = useMemo(() => matching(rows, search), [rows, search]);
  // Once a minute is often enough for what the passing of time alone changes.
  const minute = Math.floor(now / 60_000);
  const sorted = useMemo(
    () =>
      byUrgency(
        found.filter((row) => state === undefined || row.state === state),
        minute * 60_000,
      ),
    [found, state, minute],
  );
  return (
    <section aria-label="Tokens">
      <div class="tools">
        <search>
          <label class="unseen" htmlFor="search">
            Search by name, state, organization or failure
          </label>
          <input
            id="search"
            type="search"
            placeholder="Name, state, organization, failure"
            value={search}
            autocomplete="off"
            spellcheck={false}
            onInput={(event) => setSearch(event.currentTarget.value)}
          />
        </search>
        {/* biome-ignore lint/a11y/useSemanticElements: a fieldset is for a form */}
        <div class="totals" role="group" aria-label="Show one state alone">
          {STATES.filter((one) => totals.has(one)).map((one) => (
            <button
              key={one}
              type="button"
              class={`total ${MOODS[one]}`}
              aria-pressed={state === one}
              onClick={() => setState(state === one ? undefined : one)}
            >
              <b>{totals.get(one)}</b> {STATE_WORDS[one]}
            </button>
          ))}
        </div>
      </div>
      <p role="status" class="unseen">
        {ready && (search !== "" || state !== undefined) ? `${sorted.length} tokens found` : ""}
      </p>
      {ready && sorted.length === 0 ? (
        <p class="nothing">No token is like that.</p>
      ) : (
        <TokenTable rows={sorted} now={now} />
      )}
      <p class="legend">
        <span class="key bar-key" /> life left <span class="key threshold-key" /> threshold, below which a
        reader asks for a refresh <span class="key next-key" /> next refresh
      </p>
    </section>
  );
}

/** What to do first. */
function Empty({ now }: { now: number }) {
  const { about } = useLive();
  return (
    <>
      <Title title="Begin">No tokens yet</Title>
      <section class="card first" aria-label="What to do first">
        <p>
          A token is kept alive here for the flows that ask for it by name. Setting one up takes about five
          minutes, once:
        </p>
        <ol>
          <li>create an integration or a Service App at Webex,</li>
          <li>give its client id and secret here,</li>
          <li>authorize it,</li>
          <li>paste a ready snippet into your flow.</li>
        </ol>
        <p>
          <a class="button main" href={ADD}>
            Set up the first token
          </a>
        </p>
        {about?.sandbox && (
          <p class="hint">The sandbox stands in for Webex: nothing here is real, try all of it.</p>
        )}
      </section>
      <div class="cards">
        <Sweeps now={now} />
      </div>
    </>
  );
}
