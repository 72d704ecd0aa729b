import type { HttpFunction } from "@google-cloud/functions-framework";

/** The least that a function can do: Google's own first example. It is what lookup is measured against. */
export const hello: HttpFunction = (_request, response) => {
  response.send("Hello, World!");
};
