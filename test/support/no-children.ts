import { subscribe } from "node:diagnostics_channel";

// The quick loop stays quick: a unit test that starts a process fails the run. It belongs into another project.
subscribe("child_process", () => {
  throw new Error("a test of the project unit started a child process: move it to contract or e2e");
});
