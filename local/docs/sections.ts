/** Puts texts between the marks `<!-- begin NAME -->` and `<!-- end NAME -->` of a page. Throws where a mark is missing. */
export function withSections(page: string, sections: Readonly<Record<string, string>>): string {
  let text = page;
  for (const [name, content] of Object.entries(sections)) {
    const [begin, end] = [`<!-- begin ${name} -->\n`, `<!-- end ${name} -->`];
    const from = text.indexOf(begin) + begin.length;
    const to = text.indexOf(end, from);
    if (from < begin.length || to < 0) throw new Error(`the page has no section "${name}"`);
    text = `${text.slice(0, from)}${content}\n${text.slice(to)}`;
  }
  return text;
}

export const fenced = (language: string, text: string) => `\`\`\`${language}\n${text.trimEnd()}\n\`\`\``;

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), `|${"---|".repeat(head.length)}`, ...rows.map(line)].join("\n");
}
