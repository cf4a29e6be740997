/** A Durable Object that makes the same requests as a Subscriber, six at a time, and records nothing. */
import { DurableObject } from "cloudflare:workers";

const AT_ONCE = 6;
const ID_DIGITS = 26;

type Bindings = { BARE: DurableObjectNamespace<Bare> };

export class Bare extends DurableObject<Bindings> {
  /** POSTs `body` so often. */
  async deliver(url: string, body: Uint8Array, count: number): Promise<void> {
    let next = 0;
    const work = async () => {
      for (let number = next++; number < count; number = next++) {
        const id = `evt_${String(number).padStart(ID_DIGITS, "0")}`;
        const headers = { "content-type": "application/json", "webhook-id": id };
        const response = await fetch(url, { method: "POST", headers, body, redirect: "manual" });
        await response.arrayBuffer();
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  }
}

// biome-ignore lint/style/noDefaultExport: the entry of a Worker.
export default {
  async fetch(request, env) {
    const { searchParams } = new URL(request.url);
    const body = new Uint8Array(await request.arrayBuffer());
    const [url, count] = [searchParams.get("url") ?? "", Number(searchParams.get("count"))];
    await env.BARE.getByName("bare").deliver(url, body, count);
    return Response.json({ count });
  },
} satisfies ExportedHandler<Bindings>;
