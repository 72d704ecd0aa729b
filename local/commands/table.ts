import { styleText } from "node:util";

/** Columns under a head. Plain text, so that other tools can take it apart. */
export async function table(head: string[], rows: string[][]): Promise<string> {
  const bold = head.map((title) => styleText("bold", title, { stream: process.stdout }));
  return columns([bold, ...rows]);
}

/** Rows of columns, without lines. */
export async function columns(rows: string[][]): Promise<string> {
  const { default: Table } = await import("cli-table3");
  const grid = new Table({
    chars: NO_LINES,
    style: { "padding-left": 0, "padding-right": 0, head: [], border: [] },
  });
  grid.push(...rows);
  return grid
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n");
}

const NO_LINES = {
  ...Object.fromEntries(
    ["top", "bottom", "mid"].flatMap((side) =>
      [side, `${side}-mid`, `${side}-left`, `${side}-right`].map((part) => [part, ""]),
    ),
  ),
  left: "",
  "left-mid": "",
  "mid-mid": "",
  right: "",
  "right-mid": "",
  middle: "  ",
};
