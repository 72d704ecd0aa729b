import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { edgeOf, fill, REQUESTS } from "../../local/connect.ts";
import { withSections } from "../../local/docs/sections.ts";
import { DOCUMENTS } from "../../local/docs.ts";
import { snippetsFor } from "../../local/snippets.ts";

const ROOT = path.resolve(import.meta.dirname, "../..");

test.for(DOCUMENTS.map((document) => [document.file, document] as const))(
  "%s is as `npm run docs` writes it",
  ([, { file, content }]) => {
    expect(content()).toBe(readFileSync(path.join(ROOT, file), "utf8"));
  },
);

describe("a section of a page", () => {
  const PAGE = "before\n<!-- begin a -->\nold\n<!-- end a -->\nafter\n";

  test("is replaced between its marks, and nothing else is", () => {
    expect(withSections(PAGE, { a: "new" })).toBe(PAGE.replace("old", "new"));
  });

  test.for(["", "<!-- begin a -->\n", "<!-- end a -->\n<!-- begin a -->\n"])("must be there: %j", (page) =>
    expect(() => withSections(page, { a: "new" })).toThrow(/no section "a"/),
  );
});

describe("the settings of Webex Connect", () => {
  test.for(REQUESTS)("of $title use places that the file explains", ({ id: _, ...request }) => {
    const filled = fill(JSON.stringify(request), { lookup: "L", name: "N", passphrase: "P", rejected: "R" });
    expect(filled).not.toMatch(/\{\w+\}/);
  });

  test.for(REQUESTS)("of $title have one edge for every answer", (request) => {
    for (const status of [200, 204, 400, 500]) {
      const outputs = { tokenStatus: String(status), status: String(status) };
      expect(edgeOf(request, status, outputs)).toBe(request.edges[status === 200 ? 0 : 1]?.edge);
    }
    expect(edgeOf(request, 0, {}), "nobody answered").toBe(request.edges[1]?.edge);
  });

  test("that cannot be told apart are an error, not a guess", () => {
    const [request] = REQUESTS;
    if (request === undefined) throw new Error("there is none");
    expect(() => edgeOf({ ...request, edges: [] }, 200, {})).toThrow(/0 edges/);
  });

  test("are the same on the operator's page", () => {
    const caller = { lookup: "https://lookup.example", name: "sales", passphrase: "$TOKEN_PASSPHRASE" };
    const textOf = (id: string) =>
      snippetsFor(caller)
        .find((snippet) => snippet.id === id)
        ?.parts.map(({ text }) => text)
        .join("\n");
    expect(textOf("connect-http")).toContain("https://lookup.example/?name=sales\nMethod: GET\n");
    expect(textOf("connect-http")).toContain("Header: x-token-passphrase = $(passphrase)");
    expect(textOf("connect-http")).toContain("Branch Token: tokenStatus equals 200");
    expect(textOf("connect-node")).toContain("URL parameter: wait = 1 (Static)");
    expect(textOf("connect-node")).toContain('Header: x-token-rejected = field "rejected" (Dynamic)');
  });
});
