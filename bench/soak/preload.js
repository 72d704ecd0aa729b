// Preloaded into each process of a soak: it ends with its parent, however that ends, and tells what it holds. Plain
// JavaScript on purpose: to strip types a process needs 15 MB that it does not need as it is deployed.

/** Bytes that are held when all garbage is gone (node --expose-gc). */
function held() {
  globalThis.gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

process.once("disconnect", () => process.exit());
process.on("message", () => process.send(held()));
