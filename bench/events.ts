/** Events as Leadterra would post them, signed and ready to be sent. */
import { exampleEvent, sign } from "../scripts/leadterra.ts";
import { type Answer, wire } from "./load.ts";

/** A request with a new event: the one that the relay exists for. */
export function signedRequest(signingSecret: string): Buffer {
  const body = exampleBody();
  const headers = {
    "content-type": "application/json",
    "x-leadterra-signature": sign(body, signingSecret),
  };
  return wire({ method: "POST", path: "/webhooks/leadterra", headers, body });
}

export function signedRequests(count: number, signingSecret: string): Buffer[] {
  return Array.from({ length: count }, () => signedRequest(signingSecret));
}

/** The body of a new event. */
export function exampleBody(): Buffer {
  return Buffer.from(JSON.stringify(exampleEvent("reply.received")));
}

/** The event's id, as ingest answered. */
export function eventIdOf({ body }: Answer): string {
  return (JSON.parse(body) as { id: string }).id;
}
