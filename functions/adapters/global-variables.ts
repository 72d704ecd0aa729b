import type { GlobalVariables, Place } from "../core/variable.ts";
import { PATIENCE, send } from "./webex-http.ts";

/**
 * The global variables of the contact centre. `base` stands in for every region's own address (a sandbox). Nothing is
 * thrown: an answer, or why there is none. `patience`: ms for one request.
 */
export function globalVariables(base: string | undefined, patience = PATIENCE): GlobalVariables {
  const urlOf = (place: Place) => addressOf(place, base);
  return {
    read: (place, accessToken) => send({ method: "GET", url: urlOf(place), accessToken, patience }),
    write: (place, accessToken, variable) =>
      send({ method: "PUT", url: urlOf(place), accessToken, json: variable, patience }),
  };
}

/** Region, organization and id can't lead anywhere else: they were read as such (core/document.ts). */
export const addressOf = (
  { region, orgId, id }: Place,
  base = `https://api.wxcc-${region}.cisco.com`,
): string => `${base}/organization/${orgId}/cad-variable/${id}`;
