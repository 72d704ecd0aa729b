import type { Register } from "./context.ts";
export const watch: Register = () => {};
