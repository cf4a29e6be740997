/** This machine's own addresses, and HTTP servers on one of them for the stand-ins. */
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
 * A port of an address of this machine that nobody listens on.
 * @param wanted 0: any.
 * @returns null when the wanted one is taken.
 * @throws when nobody could listen there.
 */
export async function freePort(wanted = 0, address = LOOPBACK): Promise<number | null> {
  const probe = createServer();
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  probe.once("error", (thrown: NodeJS.ErrnoException) =>
    thrown.code === "EADDRINUSE" ? resolve(null) : reject(thrown),
  );
  probe.listen(wanted, address, () => {
    const { port } = probe.address() as AddressInfo;
    probe.close(() => resolve(port));
  });
  return promise;
}
