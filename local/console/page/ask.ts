/** The console refused, or did not answer. */
export class AskError extends Error {
  override name = "AskError";
  /** 0: it did not answer. */
  readonly status: number;
  /** What is wrong with fields of a form, by name. */
  readonly fields: Readonly<Record<string, string>>;

  constructor(status: number, message: string, fields: Record<string, string> = {}) {
    super(message);
    this.status = status;
    this.fields = fields;
  }
}

/** A look. Throws `AskError`. */
export const look = <T>(path: string, query: Record<string, string> = {}): Promise<T> => {
  const parameters = new URLSearchParams(query).toString();
  return request<T>(`/api/${path}${parameters && `?${parameters}`}`, {});
};

/** An order. Throws `AskError`. */
export const order = <T>(path: string, body: object): Promise<T> =>
  request<T>(`/api/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });

const GONE =
  'The console does not answer: see whether it still runs, or start it again with "npm run console".';

async function request<T>(path: string, options: RequestInit): Promise<T> {
  const response = await fetch(path, options).catch(() => {
    throw new AskError(0, GONE);
  });
  const answer: unknown = await response.json().catch(() => {
    throw new AskError(0, GONE);
  });
  if (response.ok) return answer as T;
  const { message, fields } = answer as { message: string; fields?: Record<string, string> };
  throw new AskError(response.status, message, fields);
}
