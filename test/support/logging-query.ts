/**
 * As much of Google's query languages for logs and for time series as is used here: comparisons of a field with a value or
 * with a list of them, AND, OR, NOT, parentheses, `log_id`. It is strict: whatever it does not know is an error, so that no
 * filter passes that nobody understood.
 * (https://cloud.google.com/logging/docs/view/logging-query-language, https://cloud.google.com/monitoring/api/v3/filters)
 */

/** A log entry, or what names a time series. */
export type Entry = Readonly<Record<string, unknown>>;

/** True where the entry is one of those that the query wants. Throws where the query is not one. */
export const matches = (query: string, entry: Entry): boolean => parse(query)(entry);

/** What an extractor of a label or a value finds in an entry; `undefined`: nothing. Throws where it is not one. */
export function extract(extractor: string, entry: Entry): unknown {
  const [, whole] = /^EXTRACT\((.+)\)$/.exec(extractor) ?? [];
  if (whole !== undefined) return valueAt(pathOf(whole), entry);
  const [, field, pattern] = /^REGEXP_EXTRACT\((.+?), ?"((?:[^"\\]|\\.)*)"\)$/.exec(extractor) ?? [];
  if (field === undefined || pattern === undefined) throw new Error(`no extractor: ${extractor}`);
  const value = valueAt(pathOf(field), entry);
  return value === undefined ? undefined : new RegExp(unescaped(pattern)).exec(String(value))?.[1];
}

type Test = (entry: Entry) => boolean;

interface Token {
  kind: "word" | "text" | "mark";
  text: string;
}

const TOKENS =
  /\s*(?:(?<mark><=|>=|!=|=~|!~|[=<>:()])|"(?<text>(?:[^"\\]|\\.)*)"|(?<word>[\w$@/-]+(?:\.(?:[\w$@/-]+|"[^"]*"))*))/y;

function tokensOf(query: string): Token[] {
  const tokens: Token[] = [];
  const text = query.trimEnd();
  TOKENS.lastIndex = 0;
  for (let at = 0; at < text.length; at = TOKENS.lastIndex) {
    TOKENS.lastIndex = at;
    const found = TOKENS.exec(text)?.groups;
    if (found === undefined) throw new Error(`what is this: ${text.slice(at, at + 30)}`);
    const kind = (["mark", "text", "word"] as const).find((each) => found[each] !== undefined) ?? "mark";
    tokens.push({ kind, text: kind === "text" ? unescaped(found.text ?? "") : (found[kind] ?? "") });
  }
  return tokens;
}

/** A backslash stands for itself where it does not escape a quote or another one: patterns have many. */
const unescaped = (text: string) => text.replace(/\\(["\\])/g, "$1");

const COMPARISONS = ["=", "!=", "<", "<=", ">", ">=", ":", "=~", "!~"] as const;
type Comparison = (typeof COMPARISONS)[number];

function parse(query: string): Test {
  const tokens = tokensOf(query);
  let at = 0;
  const peek = (text: string) => tokens[at]?.kind !== "text" && tokens[at]?.text === text;
  const next = (what: string): Token => {
    const token = tokens[at++];
    if (token === undefined) throw new Error(`${what} is missing at the end of: ${query}`);
    return token;
  };
  const expect = (mark: string) => {
    const token = next(`"${mark}"`);
    if (token.kind !== "mark" || token.text !== mark) throw new Error(`"${mark}" expected: ${token.text}`);
  };

  // NOT binds closest, then OR, then AND, which may be left out.
  const every = (): Test => {
    const parts = [some()];
    while (at < tokens.length && !peek(")")) {
      if (peek("AND")) at++;
      parts.push(some());
    }
    return (entry) => parts.every((part) => part(entry));
  };
  const some = (): Test => {
    const parts = [one()];
    for (; peek("OR"); parts.push(one())) at++;
    return (entry) => parts.some((part) => part(entry));
  };
  const one = (): Test => {
    if (peek("NOT")) {
      at++;
      const denied = one();
      return (entry) => !denied(entry);
    }
    if (!peek("(")) return comparison();
    at++;
    const inner = every();
    expect(")");
    return inner;
  };
  const comparison = (): Test => {
    const field = next("a field");
    if (field.kind !== "word" || /^(AND|OR|NOT)$/.test(field.text))
      throw new Error(`no field: ${field.text}`);
    if (field.text === "log_id" && peek("(")) return logId();
    const sign = next("a comparison");
    const operator = COMPARISONS.find((each) => sign.kind === "mark" && each === sign.text);
    if (operator === undefined) throw new Error(`no comparison: ${sign.text}`);
    const path = pathOf(field.text);
    const parts = values(operator).map((value) => comparing(path, operator, value));
    return (entry) => parts.some((part) => part(entry));
  };
  const values = (operator: Comparison): Token[] => {
    if (!peek("(")) return [value()];
    if (operator !== "=" && operator !== ":") throw new Error(`no list can follow ${operator}`);
    at++;
    const list = [value()];
    for (; peek("OR"); list.push(value())) at++;
    expect(")");
    return list;
  };
  const value = (): Token => {
    const token = next("a value");
    if (token.kind === "mark") throw new Error(`no value: ${token.text}`);
    return token;
  };
  const logId = (): Test => {
    expect("(");
    const id = value();
    expect(")");
    return ({ logName }) => decodeURIComponent(String(logName).split("/logs/")[1] ?? "") === id.text;
  };

  if (tokens.length === 0) throw new Error("an empty query wants everything");
  const test = every();
  if (at < tokens.length) throw new Error(`unexpected: ${tokens[at]?.text}`);
  return test;
}

/** `resource.label."a"` and `resource.labels.a` are the same field. */
function pathOf(text: string): string[] {
  const parts = [...text.matchAll(/"([^"]*)"|([^."]+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? "");
  if (parts.join("") !== text.replace(/[."]/g, "")) throw new Error(`no field: ${text}`);
  return parts.map((part, index) => (index === 1 && part === "label" ? "labels" : part));
}

const FIELDS =
  /^(resource|metric|labels|jsonPayload|httpRequest|severity|logName|textPayload|timestamp|insertId)$/;

function valueAt(path: readonly string[], entry: Entry): unknown {
  if (!FIELDS.test(path[0] ?? "")) throw new Error(`an entry has no field ${path[0]}`);
  let value: unknown = entry;
  for (const part of path) {
    if (typeof value !== "object" || value === null) return undefined;
    value = (value as Entry)[part];
  }
  return value;
}

const SEVERITIES = [
  "DEFAULT",
  "DEBUG",
  "INFO",
  "NOTICE",
  "WARNING",
  "ERROR",
  "CRITICAL",
  "ALERT",
  "EMERGENCY",
];

function comparing(path: string[], operator: Comparison, wanted: Token): Test {
  if (operator === "=~" || operator === "!~") {
    if (wanted.kind !== "text") throw new Error(`a pattern must be quoted: ${wanted.text}`);
    const pattern = new RegExp(wanted.text);
    return (entry) => {
      const value = valueAt(path, entry);
      return value !== undefined && pattern.test(String(value)) === (operator === "=~");
    };
  }
  return (entry) => {
    const value = valueAt(path, entry);
    // A comparison with a field that is not there is never true.
    return value !== undefined && value !== null && holds(path, value, operator, wanted.text);
  };
}

function holds(path: string[], value: unknown, operator: Comparison, wanted: string): boolean {
  const order =
    path.length === 1 && path[0] === "severity" ? bySeverity(value, wanted) : compare(value, wanted);
  switch (operator) {
    case ":":
      return String(value).toLowerCase().includes(wanted.toLowerCase());
    case "=":
      return order === 0;
    case "!=":
      return order !== 0;
    case "<":
      return order < 0;
    case "<=":
      return order <= 0;
    case ">":
      return order > 0;
    case ">=":
      return order >= 0;
    default:
      throw new Error(`no comparison: ${operator}`);
  }
}

function bySeverity(value: unknown, wanted: string): number {
  const [is, than] = [String(value), wanted].map((word) => SEVERITIES.indexOf(word));
  if (is === undefined || than === undefined || is < 0 || than < 0)
    throw new Error(`no severity: ${value}, ${wanted}`);
  return is - than;
}

/** Numbers as numbers, all else as text, whatever the case of its letters. */
function compare(value: unknown, wanted: string): number {
  if (typeof value === "number") return value - Number(wanted);
  const [is, than] = [String(value).toLowerCase(), wanted.toLowerCase()];
  return is === than ? 0 : is < than ? -1 : 1;
}
