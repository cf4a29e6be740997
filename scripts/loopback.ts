/** This machine's own addresses, and HTTP servers on one of them for the stand-ins. */
import { randomInt } from "node:crypto";
import type { IncomingMessage, Server } from "node:http";
import { type AddressInfo, createServer } from "node:net";

const LOOPBACK = "127.0.0.1";

/** Whether an origin (`http://localhost:8787`) is this machine. */
export function isLoopback(origin: string): boolean {
  return /^(localhost|127(\.\d+){3}|\[::1\])$/.test(new URL(origin).hostname);
}

/**
 * Starts the server.
 * @param port 0: any free one.
 * @returns the port.
 * @throws when the port is taken.
 */
export async function listen(server: Server, port = 0): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject).listen(port, LOOPBACK, resolve);
  await promise;
  return (server.address() as AddressInfo).port;
}

/** Stops the server, and cuts the connections that are still open. */
export async function closeServer(server: Server): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  server.closeAllConnections();
  await promise;
}

/** The raw body, byte for byte. */
export async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/**
 * Below what Linux, macOS and Windows give by themselves (to a server without a port, to each
 * outgoing connection): between the question and its use nobody is given one of these. Above
 * 10080, the last that fetch and browsers refuse.
 */
const UNASKED_PORTS = { first: 11_000, count: 21_000 };

/**
 * A port of an address of this machine that nobody listens on.
 * @param wanted 0: any.
 * @returns null when the wanted one is taken.
 * @throws when nobody could listen there.
 */
export async function freePort(wanted = 0, address = LOOPBACK): Promise<number | null> {
  if (wanted !== 0) return (await isFree(wanted, address)) ? wanted : null;
  const { first, count } = UNASKED_PORTS;
  const offset = randomInt(count);
  for (let tried = 0; tried < count; tried++) {
    const port = first + ((offset + tried) % count);
    if (await isFree(port, address)) return port;
  }
  return null;
}

async function isFree(port: number, address: string): Promise<boolean> {
  const probe = createServer();
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  probe.once("error", (thrown: NodeJS.ErrnoException) =>
    thrown.code === "EADDRINUSE" ? resolve(false) : reject(thrown),
  );
  probe.listen(port, address, () => probe.close(() => resolve(true)));
  return promise;
}
