import { ANSWERS, type ConnectRequest, connectRequest, edgeOf, fieldsOf, REQUESTS } from "../connect.ts";
import { table } from "./sections.ts";

/** The generated sections of `docs/connect.md`. */
export function connectSections(): Record<string, string> {
  const forms = REQUESTS.map((request) => [request.id, formOf(request)]);
  return { ...Object.fromEntries(forms), answers: answers() };
}

const code = (text: string) => `\`${text}\``;

function formOf(request: ConnectRequest): string {
  const rows = [[request.labels.url, request.url], ...fieldsOf(request, {})];
  return table(
    ["field", "value"],
    rows.map(([field = "", value = ""]) => [field, code(value)]),
  );
}

function answers(): string {
  const [node, request] = [connectRequest("custom-node"), connectRequest("http-request")];
  return table(
    ["answer", "when", "custom node", "HTTP Request, then Branch", "what to do"],
    ANSWERS.map(({ status, when, then }) => {
      const outputs = { tokenStatus: String(status) };
      return [
        String(status),
        when,
        edgeOf(node, status, outputs),
        `onSuccess, then ${edgeOf(request, status, outputs)}`,
        then,
      ];
    }),
  );
}
