import { expect } from "vitest";
import { recordChildren } from "./prints.ts";

// Before each test file: all that its processes print is looked through at the end of the run.
recordChildren(expect.getState().testPath ?? "a test");
