import {
  ComponentResource,
  type ComponentResourceOptions,
  type CustomResourceOptions,
  type Resource,
} from "@pulumi/pulumi";

/** What a part waits for. Pulumi does not hand a component's `dependsOn` down to what is in it. */
export interface PartOptions extends Omit<ComponentResourceOptions, "dependsOn"> {
  dependsOn?: readonly Resource[];
}

/** What all parts of the service have in common: what they make is theirs, named after them, and waits for the same. */
export abstract class Part extends ComponentResource {
  readonly #name: string;
  readonly #waitsFor: readonly Resource[];

  constructor(kind: string, name: string, { dependsOn = [], ...options }: PartOptions = {}) {
    super(`token-service:${kind}`, name, {}, options);
    this.#name = name;
    this.#waitsFor = dependsOn;
  }

  /** The name of one thing in it, unique in the program. */
  protected named(what: string): string {
    return `${this.#name}-${what}`;
  }

  /** For what it makes. */
  protected own({
    dependsOn = [],
    ...more
  }: CustomResourceOptions & PartOptions = {}): CustomResourceOptions {
    return { parent: this, dependsOn: [...this.#waitsFor, ...dependsOn], ...more };
  }
}
