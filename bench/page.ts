import { execFileSync } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { cpus, release, totalmem } from "node:os";
import path from "node:path";
import type { Goal, Report, Table } from "./context.ts";

const DOCS = path.resolve(import.meta.dirname, "../docs");
const BEGIN = "<!-- what follows is written by `npm run bench` -->";
const END = "<!-- end of what `npm run bench` writes -->";

export interface Measured {
  title: string;
  report: Report;
}

export const GOALS_HEAD = ["", "goal", "measured", ""];
export const goalRow = ({ what, goal, measured, met }: Goal) => [
  what,
  goal,
  measured,
  met ? "met" : "NOT MET",
];

/** Rewrites the measured part of docs/performance.md, and its plots; what a person wrote around it stays. */
export async function writePage(measured: Measured[], where: string): Promise<void> {
  const file = path.join(DOCS, "performance.md");
  const old = await readFile(file, "utf8").catch(() => `# Performance\n\n${BEGIN}\n${END}\n`);
  const [before = "", rest = ""] = old.split(BEGIN);
  const after = rest.split(END)[1] ?? "\n";
  await mkdir(path.join(DOCS, "performance"), { recursive: true });
  for (const { report } of measured)
    for (const { file: name, svg } of report.plots)
      await writeFile(path.join(DOCS, "performance", `${name}.svg`), `${svg.trim()}\n`);
  await writeFile(file, `${before}${BEGIN}\n\n${body(measured, where)}\n\n${END}${after}`);
}

function body(measured: Measured[], where: string): string {
  const goals = measured.flatMap(({ report }) => report.goals.map(goalRow));
  const sections = measured.map(({ title, report }) => {
    const tables = report.tables.map(markdown);
    const plots = report.plots.map((plot) => `![${plot.title}](performance/${plot.file}.svg)`);
    return [`## ${title}`, report.method, ...tables, ...plots].join("\n\n");
  });
  return [where, markdown({ head: GOALS_HEAD, rows: goals }), ...sections].join("\n\n");
}

/**
 * Where, when and of which code; absolute numbers mean nothing without it. To be asked for before the build: others may
 * commit while it is measured.
 */
export function machine(): string {
  const [cpu] = cpus();
  const memory = Math.round(totalmem() / 2 ** 30);
  const commit = execFileSync("git", ["describe", "--always", "--dirty"], {
    cwd: DOCS,
    encoding: "utf8",
  }).trim();
  const date = new Date().toISOString().slice(0, 10);
  return `Measured on ${date} at ${commit}: ${cpus().length} cores (${cpu?.model.trim() ?? "unknown"}), ${memory} GB, Linux ${release()}, Node ${process.versions.node}, everything on this one machine over loopback. Within a measurement those that are compared take turns in one run: the ratios are the result, the absolute times are context.`;
}

const markdown = ({ head, rows }: Table) =>
  [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
