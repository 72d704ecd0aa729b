/**
 * How the check at the end of a run knows a secret where it sees one. Most say it themselves: what a test makes up holds
 * the word "canary", and what the sandbox and the code make has a shape of its own. The others are planted by value.
 */

interface Sign {
  pattern: RegExp;
  kind: string;
}

const UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";

const SHAPES: readonly Sign[] = [
  { pattern: new RegExp(`[A-Za-z0-9+/]{16,}={0,2}_[A-Z0-9]{2,8}_${UUID}`), kind: "a Webex token" },
  {
    // 32 random bytes in base64url: they have letters of both cases and digits, as no name has.
    pattern: /(?<![\w-])(?=[\w-]*[a-z])(?=[\w-]*[A-Z])(?=[\w-]*\d)[\w-]{43}(?![\w-])/,
    kind: "a random secret (state, verifier, passphrase, lease or key)",
  },
  // 64 times the same letter is nobody's hash.
  {
    pattern: /(?<!\w)(?!(.)\1{63})[0-9a-f]{64}(?!\w)/,
    kind: "an authorization code, or the hash of a secret",
  },
  {
    pattern: /(?<![\w-])eyJ[\w-]{8,}\.[\w-]*\.[\w-]{4,}/,
    kind: "an identity token or a sealed value",
  },
  { pattern: /-----BEGIN [A-Z ]*PRIVATE KEY/, kind: "a private key" },
];

/** What the sandbox makes its tokens of, in base64: so their beginning alone is known too. */
const TOKEN_HEAD = /^[0-9a-f]{8}-[0-9a-f]{3}/;

const NOUNS =
  /passphrase|client-secret|refresh|access|token|state|verifier|code|cookie|header|body|secret|key/i;

/** Planted secrets by their value, each with what it is. */
export type Planted = ReadonlyMap<string, string>;

/** Shorter ones and plain words would be found where they are none. */
const LEAST = 8;
export const canBePlanted = (value: string) => value.length >= LEAST && !/^[a-z]+$/i.test(value);

/** Which kinds of secrets a text holds: as they are, or in base64, base64url, URL-encoded or in JSON. */
export type Finder = (text: string) => string[];

export function secretFinder(planted: Planted = new Map()): Finder {
  const heads = Map.groupBy(planted.keys(), (value) => value.slice(0, LEAST));
  const signsIn = (text: string) => [...shapesIn(text), ...plantedIn(text, heads, planted)];
  const signsOfDecoded = (text: string) =>
    TOKEN_HEAD.test(text) ? [...signsIn(text), "the beginning of a Webex token"] : signsIn(text);
  return (text) => {
    const forms = formsOf(text);
    const words = new Set(forms.flatMap((form) => form.match(/[A-Za-z0-9+/_-]{8,}/g) ?? []));
    return [
      ...new Set([...forms.flatMap(signsIn), ...[...words].flatMap(decodings).flatMap(signsOfDecoded)]),
    ];
  };
}

function shapesIn(text: string): string[] {
  const marked = [...text.matchAll(/canary[\w-]*/gi)].map(
    ([word]) => `a planted ${NOUNS.exec(word)?.[0].toLowerCase() ?? "value"}`,
  );
  return [...marked, ...SHAPES.filter(({ pattern }) => pattern.test(text)).map(({ kind }) => kind)];
}

function plantedIn(text: string, heads: ReadonlyMap<string, string[]>, planted: Planted): string[] {
  const found: string[] = [];
  for (let at = 0; heads.size > 0 && at + LEAST <= text.length; at++)
    for (const value of heads.get(text.slice(at, at + LEAST)) ?? [])
      if (text.startsWith(value, at)) found.push(`a planted ${planted.get(value)}`);
  return found;
}

/** The text, and what it is a JSON text, a URL or a form of; JSON within JSON too. */
function formsOf(text: string): string[] {
  const forms = new Set([text]);
  // A set is walked to its end, additions included; each has fewer signs to decode than what it was made of.
  for (const form of forms)
    forms.add(unescaped(form)).add(percentDecoded(form)).add(form.replaceAll("+", " "));
  return [...forms];
}

const unescaped = (text: string) =>
  text.replace(/\\(?:u([0-9a-f]{4})|(["\\/bfnrt]))/gi, (_, code: string | undefined, mark: string) => {
    if (code !== undefined) return String.fromCharCode(Number.parseInt(code, 16));
    return /["\\/]/.test(mark) ? mark : " ";
  });

const percentDecoded = (text: string) =>
  text.replace(/(?:%[0-9a-f]{2})+/gi, (bytes) => Buffer.from(bytes.replaceAll("%", ""), "hex").toString());

/** What a word means if it is base64 or base64url; something may stand before it that only looks like a part of it. */
const decodings = (word: string) =>
  [0, 1, 2, 3].map((skipped) => Buffer.from(word.slice(skipped), "base64").toString());
