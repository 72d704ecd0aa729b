import { LOOKUP_PATHS } from "./openapi-lookup.ts";

/** A collection for Postman (format 2.1), with the parameters of the OpenAPI description, and its environment. */

interface Pair {
  key: string;
  value: string;
  description?: string;
}

interface Item {
  name: string;
  about: string;
  path?: string;
  /** Values of parameters that the description has; one without a value takes its example. */
  with?: Readonly<Record<string, string | undefined>>;
  auth?: "header" | "basic" | "none";
}

const PASSPHRASE: Pair = { key: "x-token-passphrase", value: "{{passphrase}}" };
const BASIC = {
  type: "basic",
  basic: [
    { key: "username", value: "postman", type: "string" },
    { key: "password", value: "{{passphrase}}", type: "string" },
  ],
};

const parameters = LOOKUP_PATHS["/"].get.parameters;

function item({ name, about, path = "", with: chosen = {}, auth = "header" }: Item) {
  const pairs = parameters.filter((parameter) => parameter.name in chosen);
  const pairsIn = (where: string): Pair[] =>
    pairs
      .filter((parameter) => parameter.in === where)
      .map(({ name: key, description, example }) => ({
        key,
        value: chosen[key] ?? String(example),
        description,
      }));
  const query = pairsIn("query");
  const search = query.map(({ key, value }) => `${key}=${value}`).join("&");
  return {
    name,
    request: {
      method: "GET",
      description: about,
      auth: auth === "basic" ? BASIC : { type: "noauth" },
      header: [...(auth === "header" ? [PASSPHRASE] : []), ...pairsIn("header")],
      url: {
        raw: `{{baseUrl}}/${path}${search === "" ? "" : `?${search}`}`,
        host: ["{{baseUrl}}"],
        path: [path],
        query,
      },
    },
  };
}

const name = "{{name}}";

export const collection = {
  info: {
    name: "Webex token service",
    description:
      "Lookup's answers to flows. Import the environment, too: it holds the passphrase and the rejected token as secrets.",
    schema: "https://schema.getpostman.com/json/collection/v2.1.0/collection.json",
  },
  variable: [
    { key: "baseUrl", value: "http://127.0.0.1:8080", type: "string" },
    { key: "name", value: "example", type: "string" },
  ],
  item: [
    item({ name: "Token", about: "A token that works.", with: { name } }),
    item({
      name: "Token by Basic credentials",
      about: "As connectors ask.",
      auth: "basic",
      with: { name },
    }),
    item({
      name: "Token with ten minutes of life",
      about: "For long work.",
      with: { name, minTtl: undefined },
    }),
    item({
      name: "Token after an API's 401",
      about: "Put the refused token into the variable rejected.",
      with: { name, "x-token-rejected": "{{rejected}}" },
    }),
    item({
      name: "Token, waited for no longer than 1 s",
      about: "For callers who give up after 2 s.",
      with: { name, wait: "1" },
    }),
    item({
      name: "Token with details",
      about: "With life, organization, cluster and scope.",
      with: { name, details: undefined },
    }),
    item({ name: "Health", about: "Needs no passphrase.", path: "health", auth: "none" }),
  ],
};

const secret = (key: string) => ({ key, value: "", type: "secret", enabled: true });

export const environment = {
  name: "Webex token service",
  values: [secret("passphrase"), secret("rejected")],
  _postman_variable_scope: "environment",
};
