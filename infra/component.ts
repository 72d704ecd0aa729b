import {
  ComponentResource,
  type ComponentResourceOptions,
  type CustomResourceOptions,
  type Resource,
} from "@pulumi/pulumi";

/** What a part waits for. Pulumi does not hand a component's `dependsOn` down to what is in it. */
export interface PartOptions extends Omit<ComponentResourceOptions, "dependsOn"> {
  dependsOn?: readonly Resource[];
  /** Where it says why each thing that it makes is there, by the thing's name. */
  whys?: Map<string, string>;
}

/** What all parts of the service have in common: what they make is theirs, named after them, and waits for the same. */
export abstract class Part extends ComponentResource {
  readonly #name: string;
  readonly #waitsFor: readonly Resource[];
  readonly #whys: Map<string, string> | undefined;

  constructor(kind: string, name: string, { dependsOn = [], whys, ...options }: PartOptions = {}) {
    super(`token-service:${kind}`, name, {}, options);
    this.#name = name;
    this.#waitsFor = dependsOn;
    this.#whys = whys;
  }

  /** The name of one thing in it, unique in the program. */
  protected named(what: string): string {
    return `${this.#name}-${what}`;
  }

  /** The same for what it makes; `why` completes "it is there because it …", and is shown before anything is made. */
  protected declared(what: string, why: string): string {
    const name = this.named(what);
    if (this.#whys?.has(name)) throw new Error(`two things are called ${name}`);
    this.#whys?.set(name, why);
    return name;
  }

  /** For what it makes. */
  protected own({
    dependsOn = [],
    ...more
  }: CustomResourceOptions & PartOptions = {}): CustomResourceOptions {
    return { parent: this, dependsOn: [...this.#waitsFor, ...dependsOn], ...more };
  }
}
