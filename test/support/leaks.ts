import { type Finder, secretFinder } from "./canaries.ts";
import { type Print, readPlanted, readPrints } from "./prints.ts";

/** What prints a secret because it is there for that. */
interface Purpose {
  process: RegExp;
  stream: Print["stream"];
  /** The part that is not looked at. */
  shown: RegExp;
  reason: string;
}

/** As few as can be, and of each as little as can be. */
const ON_PURPOSE: readonly Purpose[] = [
  {
    process: /tokens\.ts (.* )?show .*--reveal/,
    stream: "stdout",
    shown: /[\s\S]+/g,
    reason: "a person asked for the secrets in so many words",
  },
  {
    process: /tokens\.ts (.* )?authorize /,
    stream: "stdout",
    shown: /(?<=\/authorize\?\S*\b(?:state|code_challenge)=)[\w-]{43}/g,
    reason: "a person opens the address, which Webex wants the state and PKCE's challenge in",
  },
  {
    process: /tokens\.ts (.* )?passphrase (.* )?(set|rotate)/,
    stream: "stdout",
    shown: /(?<![\w-])[\w-]{43}(?![\w-])/g,
    reason: "a passphrase that was just made is shown once",
  },
  {
    process: /^(node .*local\/start\.ts|npm start)(?!.*--live)/,
    stream: "stdout",
    shown: /(?<=^ {2}passphrase {2}|^ {2}curl -H "x-token-passphrase: )[\w-]{43}/gm,
    reason: "the sandbox's passphrase, which opens nothing but made-up tokens, and the line to try it with",
  },
  {
    process: /local\/(start|console)\.ts|^npm (start|run console)/,
    stream: "stdout",
    shown: /(?<=http:\/\/127\.0\.0\.1:\d+\/\?key=)[\w-]{43}/g,
    reason: "the key that opens the operator's page once, for the person at the terminal",
  },
  {
    process: /^sh -c curl /,
    stream: "stdout",
    shown: /[\s\S]+/g,
    reason: "the answer that the caller asked for",
  },
];

/** A secret in what was printed; the secret itself stays out. */
export interface Leak {
  file: string;
  /** From 1 on. */
  line: number;
  kinds: string[];
  print: Print;
}

/** Looks through all that a run printed. */
export function leaksIn(folder: string): Leak[] {
  const find = secretFinder(readPlanted(folder));
  return readPrints(folder).flatMap((print) => leaksOf(print, find));
}

function leaksOf(print: Print, find: Finder): Leak[] {
  // The line breaks stay, so that lines keep their numbers.
  const blank = (text: string) => text.replace(/[^\n]+/g, "");
  const purposes = ON_PURPOSE.filter(
    ({ process, stream }) => process.test(print.process) && stream === print.stream,
  );
  const text = purposes.reduce((left, { shown }) => left.replace(shown, blank), print.text);
  return text.split("\n").flatMap((line, index) => {
    const kinds = find(line);
    return kinds.length === 0 ? [] : [{ file: print.file, line: index + 1, kinds, print }];
  });
}

/** One line a leak, for a person to find it by. */
export function describeLeak({ file, line, kinds, print }: Leak): string {
  const find = secretFinder();
  const words = print.process.split(" ").map((word) => (find(word).length === 0 ? word : "…"));
  return `${file}:${line}: ${kinds.join(", ")}: printed by ${words.join(" ")}, started by ${print.test}`;
}
