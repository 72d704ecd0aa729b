import { connectRequest, fieldsOf, fill } from "./connect.ts";

/** Ready pieces for each caller of lookup, for the page and the documentation alike. Pure: it runs in browsers, too. */

/** Where a token is had, and by what. */
export interface Caller {
  /** Base address of lookup. */
  lookup: string;
  /** The token's name. */
  name: string;
  /** How a POSIX shell gets the passphrase, such as `$TOKEN_PASSPHRASE`; never the passphrase itself. */
  passphrase: string;
}

export interface Snippet {
  id: "curl" | "flow-designer" | "connect-http" | "connect-node" | "jds";
  title: string;
  about: string;
  parts: readonly SnippetPart[];
}

/** A piece to be pasted as it is. */
export interface SnippetPart {
  label: string;
  text: string;
}

const HEADER = "x-token-passphrase";

export function snippetsFor(caller: Caller): Snippet[] {
  return [curl(caller), flowDesigner(caller), connectHttp(caller), connectNode(caller), journeyData(caller)];
}

/** The address of a token; nothing in it means anything to a shell within single quotes. */
export function addressOf({ lookup, name }: Pick<Caller, "lookup" | "name">): string {
  const encoded = encodeURIComponent(name).replace(
    /[!'()*]/g,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `${lookup}/?name=${encoded}`;
}

function curl(caller: Caller): Snippet {
  return {
    id: "curl",
    title: "curl",
    about: "To see that it works, and for scripts.",
    parts: [
      {
        label: "Command",
        text: `curl -H "${HEADER}: ${caller.passphrase}" '${addressOf(caller)}'`,
      },
    ],
  };
}

function flowDesigner(caller: Caller): Snippet {
  return {
    id: "flow-designer",
    title: "Flow Designer",
    about:
      "An HTTP Request node. Keep the passphrase in a secure flow variable, or in a connector with Basic authorization, which hides it from the flow altogether.",
    parts: [
      { label: "Request URL", text: addressOf(caller) },
      {
        label: "Settings",
        text: lines([
          ["Use authenticated endpoint", "off"],
          ["Method", "GET"],
          ["HTTP request header", `${HEADER} = {{passphrase}}`],
          ["Content type", "Application/JSON"],
          ["Response timeout", "2000 ms, 1 retry (the defaults)"],
          ["Parse settings: content type", "JSON"],
          ["Output variable", "webexToken"],
          ["Path expression", "$.token"],
        ]),
      },
      { label: "Header of the API call after it", text: "Authorization: Bearer {{webexToken}}" },
    ],
  };
}

function connectHttp(caller: Caller): Snippet {
  const request = connectRequest("http-request");
  const values = { passphrase: "$(passphrase)", rejected: "$(rejected)" };
  return {
    id: "connect-http",
    title: "Webex Connect: HTTP Request",
    about:
      "A node of a Connect flow, with the passphrase in a custom variable; rejected stays empty but after an API's 401. Answers of 4xx and 5xx leave it by onSuccess, too: let a Branch node after it have the edges.",
    parts: [
      { label: request.labels.url, text: addressOf(caller) },
      { label: "Settings", text: lines(fieldsOf(request, values)) },
    ],
  };
}

function connectNode(caller: Caller): Snippet {
  const request = connectRequest("custom-node");
  return {
    id: "connect-node",
    title: "Webex Connect: custom node",
    about: `Assets > Integrations > Add Integration > Custom Node, REST, from blank. One method serves every flow, and only it holds the passphrase; a flow gives the name (${caller.name}). Save, test, then switch the integration on.`,
    parts: [
      { label: request.labels.url, text: fill(request.url, { lookup: caller.lookup }) },
      { label: "Settings", text: lines(fieldsOf(request, { passphrase: "the passphrase" })) },
    ],
  };
}

function journeyData(caller: Caller): Snippet {
  const address = addressOf(caller);
  return {
    id: "jds",
    title: "JDS",
    about:
      "The Journey Data Service takes the token as a bearer; it needs the cjds scopes (cjds:admin_org_read, and cjds:admin_org_write to write). Put the address of the JDS request in place of $JDS_URL. Where JDS answers 401, ask once more with the refused token in x-token-rejected.",
    parts: [
      {
        label: "Shell",
        text: [
          `token=$(curl -sf -H "${HEADER}: ${caller.passphrase}" '${address}' | sed -n 's/.*"token":"\\([^"]*\\)".*/\\1/p')`,
          `curl -H "authorization: Bearer $token" "$JDS_URL"`,
        ].join("\n"),
      },
    ],
  };
}

const lines = (settings: readonly (readonly [field: string, value: string])[]) =>
  settings.map(([field, value]) => `${field}: ${value}`).join("\n");
