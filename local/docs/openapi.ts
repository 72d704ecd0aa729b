import { LOOKUP_PATHS, LOOKUP_SCHEMAS } from "./openapi-lookup.ts";
import { closed, constant, HEADERS, type Schema, text } from "./openapi-parts.ts";
import { REFRESHER_PATHS, REFRESHER_SCHEMAS } from "./openapi-refresher.ts";
import { SETUP_PATHS, SETUP_SCHEMAS } from "./openapi-setup.ts";

const ABOUT = [
  "Three functions, each at an address of its own; the tag of an operation says whose it is.",
  "Lookup takes any path that is not named here for `/`, and the others answer 404.",
  "Before the functions stands the platform with answers of its own: Cloud Run's 403 where the caller may not invoke the refresher, its 429 where no instance is free.",
].join(" ");

const server = (name: string, local: string) => [
  { url: `{${name}}`, variables: { [name]: { default: local, description: `The address of ${name}.` } } },
];
const SERVERS: Record<string, Schema[]> = {
  lookup: server("lookup", "http://127.0.0.1:8080"),
  setup: server("setup", "http://127.0.0.1:8080"),
  refresher: server("refresher", "http://127.0.0.1:8092"),
};

/** One description of all that the three functions take and answer over HTTP (OpenAPI 3.1). */
export const openapi = {
  openapi: "3.1.1",
  info: {
    title: "Webex token service",
    version: "1",
    summary: "A Webex access token that works, from one URL",
    description: ABOUT,
    license: { name: "MIT", identifier: "MIT" },
  },
  tags: [
    { name: "lookup", description: "Public: whoever has a passphrase." },
    { name: "setup", description: "Public: a browser, once a token." },
    { name: "refresher", description: "Private: the Scheduler and lookup. Never answers with a token." },
  ],
  paths: withServers(merge(LOOKUP_PATHS, SETUP_PATHS, REFRESHER_PATHS)),
  components: {
    securitySchemes: {
      passphrase: { type: "apiKey", in: "header", name: "x-token-passphrase" },
      basic: { type: "http", scheme: "basic", description: "The passphrase as password; any user name." },
      identity: { type: "http", scheme: "bearer", description: "Google's identity token, for Cloud Run." },
    },
    headers: HEADERS,
    schemas: {
      Problem: closed({
        status: { type: "string", pattern: "^[45][0-9]{2}$" },
        message: text("What is wrong, and what to do."),
        reference: text("What to quote: it is in the log, too."),
      }),
      SampleProblem: closed({ status: constant("500"), message: text("In the words of Cisco's sample.") }),
      ...LOOKUP_SCHEMAS,
      ...SETUP_SCHEMAS,
      ...REFRESHER_SCHEMAS,
    },
  },
};

type Operation = Schema & { tags: string[] };
type Paths = Record<string, Record<string, Operation>>;

/** Lookup and refresher share a path; no two of them share a path and a method. */
function merge(...all: Paths[]): Paths {
  const merged: Paths = {};
  for (const [path, operations] of all.flatMap((paths) => Object.entries(paths)))
    merged[path] = { ...merged[path], ...operations };
  return merged;
}

function withServers(paths: Paths): Paths {
  const served = ([method, operation]: [string, Operation]) => {
    const [tag = ""] = operation.tags;
    return [method, { ...operation, servers: SERVERS[tag] }];
  };
  const pathsServed = Object.entries(paths).map(([path, operations]) => [
    path,
    Object.fromEntries(Object.entries(operations).map(served)),
  ]);
  return Object.fromEntries(pathsServed);
}
