import { useEffect, useState } from "preact/hooks";

/** What of the page is in view; kept in the address line after "#". */
export type Route = { view: "overview" } | { view: "add" } | { view: "token"; name: string };

export const OVERVIEW = "#/";
export const ADD = "#/add";
export const tokenAddress = (name: string) => `#/token/${encodeURIComponent(name)}`;

export function useRoute(): Route {
  const [route, setRoute] = useState(() => routeIn(location.hash));
  useEffect(() => {
    const moved = () => setRoute(routeIn(location.hash));
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  return route;
}

function routeIn(hash: string): Route {
  if (hash === ADD) return { view: "add" };
  const [, encoded] = /^#\/token\/(.+)$/.exec(hash) ?? [];
  try {
    if (encoded !== undefined) return { view: "token", name: decodeURIComponent(encoded) };
  } catch {
    // Typed by hand: no token has this name.
  }
  return { view: "overview" };
}
