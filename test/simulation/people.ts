/** What people do at random moments, through the same calls as the API. */
import type { WebhookChanges, WebhookDraft } from "../../src/domain/webhook";
import { redriveDeadLetter, redriveDeadLetters } from "../../src/operations/dead-letters";
import { replay, retryDelivery } from "../../src/operations/deliveries";
import {
  type ErasureCursor,
  eraseEvent,
  erasePerson,
  replayEvent,
} from "../../src/operations/events";
import { metrics } from "../../src/operations/metrics";
import type { Chance } from "./chance";
import { aboutOf, EVENT_NAMES, FILTERS, isOwn, someOwnEvents } from "./events";
import type { AcceptedEvent } from "./evidence";
import type { Invariants } from "./invariants";
import type { Listeners } from "./listeners";
import { TEMPERS, type Temper } from "./network";
import type { Owner, Scheduler } from "./scheduler";

type Registry = InstanceType<typeof import("../../src/actors/registry").Registry>;
type Changed = Awaited<ReturnType<Registry["update"]>>;

const BY = { key: "somebody" };

export type PeopleHost = {
  scheduler: Scheduler;
  chance: Chance;
  env: Env;
  invariants: Invariants;
  accepted: ReadonlyMap<string, AcceptedEvent>;
  tempers: readonly Temper[];
  wantsLanes: boolean;
  /** What decides about erasing persons, and about replaying and redriving many; null where nobody does. */
  upkeep: Chance | null;
  /** null where nobody listens. */
  listeners: Listeners | null;
  /** What decides about asking for the relay's own events; null where nobody does. */
  ownEvents: Chance | null;
};

export class People {
  readonly #host: PeopleHost;
  readonly #known: string[] = [];
  readonly #listeners = new Set<string>();
  #acts = 0;
  #places = 0;

  constructor(host: PeopleHost) {
    this.#host = host;
  }

  /** Does `act` as a caller of its own; that an answer is lost is a person's lot. */
  #as(what: string, act: () => Promise<void>): void {
    const { scheduler } = this.#host;
    this.#acts += 1;
    const owner: Owner = { name: `person#${this.#acts}`, alive: true };
    scheduler.after(0, owner, what, () => {
      act().catch((thrown: unknown) => scheduler.note(`${what} failed: ${String(thrown)}`, owner));
    });
  }

  get #registry() {
    return this.#host.env.REGISTRY.getByName("registry");
  }

  register(): void {
    const { chance, listeners } = this.#host;
    const draft = this.#draft(chance.pick(this.#host.tempers));
    const isListener = listeners !== null && chance.happens(0.6);
    if (isListener) draft.url = "listener:";
    this.#as("registers a webhook", async () => {
      const { webhook } = await this.#registry.create(draft, null, BY);
      this.#known.push(webhook.id);
      if (!isListener) return;
      this.#listeners.add(webhook.id);
      listeners.come(webhook.id);
    });
  }

  /** Prometheus comes by. */
  scrape(last = false): void {
    const { env, invariants } = this.#host;
    this.#as("scrapes", async () => {
      const scraped = invariants.counters.begins();
      const families = await metrics(env);
      scraped(families);
      if (last) invariants.counters.checkAtRest(families);
    });
  }

  resumeAll(): void {
    for (const id of this.#known) {
      this.#as("resumes", async () =>
        this.#told(id, (await this.#registry.resume(id, BY)) as Changed),
      );
    }
  }

  /**
   * Pauses every webhook, so that what comes is held, and some of it discarded; when the rest has expired, some of what
   * was discarded is opened again, some of that twice, and what has expired stays as it is.
   */
  hoard(retentionMs: number): void {
    const { scheduler, chance } = this.#host;
    const owner: Owner = { name: "hoarder", alive: true };
    // Until it is heard: what is sent meanwhile is one attempt after the other.
    const pause = () =>
      this.#as("pauses", async () => {
        for (const id of this.#known) await this.#registry.pause(id, BY);
        if (this.#known.length === 0) throw new Error("not registered yet");
      });
    for (const delayMs of [1_000, 5_000, 10_000, 15_000]) {
      scheduler.after(delayMs, owner, "pauses", pause);
    }
    const discard = () =>
      this.#as("discards many", async () => {
        for (const id of this.#known) {
          await this.#host.env.SUBSCRIBER.getByName(id).discard({ limit: 1_000 }, false);
        }
      });
    scheduler.after(0.9 * retentionMs, owner, "discards many", discard);
    for (const share of [1.01, 1.3, 2.1]) {
      const delayMs = share * retentionMs + chance.between(0, 3_600_000);
      scheduler.after(delayMs, owner, "reopens many", () => this.#reopenMany());
    }
  }

  #reopenMany(): void {
    const { chance, env, accepted } = this.#host;
    const events = [...accepted.values()].filter(() => chance.happens(0.5));
    for (const id of this.#known) {
      for (let from = 0; from < events.length; from += REOPENED_AT_ONCE) {
        const deliveries = events.slice(from, from + REOPENED_AT_ONCE).map(({ event }) => ({
          id: event.id as never,
          event: event.name,
          body: event.body,
        }));
        this.#as("reopens many", async () => {
          await env.SUBSCRIBER.getByName(id).reopen({ deliveries, by: "replay" });
        });
      }
    }
  }

  redriveAll(): void {
    const { env } = this.#host;
    this.#as("redrives all", async () => {
      await redriveDeadLetters(env, { reason: null, dryRun: false, cursor: null, by: BY });
    });
  }

  act(): void {
    const { chance } = this.#host;
    if (this.#known.length === 0) return;
    const { upkeep } = this.#host;
    if (upkeep?.happens(0.3)) this.#keepUp(upkeep);
    if (this.#listeners.size > 0 && chance.happens(0.4)) {
      this.#host.listeners?.come(chance.pick([...this.#listeners]));
      return;
    }
    const id = chance.pick(this.#known);
    const event = this.#anyEvent();
    const kind = chance.weighted(ACTS);
    if (event === null && ON_EVENTS.has(kind)) return;
    const what = `${kind} ${id} ${event?.event.id ?? ""}`;
    const act = () => this.#do(kind, id, event);
    if (HANDING_OVER.has(kind)) this.#handsOver(what, act);
    else this.#as(what, act);
  }

  async #do(kind: Act, id: string, event: AcceptedEvent | null): Promise<void> {
    const { chance, env } = this.#host;
    const registry = this.#registry;
    switch (kind) {
      case "update":
        return this.#told(id, (await registry.update(id, this.#changes(id), BY)) as Changed);
      case "pause":
        return this.#told(id, (await registry.pause(id, BY)) as Changed);
      case "resume":
        return this.#told(id, (await registry.resume(id, BY)) as Changed);
      case "rotate": {
        const graceMs = chance.pick([0, 1_000, 86_400_000]);
        const rotated = await registry.rotateSecret(id, { graceMs, signingSecret: null }, BY);
        return this.#told(id, rotated as Changed);
      }
      case "remove": {
        const removed = await registry.remove(id, BY);
        if (removed.ok) this.#host.invariants.inForce(id, Number.POSITIVE_INFINITY);
        return;
      }
      case "test": {
        await env.SUBSCRIBER.getByName(id).sendTest({
          event: "message.sent",
          body: new TextEncoder().encode('{"event":"message.sent","data":{}}'),
        });
        return;
      }
      case "look":
        return this.#look(id, event);
      case "discard": {
        await env.SUBSCRIBER.getByName(id).discard({ limit: 2 }, chance.happens(0.3));
        return;
      }
      default:
        if (event !== null) await this.#doTo(kind, id, event);
    }
  }

  async #doTo(kind: Act, webhookId: string, accepted: AcceptedEvent): Promise<void> {
    const { chance, env } = this.#host;
    const id = accepted.event.id as never;
    const subscriber = env.SUBSCRIBER.getByName(webhookId);
    switch (kind) {
      case "retry":
        await retryDelivery(env, { id: webhookId } as never, { id, by: BY });
        return;
      case "reopen": {
        // Whoever names a webhook may: the judge could not tell it from the relay's doing.
        if (aboutOf(accepted.event) === webhookId) return;
        const given = chance.happens(0.2) ? null : chance.pick(accepted.bodies);
        // Of an erased person nobody has one.
        const body = this.#host.invariants.isErased(id) ? null : given;
        const by = chance.pick(["retry", "replay"] as const);
        const deliveries = [{ id, event: accepted.event.name, body }];
        await subscriber.reopen({ deliveries, by });
        return;
      }
      case "replay": {
        await replayEvent(env, { id, webhookIds: null, by: BY });
        return;
      }
      case "cancel": {
        await subscriber.cancel(id);
        return;
      }
      case "erase":
        await eraseEvent(env, { id, by: BY });
        return;
      case "redrive": {
        const store = env.DEAD_LETTER_STORE.getByName("dead-letters");
        const [letter] = await store.list(null, 5);
        if (letter !== undefined) await redriveDeadLetter(env, { id: letter.id, by: BY });
        return;
      }
      default:
    }
  }

  async #look(id: string, event: AcceptedEvent | null): Promise<void> {
    const { chance, env, scheduler } = this.#host;
    const subscriber = env.SUBSCRIBER.getByName(chance.happens(0.3) ? "wh_unknown" : id);
    const journal = env.JOURNAL.getByName(chance.pick(["2020-01-01", "2026-11-23"]));
    const eventId = (event?.event.id ?? "evt_unknown") as never;
    await chance.pick([
      () => subscriber.deliveries({ limit: 3 }),
      () => subscriber.deliveries({ limit: 3, status: "pending" }),
      () => subscriber.delivery(eventId),
      () => subscriber.missing([eventId]),
      () => subscriber.stats(0),
      () => subscriber.check(),
      () => journal.list({ limit: 3 }),
      () => journal.get(eventId),
      () => journal.stats([scheduler.nowMs]),
      () => env.DEAD_LETTER_STORE.getByName("dead-letters").list(null, 3),
      () => env.DEAD_LETTER_STORE.getByName("dead-letters").stats(),
      () => this.#registry.list(null, 3),
    ] as (() => Promise<unknown>)[])();
  }

  #keepUp(chance: Chance): void {
    const { env } = this.#host;
    const event = this.#anyEvent(chance);
    const id = chance.pick(this.#known);
    if (event !== null && chance.happens(0.5)) {
      // The relay's own events are about nobody.
      if (isOwn(event.event)) return;
      const { email } = event.event.envelope.data.lead as { email: string };
      this.#as(`erases ${email}`, () => this.#erase(email));
    } else if (chance.happens(0.5)) {
      this.#handsOver("redrives many", async () => {
        await redriveDeadLetters(env, { reason: null, dryRun: false, cursor: null, by: BY });
      });
    } else {
      const only = chance.pick(["all", "undeliverable", "missing"] as const);
      this.#handsOver(`replays ${only} of ${id}`, () => this.#replay(id, only));
    }
  }

  async #replay(id: string, only: "all" | "undeliverable" | "missing"): Promise<void> {
    const { env, scheduler } = this.#host;
    const webhook = await this.#registry.get(id);
    if (webhook === null) return;
    const [sinceMs, untilMs] = [scheduler.startMs, scheduler.nowMs];
    const asked = { sinceMs, untilMs, only, dryRun: false, cursor: null, by: BY };
    await replay(env, webhook as never, asked);
  }

  /** As README says: until it answers `next: null, queued: false`; patience has an end. */
  async #erase(email: string): Promise<void> {
    const { env, invariants } = this.#host;
    const isErased = invariants.erasing(email);
    let cursor: ErasureCursor | null = null;
    for (let time = 0; time < 5; time++) {
      const page = await erasePerson(env, { email, cursor, by: BY });
      cursor = page.next;
      if (cursor === null && !page.queued) return isErased();
      if (cursor === null) await new Promise((resolve) => setTimeout(resolve, LATER_MS));
    }
  }

  /** Does what brings bodies to objects. */
  #handsOver(what: string, act: () => Promise<void>): void {
    const isOver = this.#host.invariants.handingOver();
    this.#as(what, () => act().finally(isOver));
  }

  /** An answer that says so is a promise: the change is in force. */
  #told(id: string, changed: Changed): void {
    if (changed.ok) this.#host.invariants.inForce(id, changed.value.webhook.version);
  }

  #anyEvent(chance = this.#host.chance): AcceptedEvent | null {
    const events = [...this.#host.accepted.values()];
    return events.length === 0 ? null : chance.pick(events);
  }

  #draft(temper: Temper): WebhookDraft {
    const { chance } = this.#host;
    return {
      url: this.#url(temper),
      events: this.#events(),
      description: null,
      filter: chance.happens(0.3) ? chance.pick(FILTERS).filter : null,
      headers: chance.happens(0.3) ? { "x-token": this.#token() } : {},
      rateLimit: chance.happens(0.2) ? chance.pick([0.5, 2, 7, 30]) : null,
      ordered: chance.happens(0.3),
      retrySchedule: chance.happens(0.4) ? chance.pick(SCHEDULES) : null,
      ...(this.#host.wantsLanes && this.#laneSettings()),
      relayHost: "relay.example.com",
    };
  }

  #laneSettings(): WebhookChanges {
    const { chance } = this.#host;
    const [concurrency, ordered] = [chance.pick(CONCURRENCIES), chance.happens(0.05)];
    return { concurrency, ordered, timeout: chance.pick([null, "1s", "20s"]) };
  }

  #url(temper: Temper): string {
    this.#places += 1;
    return `https://svc${this.#places % 3}.example.com/${temper}/${this.#places}`;
  }

  #token(): string {
    return `header-token-${this.#host.chance.between(10 ** 8, 10 ** 9)}`;
  }

  #events(): string[] {
    const { chance, ownEvents } = this.#host;
    if (ownEvents?.happens(0.8)) return someOwnEvents(ownEvents);
    return chance.happens(0.8) ? ["*"] : [chance.pick(EVENT_NAMES)];
  }

  #changes(id: string): WebhookChanges {
    const { chance } = this.#host;
    // What comes of a listener that becomes a service is for the tests of the object.
    if (this.#listeners.has(id)) return { filter: chance.pick(FILTERS).filter };
    return chance.pick<() => WebhookChanges>([
      () => ({ url: this.#url(chance.pick(TEMPERS)) }),
      () => ({ url: this.#url("good"), headers: { "x-token": this.#token() } }),
      () => ({ headers: { "x-token": this.#token() } }),
      () => ({ events: this.#events() }),
      () => ({ filter: chance.pick(FILTERS).filter }),
      () => ({ rateLimit: chance.pick([null, 1, 20]) }),
      () => ({ ordered: chance.happens(0.5) }),
      () => ({ retrySchedule: chance.pick([null, ...SCHEDULES]) }),
      () => (this.#host.wantsLanes ? { concurrency: chance.pick(CONCURRENCIES) } : {}),
      () => (this.#host.wantsLanes ? { giveUpOn: chance.pick([[], [400, 404]]) } : {}),
    ])();
  }
}

const SCHEDULES = ["1s 1s", "5s 1m 5m", "1h", "30s", "6h 6h"] as const;

const CONCURRENCIES = [2, 7, 8, 12, 13, 20, 30] as const;

const ACTS = [
  [6, "update"],
  [3, "pause"],
  [4, "resume"],
  [2, "rotate"],
  [1, "remove"],
  [2, "test"],
  [6, "look"],
  [1, "discard"],
  [2, "retry"],
  [6, "reopen"],
  [1, "replay"],
  [3, "cancel"],
  [1, "erase"],
  [2, "redrive"],
] as const;
type Act = (typeof ACTS)[number][1];
const ON_EVENTS: ReadonlySet<Act> = new Set(["retry", "reopen", "replay", "cancel", "erase"]);
const REOPENED_AT_ONCE = 100;
/** When an erasure is repeated, since something was on its way. */
const LATER_MS = 60_000;
const HANDING_OVER: ReadonlySet<Act> = new Set(["retry", "reopen", "replay", "redrive"]);
