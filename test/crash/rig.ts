/**
 * A real workerd with stored state, killed by SIGKILL again and again while it delivers, and the account of what
 * that did. Everything else lives in this process and survives: the sender, and the services.
 *
 * The local queue does not survive, so an event counts as owed only when every Subscriber that wants it shows it;
 * kills come after that, while the backlog goes out.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { exampleEvent } from "../../scripts/leadterra.ts";
import { accountOf, isSuccess, type ReportedDelivery, type SideAccount } from "../rig/account.ts";
import { type Delivery, mapInParallel } from "../rig/api.ts";
import { Relay } from "../rig/relay.ts";
import { buildWorker } from "../rig/workerd.ts";
import { Chance } from "../simulation/chance.ts";
import { HANGING, PLANS, Service } from "./services.ts";

/** Short, so that a run of minutes sees every retry; many, so that none is given up on. */
const RETRY_WAIT_MS = 1_000;
const RETRY_SCHEDULE = Array.from({ length: 20 }, () => `${RETRY_WAIT_MS / 1_000}s`).join(" ");
/** A wait is up to 10 % longer than the schedule says. */
const MAX_RETRY_WAIT_MS = RETRY_WAIT_MS * 1.1;
/** So many events at once, unless the caller says otherwise. */
const SET_SIZE = 160;
/** Events that Leadterra sends once more with each set. */
const REPEATS_PER_SET = 5;
/** A kill comes only while every service is owed at least so many. */
const MIN_BACKLOG = 25;
const MAX_LIFE_MS = 1_200;
/** Some kills come before the relay is up. */
const EARLY_KILLS = 0.1;
const MAX_EARLY_LIFE_MS = 1_500;
const ACCEPTED_WITHIN_MS = 30_000;
const SETTLED_WITHIN_MS = 180_000;
/** Time for a delivery that should not be to show itself; and long enough for every Subscriber to be idle. */
const QUIET_MS = 2_000;
/** What a receiver has read of a killed relay belongs to the life that was killed. */
const LAST_BYTES_MS = 50;
const POLL_MS = 50;
const PARALLEL_CALLS = 12;

export type CrashOptions = {
  kills: number;
  seed: number;
  /** No kill comes later than this after the start. */
  seconds?: number;
  /** One more webhook, which never answers. */
  hang?: boolean;
  /** So many events are sent at once; fewer come to rest sooner. */
  setSize?: number;
  onProgress?: (text: string) => void;
};

/** How long a service with something overdue waited after a restart. */
export type Restart = { life: number; service: string; waitedMs: number };

export type CrashReport = {
  /** After the first phase, in which nothing was killed. */
  calm: readonly SideAccount[];
  /** In the end, the first phase included. */
  sides: readonly SideAccount[];
  kills: number;
  /** From the start of the process to the open port, for each life that got there. */
  startsMs: readonly number[];
  restarts: readonly Restart[];
  /** Log lines that tell of an error, or of something that was never caught. */
  errors: readonly string[];
  /** Empty when every rule holds. */
  problems: readonly string[];
};

/** Runs the rig. @throws when the relay does not start, does not accept, or does not come to rest. */
export async function runCrashRig(options: CrashOptions): Promise<CrashReport> {
  const build = await buildWorker();
  // What Leadterra sends again goes all the way, and meets the Subscribers alone.
  const variables = { RETRY_SCHEDULE, IDEMPOTENCY_TTL: "0" };
  const rig = new Rig(options, new Relay({ build, variables }));
  try {
    return await rig.run();
  } finally {
    await rig.close();
    build.remove();
  }
}

class Rig {
  readonly #options: CrashOptions;
  readonly #relay: Relay;
  readonly #chance: Chance;
  readonly #services: Service[] = [];
  /** Every event that was accepted. */
  readonly #bodies = new Map<string, Buffer>();
  /** When each life ended, Unix milliseconds; its length is the number of the life that runs. */
  readonly #crashes: number[] = [];
  readonly #restarts: Restart[] = [];
  readonly #startsMs: number[] = [];
  readonly #errors: string[] = [];
  #life = 0;
  /** Since when each service has had something overdue in this life, Unix milliseconds. */
  #overdue = new Map<Service, number>();

  constructor(options: CrashOptions, relay: Relay) {
    this.#options = options;
    this.#relay = relay;
    this.#chance = new Chance(options.seed);
  }

  async run(): Promise<CrashReport> {
    await this.#start();
    for (const plan of [...PLANS, ...(this.#options.hang ? [HANGING] : [])]) {
      const life = () => this.#life;
      const host = { api: this.#relay, chance: this.#chance, life };
      this.#services.push(await Service.open(plan, host));
    }
    await this.#send();
    await this.#whenSettled();
    const calm = await this.#account();
    this.#say(`calm: ${sum(calm, "owed")} deliveries, ${sum(calm, "duplicates")} duplicates`);
    await this.#killAgainAndAgain();
    const kills = this.#crashes.length;
    await this.#whenSettled();
    // Nothing is under way any more: this one must repeat nothing.
    await this.#crash();
    await this.#start();
    await sleep(QUIET_MS);
    const sides = await this.#account();
    const problems = [
      ...calm.flatMap(({ problems: its }) => its.map((problem) => `calm: ${problem}`)),
      ...calm.flatMap(({ name, duplicates }) =>
        duplicates === 0 ? [] : [`calm: ${name}: ${duplicates} duplicates though nothing failed`],
      ),
      ...sides.flatMap(({ problems: its }) => its),
      ...(await this.#problemsOfRelay()),
    ];
    return {
      calm,
      sides,
      kills,
      startsMs: this.#startsMs,
      restarts: this.#restarts,
      errors: [...this.#errors, ...errorsAmong(this.#relay.complaints)],
      problems,
    };
  }

  async close(): Promise<void> {
    await this.#relay.close();
    for (const service of this.#services) await service.close();
  }

  #say(text: string): void {
    this.#options.onProgress?.(text);
  }

  // --- lives and crashes --------------------------------------------------------------------------------------

  async #start(): Promise<void> {
    const startedAtMs = Date.now();
    const upAtMs = await this.#relay.start();
    this.#startsMs.push(upAtMs - startedAtMs);
    this.#noteOverdue(upAtMs);
  }

  async #crash(): Promise<void> {
    this.#noteRestarts();
    this.#crashes.push(Date.now());
    this.#errors.push(...errorsAmong(await this.#relay.kill()));
    await sleep(LAST_BYTES_MS);
    this.#life += 1;
  }

  /** A life that may end before the relay is up. */
  async #startAndKillEarly(): Promise<void> {
    const lifeMs = this.#chance.between(0, MAX_EARLY_LIFE_MS);
    const { promise: killed, resolve } = Promise.withResolvers<void>();
    const starting = this.#relay.start((kill) => {
      void sleep(lifeMs)
        .then(() => {
          this.#crashes.push(Date.now());
          return kill();
        })
        .then(resolve);
    });
    await Promise.all([starting.catch(() => null), killed]);
    await sleep(LAST_BYTES_MS);
    this.#life += 1;
  }

  async #killAgainAndAgain(): Promise<void> {
    const { kills, seconds = Number.POSITIVE_INFINITY } = this.#options;
    const endsAtMs = Date.now() + seconds * 1_000;
    while (this.#crashes.length < kills && Date.now() < endsAtMs) {
      await this.#fillBacklog();
      await sleep(this.#chance.between(0, MAX_LIFE_MS));
      await this.#crash();
      while (this.#crashes.length < kills && this.#chance.happens(EARLY_KILLS)) {
        await this.#startAndKillEarly();
      }
      await this.#start();
      if (this.#crashes.length % 10 === 0) this.#say(`${this.#crashes.length} kills`);
    }
  }

  // --- what is owed -------------------------------------------------------------------------------------------

  /** Those that answer. */
  get #answering(): Service[] {
    return this.#services.filter(({ hangs }) => !hangs);
  }

  #smallestBacklog(): number {
    return Math.min(...this.#answering.map((service) => waiting(service).length));
  }

  /** While it fills, nothing goes out: a slow machine delivers as fast as it can be sent to. */
  async #fillBacklog(): Promise<void> {
    if (this.#smallestBacklog() >= MIN_BACKLOG) return;
    await this.#eachWebhook("pause");
    while (this.#smallestBacklog() < MIN_BACKLOG) await this.#send();
    await this.#eachWebhook("resume");
  }

  async #eachWebhook(act: "pause" | "resume"): Promise<void> {
    for (const { webhookId } of this.#answering) {
      await this.#relay.call(`/webhooks/${webhookId}/${act}`, {});
    }
  }

  /** Sends a set of new events, some old ones again, and waits until every Subscriber has them. */
  async #send(): Promise<void> {
    const sinceMs = Date.now();
    const old = [...this.#bodies.values()];
    const repeats =
      old.length === 0 ? [] : this.#times(REPEATS_PER_SET, () => this.#chance.pick(old));
    const bodies = this.#times(this.#options.setSize ?? SET_SIZE, () => this.#newBody());
    await mapInParallel(repeats, PARALLEL_CALLS, (body) => this.#relay.accept(body));
    await mapInParallel(bodies, PARALLEL_CALLS, async (body) => {
      this.#bodies.set(await this.#relay.accept(body), body);
    });
    await Promise.all(this.#services.map((service) => this.#whenAccepted(service, sinceMs)));
  }

  #times<T>(count: number, make: () => T): T[] {
    return Array.from({ length: count }, make);
  }

  #newBody(): Buffer {
    const kind = this.#chance.weighted([
      [3, "message.sent"],
      [1, "message.bounced"],
      [5, "reply.received"],
      [1, "campaign.started"],
    ] as const);
    const classification = this.#chance.weighted([
      [3, "interested"],
      [1, "not_interested"],
      [1, "out_of_office"],
    ]);
    const indent = this.#chance.pick([0, 2]);
    const end = this.#chance.pick(["", "\n", " \r\n"]);
    return Buffer.from(JSON.stringify(exampleEvent(kind, { classification }), null, indent) + end);
  }

  async #whenAccepted(service: Service, sinceMs: number): Promise<void> {
    const known = new Set(service.owed.map(({ id }) => id));
    const wanted = [...this.#bodies].filter(
      ([id, body]) => !known.has(id) && service.isWanted(JSON.parse(body.toString())),
    );
    const missing = new Map(wanted);
    const path = `/webhooks/${service.webhookId}/deliveries`;
    const query = `?since=${new Date(sinceMs).toISOString()}`;
    const endsAtMs = Date.now() + ACCEPTED_WITHIN_MS;
    for (;;) {
      const newestFirst = await this.#relay.all<Delivery>(path + query);
      const listed = new Set(newestFirst.map(({ eventId }) => eventId));
      if ([...missing.keys()].every((id) => listed.has(id))) {
        for (const { eventId: id } of newestFirst.reverse()) {
          const body = missing.get(id);
          if (body !== undefined) service.owed.push({ id, body });
        }
        return;
      }
      if (Date.now() > endsAtMs) throw new Error(`${service.name} was not given what it wants`);
      await sleep(POLL_MS);
    }
  }

  /** Waits for the services before it asks the relay: a call would wake an object that forgot to wake itself. */
  async #whenSettled(): Promise<void> {
    const endsAtMs = Date.now() + SETTLED_WITHIN_MS;
    while (this.#answering.some((service) => waiting(service).length > 0)) {
      if (Date.now() > endsAtMs) break;
      await sleep(POLL_MS);
    }
    do await sleep(QUIET_MS);
    while ((await this.#countPending()) > 0 && Date.now() < endsAtMs);
  }

  async #countPending(): Promise<number> {
    const lists = this.#answering.map(({ webhookId }) =>
      this.#relay.all<Delivery>(`/webhooks/${webhookId}/deliveries?status=pending`),
    );
    return (await Promise.all(lists)).flat().length;
  }

  // --- restarts -----------------------------------------------------------------------------------------------

  #noteOverdue(upAtMs: number): void {
    this.#overdue = new Map();
    for (const service of this.#answering) {
      const dueAtMs = firstDueAtMs(service);
      if (dueAtMs !== null) this.#overdue.set(service, Math.max(dueAtMs, upAtMs));
    }
  }

  /** How long each service with something overdue has waited in the life that ends now. */
  #noteRestarts(): void {
    if (this.#life === 0) return;
    for (const [service, sinceMs] of this.#overdue) {
      const first = service.requests.find(({ life }) => life === this.#life);
      const waitedMs = Math.max(0, (first?.atMs ?? Date.now()) - sinceMs);
      this.#restarts.push({ life: this.#life, service: service.name, waitedMs });
    }
  }

  // --- the account --------------------------------------------------------------------------------------------

  async #account(): Promise<SideAccount[]> {
    const sides: SideAccount[] = [];
    for (const service of this.#services) {
      const { name, webhookId, ordered, hangs, concurrency, owed, requests } = service;
      const path = `/webhooks/${webhookId}/deliveries`;
      const deliveries = (await this.#relay.all<Delivery>(path)).reverse();
      const reported = await mapInParallel(deliveries, PARALLEL_CALLS, ({ eventId }) =>
        this.#relay.call<ReportedDelivery>(`${path}/${eventId}`),
      );
      const crashes = this.#crashes;
      const side = { name, ordered, hangs, concurrency, owed, requests, reported, crashes };
      sides.push(accountOf(side));
    }
    return sides;
  }

  /** The Journal has every accepted event and no other; nothing was given up on before it reached a Subscriber. */
  async #problemsOfRelay(): Promise<string[]> {
    const recorded = await this.#relay.all<{ id: string }>("/events");
    const letters = await this.#relay.all<{ reason: string }>("/dead-letters");
    const unknown = recorded.filter(({ id }) => !this.#bodies.has(id)).length;
    const missing = this.#bodies.size - (recorded.length - unknown);
    const twice = recorded.length - new Set(recorded.map(({ id }) => id)).size;
    return [
      [missing, "accepted events are not in the journal"] as const,
      [unknown, "events are in the journal that were not accepted"] as const,
      [twice, "events are in the journal twice"] as const,
      [letters.length, "dead letters"] as const,
    ].flatMap(([count, what]) => (count === 0 ? [] : [`relay: ${count} ${what}`]));
  }
}

/** What a service is owed and has not answered with success. */
function waiting({ owed, requests }: Service) {
  const done = new Set(requests.filter(isSuccess).map(({ eventId }) => eventId));
  return owed.filter(({ id }) => !done.has(id));
}

/** When the first waiting delivery is due at the latest, Unix milliseconds; null when none waits. */
function firstDueAtMs(service: Service): number | null {
  const left = waiting(service);
  const lastRequests = new Map(service.requests.map((request) => [request.eventId, request]));
  const dues = left.slice(0, service.ordered ? 1 : undefined).map(({ id }) => {
    const last = lastRequests.get(id);
    if (last === undefined) return 0;
    const delayMs = typeof last.answer === "object" ? (last.answer.delayMs ?? 0) : 0;
    return last.atMs + delayMs + MAX_RETRY_WAIT_MS;
  });
  return dues.length === 0 ? null : Math.min(...dues);
}

function errorsAmong(complaints: readonly string[]): string[] {
  return complaints.filter((line) => !line.includes('"level":"warning"'));
}

function sum(sides: readonly SideAccount[], field: "owed" | "duplicates"): number {
  return sides.reduce((total, side) => total + side[field], 0);
}
