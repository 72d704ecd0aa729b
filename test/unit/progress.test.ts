import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { counted, showCount } from "../../local/commands/progress.ts";

/** What a person sees of long reading. */

beforeEach(() => void vi.useFakeTimers({ toFake: ["Date"] }));
afterEach(() => void vi.useRealTimers());

function stream(isTTY: boolean) {
  let text = "";
  const write = (more: string) => {
    text += more;
    return true;
  };
  return { stream: { isTTY, write } as unknown as NodeJS.WriteStream, text: () => text };
}

test("on a terminal work that takes long shows how far it is, and leaves nothing behind", () => {
  const { stream: terminal, text } = stream(true);
  const count = showCount("tokens read", terminal);
  count.reached(500);
  expect(text()).toBe("");
  vi.advanceTimersByTime(1000);
  count.reached(1000);
  expect(text()).toContain("1000 tokens read");
  count.around(() => void terminal.write("a line\n"));
  expect(text()).toMatch(/\[Ka line\n.*1000 tokens read …$/s);
  count.stop();
  expect(text().endsWith("\r\x1b[K")).toBe(true);
});

test("elsewhere it writes nothing", () => {
  const { stream: pipe, text } = stream(false);
  const count = showCount("tokens read", pipe);
  vi.advanceTimersByTime(1000);
  count.reached(1000);
  count.stop();
  expect(text()).toBe("");
});

test("Ctrl-C ends the reading between two pages", async () => {
  const ending = new AbortController();
  const seen: number[] = [];
  async function* pages() {
    for (let page = 1; ; page++) yield [page];
  }
  const read = async () => {
    for await (const [page = 0] of counted(pages(), "tokens read", ending.signal)) {
      seen.push(page);
      if (page === 2) ending.abort();
    }
  };
  await expect(read()).rejects.toMatchObject({ message: "cancelled", exitCode: 130 });
  expect(seen).toEqual([1, 2]);
});
