/**
 * Durable Objects that make the same requests as a Subscriber, six at a time each, and record nothing; and a Worker
 * that makes them itself:
 *
 *     POST /?url=…&count=N&objects=M    N requests by M objects
 *     POST /?url=…&fan=N&event=K        N requests at once about event K, by the Worker
 */
import { DurableObject } from "cloudflare:workers";
import { post } from "./post";

const AT_ONCE = 6;
const ID_DIGITS = 26;

type Bindings = { BARE: DurableObjectNamespace<Bare> };

function idOf(number: number): string {
  return `evt_${String(number).padStart(ID_DIGITS, "0")}`;
}

export class Bare extends DurableObject<Bindings> {
  /** POSTs `body` so often, with numbers from `first` on. */
  async deliver(url: string, body: Uint8Array, numbers: [first: number, count: number]) {
    let [next, left] = numbers;
    const work = async () => {
      while (left > 0) {
        left -= 1;
        await post(url, body, idOf(next++));
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
    const url = searchParams.get("url") ?? "";
    const number = (name: string, fallback: number) => Number(searchParams.get(name) ?? fallback);
    const [count, objects, fan] = [number("count", 0), number("objects", 1), number("fan", 0)];
    const each = Math.ceil(count / objects);
    const made = Array.from({ length: objects }, (_, index) =>
      env.BARE.getByName(`bare-${index}`).deliver(url, body, [index * each, each]),
    );
    const fanned = Array.from({ length: fan }, () => post(url, body, idOf(number("event", 0))));
    await Promise.all(count > 0 ? made : fanned);
    return Response.json({ count });
  },
} satisfies ExportedHandler<Bindings>;
