import {
  asServiceApp,
  type Changes,
  fieldsOf,
  parseDocument,
  type RawFields,
  type ServiceApp,
  type TokenDocument,
} from "./document.ts";
import { sha256 } from "./hash.ts";
import { isSealed, type Opened, openFields, SEALED_FIELDS, sealFields, unsealed } from "./seal.ts";
import type { Judged } from "./time.ts";

/** The collections of the store, each a set of documents by id. */
export type Collection = "tokens" | "authorizations" | "status";

/** A document as it stood in the store. */
export interface Snapshot {
  id: string;
  fields: RawFields;
  /** Moves with every write that changes something. Opaque: only equality means anything. */
  version: string;
  /** ms, the store's own clock at the read. */
  readAt: number;
  /** ms, the store's own clock at the last write. */
  writtenAt: number;
}

export interface DocumentReader {
  /** `undefined`: no such document. Throws `StoreUnavailable` where the store did not answer. */
  read(collection: Collection, id: string): Promise<Snapshot | undefined>;
}

/**
 * What a store must do to stand behind this service: conditional writes of single documents. No transaction, no
 * lock. Every method throws `StoreUnavailable` where the outcome is unknown; a write may have landed all the same.
 */
export interface DocumentStore extends DocumentReader {
  /** The version, or `undefined` where a document of this id exists. A `Date` is kept as an instant. */
  create(collection: Collection, id: string, fields: RawFields): Promise<string | undefined>;
  /** Sets the named fields (`undefined` deletes one); `undefined` where the version has moved or nothing is there. */
  update(collection: Collection, id: string, fields: RawFields, version: string): Promise<string | undefined>;
  /** False where there was nothing to remove. */
  remove(collection: Collection, id: string): Promise<boolean>;
  /** Documents whose `field` is at most `until`, by that field, then by id; after `after` where given. */
  upTo(query: UpTo, limit: number, after?: Snapshot): Promise<Snapshot[]>;
  /** How many documents `upTo` would give after `after`. */
  count(query: UpTo, after?: Snapshot): Promise<number>;
  /** All documents by id, `limit` at a time. */
  list(collection: Collection, limit: number, after?: string): Promise<Snapshot[]>;
  close(): Promise<void>;
}

/** What documents are found by: instants in ms, each with an index. A dot leads into an object. */
export const INDEXED = ["refreshAt", "publish.nextAt"] as const;

export type Indexed = (typeof INDEXED)[number];

export interface UpTo {
  collection: Collection;
  field: Indexed;
  until: number;
}

/** The value that a document has in an indexed field. */
export const indexedValue = (fields: RawFields, field: Indexed): unknown =>
  field.split(".").reduce<unknown>((value, name) => fieldsOf(value)[name], fields);

/** The store did not answer, or not in time: whether a write landed is unknown. */
export class StoreUnavailable extends Error {
  override name = "StoreUnavailable";
  /** The store's own words, for the operator at a terminal; they stay out of logs. `undefined`: it had none. */
  readonly detail: string | undefined;
  /** The store answered, but refused this one document (4xx): it says nothing about other documents. */
  readonly refused: boolean;

  /** `message` says what happened in codes alone: it is logged. */
  constructor(message: string, detail?: string, refused = false) {
    super(message);
    this.detail = detail;
    this.refused = refused;
  }
}

/** A token as it stood in the store. */
export interface StoredToken extends Judged {
  name: string;
  document: TokenDocument;
  /** Fields of a wrong kind: absent from `document`. */
  mistyped: string[];
  /** Sealed fields that can't be opened, left in `document` as they are, and why. A mere reader opens none, and does not say. */
  unopened: Readonly<Record<string, string>>;
  version: string;
  /** ms, the store's clock, as the one below. */
  writtenAt: number;
  /**
   * ms by which the store's clock is ahead of this machine's: documents are judged by `now() + ahead`, so that two
   * machines whose clocks disagree still agree on what lives.
   */
  ahead: number;
  snapshot: Snapshot;
}

export interface TokenReader {
  /** `undefined`: no such token. Throws `StoreUnavailable`. */
  read(name: string): Promise<StoredToken | undefined>;
}

/** Tokens over a store of documents. */
export interface TokenStore extends TokenReader {
  /** False where a token of this name exists. */
  create(name: string, document: TokenDocument): Promise<boolean>;
  /**
   * Writes over the token as it was read; a failure is noted with the credentials that stand beside it. The new version,
   * or `undefined` where the document has moved since: nothing was written.
   */
  update(token: StoredToken, changes: Changes): Promise<string | undefined>;
  /** What is stored plain and ought to be sealed: to be written along with the next changes. */
  toSeal(token: StoredToken): Changes;
  remove(name: string): Promise<boolean>;
  /** Tokens whose `field` (absent: `refreshAt`) is at most `until`, the longest overdue first. */
  due(until: number, limit: number, after?: StoredToken, field?: Indexed): Promise<StoredToken[]>;
  /** By `refreshAt`. */
  countDue(until: number, after?: StoredToken): Promise<number>;
  /** Every token by name, in pages. */
  pages(limit: number): AsyncGenerator<StoredToken[]>;
  /** Where authorizations and the state of the service are kept. */
  documents: DocumentStore;
}

/** `now` is this machine's clock, in ms. */
export const tokenReader = (documents: DocumentReader, now: () => number): TokenReader => ({
  async read(name) {
    const snapshot = await documents.read("tokens", name);
    return snapshot && tokenOf(snapshot, { fields: snapshot.fields, unopened: {} }, now());
  },
});

/** `now` is this machine's clock, in ms. */
export function tokenStore(documents: DocumentStore, now: () => number, sealer = unsealed): TokenStore {
  const open = async (snapshot: Snapshot) => {
    // Before anything is opened: the store's clock was read just now.
    const readAt = now();
    return tokenOf(snapshot, await openFields(snapshot.id, snapshot.fields, sealer), readAt);
  };
  const tokensOf = (snapshots: Snapshot[]) => Promise.all(snapshots.map(open));
  const due = (until: number, field: Indexed = "refreshAt"): UpTo => ({ collection: "tokens", field, until });
  return {
    documents,
    async read(name) {
      const snapshot = await documents.read("tokens", name);
      return snapshot && open(snapshot);
    },
    async create(name, document) {
      const fields = await sealFields(name, { ...document }, sealer);
      return (await documents.create("tokens", name, fields)) !== undefined;
    },
    async update(token, changes) {
      const fields = await sealFields(token.name, { ...changes }, sealer);
      const inputs = inputsOf({ ...token.snapshot.fields, ...fields });
      const failure = changes.failure && { failure: { ...changes.failure, inputs } };
      return documents.update("tokens", token.name, { ...fields, ...failure }, token.version);
    },
    toSeal: ({ snapshot, document }) => (sealer.seals ? plainOnes(snapshot.fields, document) : {}),
    remove: (name) => documents.remove("tokens", name),
    due: async (until, limit, after, field) =>
      tokensOf(await documents.upTo(due(until, field), limit, after?.snapshot)),
    countDue: (until, after) => documents.count(due(until), after?.snapshot),
    async *pages(limit) {
      let after: string | undefined;
      for (;;) {
        const page: Snapshot[] = await documents.list("tokens", limit, after);
        if (page.length > 0) yield await tokensOf(page);
        if (page.length < limit) return;
        after = page.at(-1)?.id;
      }
    },
  };
}

function tokenOf(snapshot: Snapshot, { fields, unopened }: Opened, now: number): StoredToken {
  const { id: name, version, readAt, writtenAt } = snapshot;
  const inputs = inputsOf(snapshot.fields);
  return {
    name,
    ...parseDocument(fields),
    unopened,
    inputs,
    version,
    ahead: readAt - now,
    writtenAt,
    snapshot,
  };
}

function plainOnes(stored: RawFields, document: TokenDocument): Changes {
  const plain = SEALED_FIELDS.filter((field) => !isSealed(String(stored[field] ?? "")));
  return Object.fromEntries(
    plain.flatMap((field) => (document[field] === undefined ? [] : [[field, document[field]]])),
  );
}

/** The same credentials and Service App, however they are stored. Where some can't be read, only the very same text is. */
export function sameCredentials(one: StoredToken, other: StoredToken): boolean {
  if (one.inputs === other.inputs) return true;
  const readable = [one, other].every(
    ({ unopened, mistyped }) => Object.keys(unopened).length === 0 && mistyped.length === 0,
  );
  const fields = ["clientId", "clientSecret", "refreshToken"] as const;
  return (
    readable &&
    fields.every((field) => one.document[field] === other.document[field]) &&
    appOf(one.document).join() === appOf(other.document).join()
  );
}

/**
 * Hash of the credentials as they are stored, and of the Service App that they may be had as: another one means that
 * they were changed.
 */
export function inputsOf({ clientId, clientSecret, refreshToken, serviceApp }: RawFields): string {
  // What is no text is mistyped, and looks different to each client of the store: all of it is alike here.
  const kept = [clientId, clientSecret, refreshToken].map((value) =>
    typeof value === "string" || (value ?? null) === null ? (value ?? null) : true,
  );
  return sha256(JSON.stringify([...kept, ...appOf({ serviceApp: asServiceApp(serviceApp) })]));
}

const appOf = ({ serviceApp }: { serviceApp?: ServiceApp | undefined }): string[] =>
  serviceApp === undefined ? [] : [serviceApp.applicationId, serviceApp.targetOrg, serviceApp.manager];
