/**
 * The services of a relay whose outgoing requests all come here, and what they got. How a service answers is in the
 * path of its webhook: `/ok`, `/fail`, `/hang`, or what `answers` says now.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export type Received = {
  eventId: string;
  attempt: number;
  path: string;
  host: string;
  /** What it was answered; 0 never. */
  status: number;
};

export type Receiver = AsyncDisposable & {
  /** `host:port`. */
  address: string;
  received: Received[];
  /** Status by path; what is not in it answers 200, and 0 never answers. */
  answers: Map<string, number>;
};

export async function startReceiver(): Promise<Receiver> {
  const received: Received[] = [];
  const answers = new Map([
    ["/fail", 500],
    ["/hang", 0],
  ]);
  const server = createServer((request, response) => {
    const path = request.url ?? "";
    const status = answers.get(path) ?? 200;
    received.push({
      eventId: String(request.headers["webhook-id"]),
      attempt: Number(request.headers["x-relay-attempt"]),
      path,
      host: String(request.headers["x-asked-host"]),
      status,
    });
    request.resume().once("end", () => {
      if (status > 0) response.writeHead(status).end(`answered ${status}`);
    });
  });
  server.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    address: `127.0.0.1:${port}`,
    received,
    answers,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
