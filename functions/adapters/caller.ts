import type { IncomingMessage } from "node:http";
import { BlockList, isIP } from "node:net";

/** Addresses of this machine, of private networks, and of Google's own proxies. */
const near = new BlockList();
for (const [network, prefix] of [
  ["127.0.0.0", 8],
  ["10.0.0.0", 8],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
  ["169.254.0.0", 16],
] as const)
  near.addSubnet(network, prefix, "ipv4");
near.addAddress("::1", "ipv6");
near.addSubnet("fc00::", 7, "ipv6");
near.addSubnet("fe80::", 10, "ipv6");

/**
 * The address of the caller, for logs. A proxy adds the one it sees to the end of `x-forwarded-for`; what stands before may
 * be forged, and so may all of it where no proxy is between. Behind a load balancer of one's own it is the balancer's.
 */
export function callerOf({ headers, socket }: IncomingMessage): string {
  const peer = socket.remoteAddress ?? "unknown";
  const claimed = String(headers["x-forwarded-for"] ?? "")
    .split(",")
    .at(-1)
    ?.trim();
  return claimed && isIP(claimed) > 0 && isNear(peer) ? claimed : peer;
}

function isNear(address: string): boolean {
  const family = isIP(address);
  return family > 0 && near.check(address, family === 4 ? "ipv4" : "ipv6");
}
