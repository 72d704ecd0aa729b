import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { snippetsFor } from "../../local/snippets.ts";

test("sh passes the curl snippet of a token with any name to curl unchanged", () => {
  const name = `a'b"c$(touch x)\`d\`!&e`;
  const [curl] = snippetsFor({ lookup: "https://lookup.test", name, passphrase: "$CANARY_PASSPHRASE" });
  const line = curl?.parts[0]?.text ?? "";
  const script = `curl() { printf '%s\\n' "$@"; }; CANARY_PASSPHRASE=made-up; ${line}`;
  const [flag, header, address] = execFileSync("sh", ["-c", script], { encoding: "utf8" }).split("\n");
  expect([flag, header]).toEqual(["-H", "x-token-passphrase: made-up"]);
  expect(new URL(address ?? "").searchParams.get("name")).toBe(name);
});
