/** The relay with meters (`metered-worker.ts`), run and driven from outside. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Relay } from "../../test/rig/relay.ts";
import { type Build, buildWorker, OPTIONS_FILE } from "../../test/rig/workerd.ts";

/**
 * By what was counted: `worker.fetch`, `kv.read`, `queue.write`, `rpc.Journal`, `alarm.Subscriber`, `read.Journal.SELECT events`,
 * `written.Subscriber.UPDATE deliveries`; and, which cost nothing, `attempts` and
 * `dropped.Subscriber`.
 */
export type Counts = Readonly<Record<string, number>>;

/** Leadterra's events are about so big; a queue message of up to 64 KB costs the same. */
const EVENT_BYTES = 1_000;

/** Objects that nobody calls for 10 s by the machine's clock stay: what a run counts is not to hang on how fast it is. */
export async function buildMeteredWorker(): Promise<Build> {
  const build = await buildWorker({ entry: join(import.meta.dirname, "metered-worker.ts") });
  const file = join(build.directory, OPTIONS_FILE);
  const options = JSON.parse(readFileSync(file, "utf8"));
  for (const binding of Object.values<object>(options.worker.durableObjects)) {
    Object.assign(binding, { unsafePreventEviction: true });
  }
  writeFileSync(file, JSON.stringify(options));
  return build;
}

export class MeteredRelay implements AsyncDisposable {
  readonly #relay: Relay;
  #nowMs = 0;
  #events = 0;
  #webhooks = 0;

  private constructor(relay: Relay) {
    this.#relay = relay;
  }

  /** @param vars as in wrangler.toml. */
  static async start(build: Build, vars: Readonly<Record<string, string>>): Promise<MeteredRelay> {
    const variables = { ALLOW_PRIVATE_DESTINATIONS: "false", ...vars };
    return new MeteredRelay(await Relay.start({ build, variables }));
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  get webhooks(): number {
    return this.#webhooks;
  }

  /** Sets the clock, Unix milliseconds; nothing rings. */
  async setClock(atMs: number): Promise<void> {
    this.#nowMs = atMs;
    await this.#drive(`clock?at=${atMs}`);
  }

  /** Registers a webhook for everything. */
  async register(): Promise<void> {
    await this.#relay.register({ url: "https://receiver.example/in" });
    this.#webhooks += 1;
  }

  /** What services answer from here on; 204 to begin with. */
  async answer(status: number): Promise<void> {
    await this.#drive(`answer?status=${status}`);
  }

  /** Posts so many new events, and lets the consumer have them in one batch. */
  async send(events: number): Promise<void> {
    for (let left = events; left > 0; left--) await this.#relay.accept(this.#newEvent());
    await this.#drive(`consume?size=${events}`);
  }

  /** Lets the clock run for so long, and alarms ring in their order. */
  async pass(ms: number): Promise<void> {
    this.#nowMs += ms;
    await this.#drive(`ring?until=${this.#nowMs}`);
  }

  /** The cron trigger. */
  async sweep(): Promise<void> {
    await this.#drive("sweep");
  }

  /** What was counted since the last reading. */
  read(): Promise<Counts> {
    return this.#drive("read");
  }

  /** Bytes that all objects of a class hold, by class. */
  sizes(): Promise<Counts> {
    return this.#drive("sizes");
  }

  async #drive(call: string): Promise<Counts> {
    const response = await this.#relay.fetch(`/meter/${call}`, { method: "POST" });
    const text = await response.text();
    if (!response.ok) throw new Error(`${call} answered ${response.status} ${text}`);
    return JSON.parse(text);
  }

  /** The same events in every run: their ids decide where they go in an index. */
  #newEvent(): Buffer {
    this.#events += 1;
    const event = {
      event: "message.sent",
      timestamp: new Date(this.#nowMs).toISOString(),
      webhookId: "wh_01HZC7RQNP4XT2KM",
      data: {
        campaignId: "camp_01HZB3MNPW6XT8QA",
        messageId: `msg_${String(this.#events).padStart(8, "0")}`,
        sequenceStep: 1,
        lead: { email: "lead@example.com", name: "Lead" },
        note: "",
      },
    };
    event.data.note = "x".repeat(EVENT_BYTES - JSON.stringify(event).length);
    return Buffer.from(JSON.stringify(event));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#relay.close();
  }
}
