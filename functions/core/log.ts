/** Every event that anything here logs, with its severity (Cloud Logging's words). Alerts are written against this list. */
export const EVENTS = {
  "refresh.done": "INFO",
  "refresh.unchanged": "NOTICE",
  "refresh.failed": "WARNING",
  "refresh.refused": "CRITICAL",
  "refresh.discarded": "NOTICE",
  "refresh.unsaved": "CRITICAL",
  "publish.done": "INFO",
  "publish.failed": "WARNING",
  "publish.stuck": "ERROR",
  "sweep.done": "INFO",
  "census.done": "INFO",
  "census.adopted": "NOTICE",
  "token.ending": "WARNING",
  "token.mistyped": "WARNING",
  "request.refused": "NOTICE",
  "request.unauthorized": "WARNING",
  "lookup.refresher_failed": "WARNING",
  "store.unavailable": "ERROR",
  "setup.initialized": "NOTICE",
  "setup.authorized": "NOTICE",
  "setup.refused": "WARNING",
  "token.unopened": "ERROR",
  "seal.keys_unreadable": "ERROR",
  "passphrase.weak": "WARNING",
  "passphrase.unreadable": "ERROR",
  "service.stopped": "CRITICAL",
  bug: "CRITICAL",
} as const;

export type Event = keyof typeof EVENTS;

/** What may stand in a log line: names, codes and numbers; never a token, secret, passphrase, body or header. */
export type Details = Readonly<Record<string, string | number | boolean | undefined>>;

export type Log = (event: Event, details?: Details) => void;
