/** Throws an `Error` that says why not, as the system's code alone. */
export async function readText(file: string): Promise<string> {
  // Loaded only where there is a file: it costs lookup a hundredth of its start-up time.
  const { readFile } = await import("node:fs/promises");
  return readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new Error(error.code ?? "unknown reason");
  });
}
