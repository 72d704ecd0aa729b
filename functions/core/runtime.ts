/** Time and chance, passed in so that tests can turn them. */
export interface Runtime {
  /** ms since epoch; never behind the time that has really passed since it was asked last. */
  now(): number;
  sleep(ms: number): Promise<void>;
  /** 256 random bits, base64url. */
  secret(): string;
}
