import { createHmac } from "node:crypto";

/** What ./reference.ts answered to an event with this body: its signature stands in for its id. */
export function answeredId(body: Uint8Array, signingSecret: string): string {
  return createHmac("sha256", signingSecret).update(body).digest("hex");
}

/** A delivery as bare as it can be: the request, and its answer to the end. */
export async function post(url: string, body: Uint8Array, id: string): Promise<void> {
  const headers = { "content-type": "application/json", "webhook-id": id };
  const response = await fetch(url, { method: "POST", headers, body, redirect: "manual" });
  await response.arrayBuffer();
}
