/** What a measurement is given. */
export interface Context {
  /** Fewer rounds and smaller numbers: to see that it works, not to publish. */
  quick: boolean;
  /** An empty folder that is removed at the end. */
  folder: string;
  /** `host:port` of Google's Firestore emulator, started by whoever needs it first. */
  emulator(): Promise<string>;
  /** Tells whoever waits what is being done. */
  say(text: string): void;
}

/** One file each: `run` measures and says how. */
export interface Measurement {
  title: string;
  run(context: Context): Promise<Report>;
}

export interface Report {
  goals: Goal[];
  /** How the numbers were made. */
  method: string;
  tables: Table[];
  plots: Plot[];
}

/** One line of what the lookup must reach. */
export interface Goal {
  what: string;
  goal: string;
  measured: string;
  met: boolean;
}

export interface Table {
  head: string[];
  rows: string[][];
}

export interface Plot {
  /** Without folder and extension. */
  file: string;
  title: string;
  svg: string;
}
