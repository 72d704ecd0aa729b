import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Folders whose tests wait for processes of their own, for a browser, or for ten thousand histories. */
const LONG = /\/test\/(?:e2e|browser|model|infra)\//;

/** The long ones begin first: else the last of them would run alone at the end. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLong = ({ moduleId }: TestSpecification) => LONG.test(moduleId);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}
