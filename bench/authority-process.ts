// The least that can stand in for Webex: a good answer to every request after LATENCY ms, and a count of them.
// node bench/authority-process.ts PORT LATENCY
import { createServer } from "node:http";

const [port, latency] = process.argv.slice(2).map(Number);
let asked = 0;

createServer((request, response) => {
  if (request.method === "GET") {
    response.end(String(asked));
    return;
  }
  const grant = JSON.stringify({
    access_token: `new-${++asked}-${Date.now()}`
      .padEnd(86, ".")
      .concat("_PF84_11111111-2222-3333-4444-555555555555"),
    expires_in: 43_199,
    refresh_token: "the-same-refresh-token",
    refresh_token_expires_in: 5_183_999,
    token_type: "Bearer",
  });
  const answer = () => response.setHeader("content-type", "application/json").end(grant);
  request.resume().once("end", () => setTimeout(answer, latency));
}).listen(port, "127.0.0.1");
