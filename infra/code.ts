import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as gcp from "@pulumi/gcp";
import { asset } from "@pulumi/pulumi";
import { Part, type PartOptions } from "./component.ts";

export interface CodeArgs {
  project: string;
  region: string;
  /** The folder that `npm run build` writes. */
  dist: string;
}

export type FunctionName = "lookup" | "refresher" | "setup";

/** The deployable folders, in a bucket of their own. */
export class Code extends Part {
  readonly bucket: gcp.storage.Bucket;
  readonly archives: Record<FunctionName, gcp.storage.BucketObject>;

  constructor(name: string, { project, region, dist }: CodeArgs, options?: PartOptions) {
    super("Code", name, options);
    this.bucket = new gcp.storage.Bucket(
      this.declared("bucket", "keeps the code that the functions are built from"),
      {
        project,
        // A bucket's name is the world's: the project makes it ours.
        name: `${project.replace(/[.:]/g, "-")}-${name}`,
        location: region,
        uniformBucketLevelAccess: true,
        publicAccessPrevention: "enforced",
        forceDestroy: true,
        lifecycleRules: [{ action: { type: "Delete" }, condition: { age: 30, withState: "ARCHIVED" } }],
        versioning: { enabled: true },
      },
      this.own(),
    );
    const archive = (fn: FunctionName) => {
      const folder = join(dist, fn);
      return new gcp.storage.BucketObject(
        this.declared(fn, `is the code of ${fn}, under a name that changes with it`),
        {
          bucket: this.bucket.name,
          // Under the same name a changed archive would not be deployed.
          name: `${fn}-${contentHash(folder)}.zip`,
          source: new asset.FileArchive(folder),
        },
        this.own(),
      );
    };
    this.archives = { lookup: archive("lookup"), refresher: archive("refresher"), setup: archive("setup") };
    this.registerOutputs();
  }
}

/** sha256 over the names and contents of a folder's files, in lower-case hex. Throws where it was not built. */
export function contentHash(folder: string): string {
  const hash = createHash("sha256");
  for (const file of filesOf(folder)) {
    const content = readFileSync(join(folder, file));
    hash.update(`${file}\0${content.length}\0`).update(content);
  }
  return hash.digest("hex");
}

function filesOf(folder: string): string[] {
  try {
    return (readdirSync(folder, { recursive: true, withFileTypes: true }) ?? [])
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
      .sort();
  } catch {
    throw new Error(`${folder} is not there: run "npm run build" first`);
  }
}
