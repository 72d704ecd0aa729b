/** A flow as a person describes it; `export.ts` makes of it what Flow Designer imports. */
export interface FlowDescription {
  kind: "FLOW" | "SUBFLOW";
  name: string;
  about: string;
  variables: Readonly<Record<string, Variable>>;
  /** By their names on the canvas; the first is where the flow starts. Every exit names another of them. */
  activities: Readonly<Record<string, Activity>>;
  /** Where a flow goes when an activity without an exit for it fails; what follows there must end. */
  onError?: { event: string; end: string };
}

export interface Variable {
  type: "STRING" | "INTEGER";
  value: string;
  about: string;
  /** Flow Designer is to show it to nobody. */
  sensitive?: true;
  /** What a subflow is given, and what it returns. */
  passed?: "in" | "out";
}

/** Flow variable → where its value is found in a JSON text, as a JSONPath. */
export type Outputs = Readonly<Record<string, string>>;

/** Texts may hold templates: `{{ variable }}`. */
export type Activity = { about?: string } & (
  | { do: "start"; next: string }
  | { do: "ask"; at: Endpoint; query: Texts; headers: Texts; outputs: Outputs; next: string }
  | { do: "read"; from: string; outputs: Outputs; next: string }
  | { do: "set"; variable: string; to: string; next: string; failed: string }
  | { do: "if"; holds: string; yes: string; no: string; failed: string }
  | { do: "choose"; by: string; cases: Texts; otherwise: string; failed: string }
  | { do: "say"; ssml: string; next: string; failed: string }
  | { do: "call"; subflow: string; give: Texts; take: Texts; next: string; failed: string }
  | { do: "end" }
);

export type Texts = Readonly<Record<string, string>>;

/** A connector of Control Hub, which knows host and credentials, or an address without either. */
export type Endpoint = { connector: string; path: string } | { url: string };

/** An exit of an activity: its name in Flow Designer, and the activity that it leads to. */
export type Exit = readonly [name: string, target: string];

export function exitsOf(activity: Activity): Exit[] {
  switch (activity.do) {
    case "start":
      return [["out", activity.next]];
    case "ask":
    case "read":
      return [["default", activity.next]];
    case "set":
      return [
        ["out", activity.next],
        ["error", activity.failed],
      ];
    case "if":
      return [
        ["true", activity.yes],
        ["false", activity.no],
        ["error", activity.failed],
      ];
    case "choose":
      return [
        ...Object.values(activity.cases).map((target, index): Exit => [String(index), target]),
        ["default", activity.otherwise],
        ["error", activity.failed],
      ];
    case "say":
    case "call":
      return [
        ["default", activity.next],
        ["error", activity.failed],
      ];
    case "end":
      return [];
  }
}
