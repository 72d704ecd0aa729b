import settings from "../docs/connect.json" with { type: "json" };

/** What is entered in Webex Connect, from the one file that says so: `docs/connect.json`. Pure: it runs in browsers, too. */

/** One request for a token, field by field; `{lookup}`, `{name}`, `{passphrase}`, `{rejected}` stand for values. */
export interface ConnectRequest {
  id: string;
  title: string;
  /** What the form calls its fields. */
  labels: Readonly<Record<"url" | "method" | "header" | "parameter" | "output", string>>;
  method: string;
  url: string;
  headers: readonly Input[];
  parameters: readonly Input[];
  /** ms. */
  connectionTimeout: number;
  requestTimeout: number;
  outputs: readonly Output[];
  edges: readonly Edge[];
}

interface Input {
  name: string;
  value: string;
  /** Custom nodes only: Static is kept in the integration, Dynamic comes from the flow as the field of this name. */
  type?: string;
  field?: string;
}

interface Output {
  name: string;
  /** Of the body. */
  path: string;
}

/** Taken where the comparison holds; of one request always one does. */
export interface Edge {
  edge: string;
  /** "HTTP Status", or one of the outputs. */
  compare: string;
  how: string;
  value: string;
}

/** An answer of lookup, and what a flow does then. */
interface Answer {
  status: number;
  when: string;
  then: string;
}

type Id = "http-request" | "custom-node" | "ccep";

export const ANSWERS: readonly Answer[] = settings.answers;
export const REQUESTS: readonly ConnectRequest[] = settings.requests;

export function connectRequest(id: Id): ConnectRequest {
  const request = REQUESTS.find((one) => one.id === id);
  if (request === undefined) throw new Error(`docs/connect.json has no "${id}"`);
  return request;
}

/** Puts values in the places of a text; a place without a value stays as it is. */
export const fill = (text: string, values: Partial<Record<string, string>>): string =>
  text.replace(/\{(\w+)\}/g, (place, name: string) => values[name] ?? place);

/** What to enter where, in the order of the form. Values of places are shown as `values` has them. */
export function fieldsOf(
  request: ConnectRequest,
  values: Partial<Record<string, string>>,
): [field: string, value: string][] {
  const shown = ({ name, value, type, field }: Input) =>
    type === "Dynamic"
      ? `${name} = field "${field}" (Dynamic)`
      : `${name} = ${fill(value, values)}${type === undefined ? "" : ` (${type})`}`;
  const { labels } = request;
  return [
    [labels.method, request.method],
    ...request.headers.map((header): [string, string] => [labels.header, shown(header)]),
    ...request.parameters.map((parameter): [string, string] => [labels.parameter, shown(parameter)]),
    ["Connection timeout", `${request.connectionTimeout} ms`],
    ["Request timeout", `${request.requestTimeout} ms`],
    ...request.outputs.map((output): [string, string] => [
      labels.output,
      `${output.name} = Body, ${output.path}`,
    ]),
    ...request.edges.map(({ edge, compare, how, value }): [string, string] => [
      compare === "HTTP Status" ? `Node event ${edge}` : `Branch ${edge}`,
      `${compare} ${how} ${value}`,
    ]),
  ];
}

/** The edge on which an answer of this HTTP status and with these outputs leaves. */
export function edgeOf(
  { edges, id }: ConnectRequest,
  status: number,
  outputs: Partial<Record<string, unknown>>,
): string {
  const taken = edges.filter(({ compare, how, value }) => {
    const compared = compare === "HTTP Status" ? status : outputs[compare];
    return (String(compared) === value) === (how === "equals");
  });
  const [edge] = taken;
  if (edge === undefined || taken.length > 1)
    throw new Error(`"${id}" has ${taken.length} edges for ${status}`);
  return edge.edge;
}
