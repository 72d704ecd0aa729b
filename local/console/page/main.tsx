import { render } from "preact";
import { Add } from "./add.tsx";
import { LiveContext, useLive, usePolling } from "./live.tsx";
import { Overview } from "./overview.tsx";
import { OVERVIEW, type Route, useRoute } from "./route.tsx";
import { Token } from "./token.tsx";
import { visible } from "./words.ts";

function Page() {
  const live = usePolling();
  const route = useRoute();
  return (
    <LiveContext.Provider value={live}>
      <button type="button" class="skip" onClick={toContent}>
        To the content
      </button>
      <header>
        <a class="brand" href={OVERVIEW}>
          Tokens
        </a>
        <Where />
      </header>
      <p role="alert" class={live.problem === undefined ? "banner none" : "banner"}>
        {live.problem}
      </p>
      <p role="status" class={live.notice === "" ? "result none" : "result good"}>
        {visible(live.notice)}
      </p>
      <main id="main" tabIndex={-1}>
        <View route={route} ready={live.ready} />
      </main>
    </LiveContext.Provider>
  );
}

/** A link would change the route. */
const toContent = () => document.getElementById("main")?.focus();

function Where() {
  const { about } = useLive();
  if (about === undefined) return null;
  return (
    <p class="where">
      {about.sandbox && <span class="tag">sandbox</span>} {about.where}
    </p>
  );
}

function View({ route, ready }: { route: Route; ready: boolean }) {
  if (route.view === "add") return <Add />;
  if (route.view === "token") return <Token key={route.name} name={route.name} />;
  return ready ? <Overview /> : <p class="opening">Opening…</p>;
}

const place = document.getElementById("page");
if (place !== null) {
  place.replaceChildren();
  render(<Page />, place);
}
