/**
 * One run: objects, queue, services, people and a source of events, all from one seed. First with faults, then
 * without, until everything is at rest. The judge looks after every step.
 */
import { createHash } from "node:crypto";
import { Chance } from "./chance";
import { takeOver } from "./clock";
import { makeEvent, type SourceEvent } from "./events";
import { type AcceptedEvent, Violation } from "./evidence";
import { Invariants } from "./invariants";
import { Listeners } from "./listeners";
import { Look } from "./look";
import { Network } from "./network";
import { Instance, namespaceOf, SimulatedObject } from "./objects";
import { People } from "./people";
import { MAX_STEPS, type OutagePlan, type Plan, planOf, rollbackPlanOf, usualPlanOf } from "./plan";
import { Producer } from "./producer";
import { type Enqueued, SimulatedQueue } from "./queue";
import type { Release } from "./releases";
import { Rollback } from "./rollback";
import { type Deploys, Rollout, type RolloutTally } from "./rollout";
import { type Owner, Scheduler } from "./scheduler";

const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** A Monday evening, so that some runs go over midnight, into the next journal. */
const START_MS = Date.UTC(2026, 10, 23, 23, 58);
/** The longest schedule, for a dozen ordered deliveries one after the other. */
const REST_WITHIN_MS = 12 * DAY_MS;
/** Chance per step that metrics are scraped, where they are. */
const SCRAPE = 0.02;
/** Chance per write that the disk does not take it, where it fails. */
const DISK_FAILS = 0.03;

export type Outcome = {
  seed: number;
  plan: Plan;
  violation: Error | null;
  trace: string[];
  hash: string;
  steps: number;
  attempts: number;
  crashes: number;
  rollout: RolloutTally;
};

class Run {
  readonly #seed: number;
  readonly #plan: Plan;
  readonly #rollout: Deploys;
  readonly #chance: Chance;
  readonly #scheduler: Scheduler;
  readonly #objects = new Map<string, SimulatedObject>();
  readonly #accepted = new Map<string, AcceptedEvent>();
  /** Which events a body, as text, was accepted for. */
  readonly #eventIds = new Map<string, Set<string>>();
  readonly #invariants: Invariants;
  readonly #network: Network;
  readonly #listeners: Listeners;
  readonly #queue: SimulatedQueue;
  readonly #deadLetterQueue: SimulatedQueue;
  /** How the relay sends events of its own. */
  readonly #producer: Producer;
  readonly #outage: OutagePlan | null;
  #outageEndsAtMs: number | null = null;
  readonly #people: People;
  readonly #env: Env;
  #isCalm = false;
  #full: SimulatedObject | null = null;
  /** What decides which write fails; null where none does. */
  readonly #diskFails: Chance | null;
  #crashes = 0;

  /** @param before what it begins with, if not today's code. */
  constructor(seed: number, plan: Plan, before: Release | null) {
    this.#seed = seed;
    this.#plan = plan;
    const chance = new Chance(seed);
    const scheduler = new Scheduler(new Chance(seed + 0.5), START_MS + chance.between(0, 119_000));
    this.#chance = chance;
    this.#scheduler = scheduler;
    const rolls = { plan: plan.rollout, chance: new Chance(seed ^ 0xde91), scheduler };
    const { rollback } = plan;
    this.#rollout =
      rollback === null || before === null
        ? new Rollout(before, rolls)
        : new Rollback(before, { ...rolls, plan: rollback });
    const retentionMs = (plan.retention === "1d" ? 1 : 30) * DAY_MS;
    this.#invariants = new Invariants({
      scheduler,
      objects: this.#objects,
      objectOf: (className, name) => this.#objects.get(`${className} ${name}`) ?? null,
      accepted: this.#accepted,
      hasFaults: plan.faults || before !== null,
      retentionMs,
    });
    const breaks = () => plan.faults && !this.#isCalm;
    const latencyMs = () => this.#latencyMs();
    const isCalm = () => this.#isCalm;
    const host = { scheduler, chance, breaks, isCalm, latencyMs };
    this.#network = new Network(host, this.#invariants.requests);
    this.#listeners = new Listeners(
      { scheduler, chance, isCalm, subscriber: (id) => this.#object("Subscriber", id) },
      this.#invariants.requests,
    );
    // Releases did not bear it everywhere.
    this.#diskFails = plan.diskFails && before === null ? new Chance(seed ^ 0x10e2) : null;
    // 0.1.0 let its retries run out within minutes.
    this.#outage = before === null ? plan.outage : null;
    const queues = {
      scheduler,
      chance,
      breaks,
      consumer: () => (batch: MessageBatch<ArrayBuffer>) => this.#consume(batch),
      acknowledged: (message: Enqueued) => this.#acknowledged(message),
      left: (message: Enqueued, how: "deleted" | "expired") =>
        this.#invariants.leftQueue(message, how, this.#eventIdsOf(message)),
    };
    this.#deadLetterQueue = new SimulatedQueue("leadterra-dead-letters", queues);
    this.#queue = new SimulatedQueue("leadterra-events", queues, this.#deadLetterQueue);
    this.#producer = new Producer({
      scheduler,
      breaks,
      chance: new Chance(seed ^ 0x5e4d),
      leaves: (event) => this.#invariants.ownEvents.leaves(event),
      taken: (event) => this.#acceptOwn(event),
      heard: (event) => this.#invariants.ownEvents.heard(event),
    });
    this.#env = this.#environment();
    this.#people = new People({
      scheduler,
      chance,
      env: this.#env,
      invariants: this.#invariants,
      accepted: this.#accepted,
      tempers: plan.tempers,
      wantsLanes: plan.lanes,
      // 0.1.0 cannot do all of it.
      upkeep: plan.upkeep && before === null ? new Chance(seed ^ 0xca4e) : null,
      // 0.1.0 knows no listeners.
      listeners: plan.listeners && before === null ? this.#listeners : null,
      ownEvents: plan.ownEvents ? new Chance(seed ^ 0x0a5c) : null,
    });
  }

  get #breaks(): boolean {
    return this.#plan.faults && !this.#isCalm;
  }

  // --- wiring -----------------------------------------------------------------------------------------------

  #environment(): Env {
    const namespace = (className: string) =>
      namespaceOf(this.#scheduler, (name) => {
        const object = this.#object(className, name);
        this.#rollout.calls(object);
        return object;
      });
    const environment = {
      REGISTRY: namespace("Registry"),
      SUBSCRIBER: namespace("Subscriber"),
      LANE: namespace("Lane"),
      JOURNAL: namespace("Journal"),
      DEAD_LETTER_STORE: namespace("DeadLetters"),
      EVENTS: {
        send: async (body: Uint8Array) => {
          const { current } = this.#scheduler;
          if (current instanceof Instance) await this.#producer.send(current, body);
          else this.#queue.send(body);
        },
        sendBatch: async (messages: readonly { body: Uint8Array }[]) => {
          for (const { body } of messages) this.#queue.send(body);
        },
        metrics: async () => ({ backlogCount: this.#queue.backlog, backlogBytes: 0 }),
      },
      DEAD_LETTERS: {
        metrics: async () => ({ backlogCount: this.#deadLetterQueue.backlog, backlogBytes: 0 }),
      },
      RETENTION: this.#plan.retention,
      ...(this.#plan.alerts && { ALERT_URL: "https://alerts.example.com/good/hook" }),
    };
    return environment as unknown as Env;
  }

  #object(className: string, name: string): SimulatedObject {
    const key = `${className} ${name}`;
    const known = this.#objects.get(key);
    if (known !== undefined) return known;
    const invariants = this.#invariants;
    const object = new SimulatedObject(
      {
        scheduler: this.#scheduler,
        env: this.#env,
        latencyMs: () => this.#latencyMs(),
        commitLatencyMs: () => this.#chance.between(0, this.#breaks ? 12 : 3),
        alarmLatenessMs: () => this.#alarmLatenessMs(),
        repeatsCall: () => this.#breaks && this.#chance.happens(this.#plan.repeatCall),
        tellsListener: () => !this.#breaks || this.#chance.happens(0.6),
        losesCall: () =>
          this.#isAway(className) || (this.#breaks && this.#chance.happens(this.#plan.loseCall)),
        refusesWrite: (which, sql) => this.#refusesWrite(which, sql),
        called: (which, method, args) => invariants.called(which, method, args),
        ran: (method, tablesMade) => invariants.ranReadOnly(method, tablesMade),
        alarmThrew: (which, thrown) => invariants.alarmThrew(which, thrown),
      },
      this.#rollout.ofObject(className),
      name,
    );
    this.#objects.set(key, object);
    return object;
  }

  #latencyMs(): number {
    if (!this.#breaks) return this.#chance.between(0, 5);
    if (this.#chance.happens(this.#plan.delayCall)) return this.#chance.between(400, 9_000);
    return this.#chance.between(0, this.#chance.happens(0.2) ? 400 : 5);
  }

  #alarmLatenessMs(): number {
    return this.#breaks && this.#chance.happens(0.1) ? this.#chance.between(0, 30_000) : 0;
  }

  #refusesWrite(object: SimulatedObject, sql: string): string | null {
    if (this.#breaks && this.#diskFails?.happens(DISK_FAILS)) {
      this.#scheduler.note(`the disk fails: ${sql.slice(0, 40)}`);
      this.#invariants.writeRefused(object);
      return "disk I/O error: SQLITE_IOERR";
    }
    if (!this.#breaks || object !== this.#full) return null;
    if (/^\s*(drop|delete)\b/i.test(sql)) {
      // What is dropped makes room.
      this.#full = null;
      return null;
    }
    this.#invariants.writeRefused(object);
    return "database or disk is full: SQLITE_FULL";
  }

  async #consume(batch: MessageBatch<ArrayBuffer>): Promise<void> {
    if (this.#isOutage && this.#outage?.away === null) throw new Error("this deploy throws");
    await this.#rollout.ofInvocation().consume(batch, this.#env, AFTERWARDS);
  }

  #acknowledged(message: Enqueued): void {
    for (const id of this.#eventIdsOf(message)) this.#invariants.acknowledged(message, id);
  }

  #eventIdsOf({ body }: Enqueued): string[] {
    return [...(this.#eventIds.get(textOf(body)) ?? [])];
  }

  // --- the source -------------------------------------------------------------------------------------------

  #startSource(): void {
    const span = this.#plan.burst ? 0 : this.#chance.pick([0, 2_000, 60_000, 300_000]);
    for (let number = 0; number < this.#plan.events; number++) {
      const event = makeEvent(this.#chance, number);
      const repeats = this.#plan.hoards ? 0 : 1;
      const copies = this.#chance.weighted([
        [6, 1],
        [2 * repeats, 2],
        [repeats, 3],
      ]);
      for (let copy = 0; copy < copies; copy++) {
        const again = copy > 0 && event.name !== "campaign.started" && this.#chance.happens(0.3);
        const sent = again ? makeEvent(this.#chance, number, copy) : event;
        const delayMs =
          (this.#plan.hoards ? HOARDED_AFTER_MS : 500) + this.#chance.between(0, span);
        this.#scheduler.after(delayMs, this.#scheduler.platform, `event ${event.id}`, () =>
          this.#accept(sent),
        );
      }
    }
  }

  /** The answer is 202 once the queue has it. */
  #accept(event: SourceEvent): void {
    const known = this.#accepted.get(event.id);
    const atMs = this.#scheduler.nowMs;
    if (known === undefined) this.#accepted.set(event.id, { event, bodies: [event.body], atMs });
    else known.bodies.push(event.body);
    const text = textOf(event.body);
    this.#eventIds.set(text, (this.#eventIds.get(text) ?? new Set()).add(event.id));
    this.#invariants.sentAnew(event.id);
    this.#queue.send(event.body);
  }

  #acceptOwn(event: SourceEvent): void {
    this.#invariants.ownEvents.taken(event);
    this.#accept(event);
  }

  // --- faults -----------------------------------------------------------------------------------------------

  get #isOutage(): boolean {
    return this.#scheduler.nowMs < (this.#outageEndsAtMs ?? 0);
  }

  #isAway(className: string): boolean {
    return this.#isOutage && (this.#outage?.away?.includes(className) ?? false);
  }

  #beginOutage(): void {
    if (this.#outage === null || this.#outageEndsAtMs !== null) return;
    if (this.#scheduler.steps < this.#outage.afterSteps) return;
    this.#scheduler.note(`an outage begins: ${this.#outage.away ?? "a deploy that throws"}`);
    this.#outageEndsAtMs = this.#scheduler.nowMs + this.#outage.hours * HOUR_MS;
  }

  #stir(): void {
    const { jump, act, people, repeatAlarm, fillsUp } = this.#plan;
    const chance = this.#chance;
    this.#beginOutage();
    if (people && chance.happens(act)) this.#people.act();
    if (this.#plan.scrapes && chance.happens(SCRAPE)) this.#people.scrape();
    for (const object of this.#rollout.goOn(this.#objects.values())) {
      this.#invariants.crashed(object);
    }
    if (!this.#plan.faults) return;
    if (chance.happens(this.#crashChance)) this.#crashSomething();
    if (chance.happens(jump)) this.#jump();
    if (this.#objects.size > 0 && chance.happens(repeatAlarm)) {
      chance.pick([...this.#objects.values()]).fireAgain();
    }
    if (fillsUp && chance.happens(0.02)) {
      this.#full = this.#full === null ? this.#anyObject("Subscriber") : null;
    }
  }

  /** Often while the hoard moves on. */
  get #crashChance(): number {
    const { crash, hoards } = this.#plan;
    return hoards && this.#scheduler.nowMs > this.#scheduler.startMs + DAY_MS ? 0.1 : crash;
  }

  #anyObject(className: string): SimulatedObject | null {
    const objects = [...this.#objects.values()].filter((each) => each.className === className);
    return objects.length === 0 ? null : this.#chance.pick(objects);
  }

  #crashSomething(): void {
    const living = [...this.#objects.values()].filter(({ instance }) => instance !== null);
    const subscribers = living.filter(({ className }) => /^(Subscriber|Lane)$/.test(className));
    const queue = this.#queue.consumers.length > 0 ? this.#queue : this.#deadLetterQueue;
    const { consumers } = queue;
    if (consumers.length > 0 && this.#chance.happens(0.2)) {
      const consumer = this.#chance.pick(consumers);
      this.#scheduler.note("crashes", consumer);
      queue.crash(consumer);
    } else if (living.length > 0) {
      const some = subscribers.length > 0 && this.#chance.happens(0.6) ? subscribers : living;
      const object = this.#chance.pick(some);
      this.#scheduler.note(`crashes ${object.className} ${object.name}`);
      this.#crashes += 1;
      object.crash();
      this.#invariants.crashed(object);
    }
  }

  /** Longer ones would be longer than what must be kept. */
  #jump(): void {
    const jumpMs = this.#chance.pick([30_000, 600_000, 7_200_000, 6 * DAY_MS]);
    if (this.#scheduler.jumpedMs + jumpMs > 14 * DAY_MS) return;
    this.#scheduler.jumpedMs += jumpMs;
    this.#scheduler.note(`the clock jumps by ${jumpMs} ms`);
    this.#scheduler.nowMs += jumpMs;
  }

  #startSweeps(): void {
    const owner: Owner = { name: "sweep", alive: true };
    const next = () =>
      this.#scheduler.after(300_000, owner, "cron", () => {
        if (this.#isCalm) return;
        next();
        this.#rollout
          .ofInvocation()
          .sweep(this.#env)
          .catch(() => {});
      });
    next();
  }

  // --- the run ----------------------------------------------------------------------------------------------

  async go(): Promise<Outcome> {
    const scheduler = this.#scheduler;
    // Before time and hashes are the scheduler's, which does not run yet.
    for (const { consume } of this.#rollout.releases) await forgetRoutes(consume);
    const restore = takeOver({
      scheduler,
      chance: this.#chance,
      slowCrypto: this.#plan.slowCrypto,
      fetch: (input, init) => this.#network.fetch(input, init),
      sockets: { scheduler, latencyMs: () => this.#latencyMs() },
      AbortController: this.#listeners.Controller,
      log: (line) => {
        scheduler.note(line);
        this.#invariants.logged(line);
      },
    });
    let violation: Error | null = null;
    try {
      for (let count = 0; count < this.#plan.webhooks; count++) this.#people.register();
      if (this.#plan.hoards) this.#people.hoard(DAY_MS);
      if (this.#plan.sweeps) this.#startSweeps();
      this.#startSource();
      await this.#untilCalm();
      this.#calm();
      await this.#untilAtRest();
      for (let time = 0; time < MAX_RETURNS && this.#listenersComeBack(); time++) {
        await this.#untilAtRest();
      }
      this.#invariants.checkAtRest();
      if (this.#outage !== null) await this.#redriveAll();
      if (this.#plan.scrapes) {
        this.#people.scrape(true);
        await this.#untilAtRest();
      }
      this.#throwViolation();
    } catch (thrown) {
      violation = thrown as Error;
    } finally {
      restore();
      for (const object of this.#objects.values()) object.storage.close();
    }
    return {
      seed: this.#seed,
      plan: this.#plan,
      violation,
      trace: scheduler.trace,
      hash: createHash("sha256").update(scheduler.trace.join("\n")).digest("hex"),
      steps: scheduler.steps,
      attempts: this.#invariants.requests.attempts,
      crashes: this.#crashes,
      rollout: this.#rollout.tally,
    };
  }

  /** What waits as a dead letter gets to where it belongs. */
  async #redriveAll(): Promise<void> {
    this.#scheduler.nowMs = Math.max(this.#scheduler.nowMs, this.#outageEndsAtMs ?? 0);
    this.#invariants.redrives();
    this.#people.redriveAll();
    await this.#untilAtRest();
    this.#invariants.checkRedriven();
    this.#invariants.checkAtRest();
  }

  async #untilCalm(): Promise<void> {
    const sourceEndsMs = this.#scheduler.nowMs + 301_000;
    for (;;) {
      const nextMs = this.#scheduler.nextAtMs();
      const over = this.#scheduler.steps > this.#plan.faultySteps;
      if (nextMs === null || (over && this.#scheduler.nowMs > sourceEndsMs)) return;
      if (nextMs > this.#scheduler.startMs + this.#scheduler.jumpedMs + 5 * DAY_MS) return;
      if (!over) this.#stir();
      await this.#step();
    }
  }

  #calm(): void {
    this.#scheduler.note("the faults end");
    this.#isCalm = true;
    for (const object of this.#rollout.end(this.#objects.values()))
      this.#invariants.crashed(object);
    if (this.#chance.happens(0.5)) this.#people.resumeAll();
    // Also to one that was made although its maker did not hear of it.
    for (const { className, name, storage } of [...this.#objects.values()]) {
      if (className !== "Subscriber") continue;
      const settings = Look.at(storage, "disk").settings();
      if (settings !== null && "url" in settings && settings.url === "listener:") {
        this.#listeners.come(name);
      }
    }
  }

  /** What the queue brought late may have come when the last listener had gone. Whether somebody comes for it. */
  #listenersComeBack(): boolean {
    const missed = [...this.#objects.values()].filter((object) => isMissed(object));
    for (const { name } of missed) this.#listeners.come(name);
    return missed.length > 0;
  }

  async #untilAtRest(): Promise<void> {
    const endMs = this.#scheduler.nowMs + REST_WITHIN_MS;
    for (;;) {
      const nextMs = this.#scheduler.nextAtMs();
      if (nextMs === null || nextMs > endMs) return;
      await this.#step();
    }
  }

  async #step(): Promise<void> {
    // A listener says three times a minute that it is there, also while its service is waited for for days.
    const most = this.#plan.listeners ? 2 * MAX_STEPS : MAX_STEPS;
    if (this.#scheduler.steps > most) {
      throw new Violation("comes to rest", `not after ${most} steps`);
    }
    await this.#scheduler.step();
    const looksNow = this.#scheduler.steps % STEPS_BETWEEN_LOOKS === 0;
    if (looksNow && !this.#plan.looksAlways) this.#invariants.look();
    this.#invariants.check();
    if (this.#plan.looksAlways) await this.#look();
    this.#throwViolation();
  }

  /** After the rules have seen how things stand: a look sets the alarm where it is missing. */
  async #look(): Promise<void> {
    for (const look of this.#invariants.looks()) {
      await this.#scheduler.between(look.owner, look.run);
    }
  }

  #throwViolation(): void {
    if (this.#invariants.violation !== null) throw this.#invariants.violation;
  }
}

const MAX_RETURNS = 3;
/** The webhook is there by then, and paused. */
const HOARDED_AFTER_MS = 20_000;

/** Whether something waits here for a listener, and nobody listens. */
function isMissed({ className, storage, isListenedTo }: SimulatedObject): boolean {
  if (className !== "Subscriber" || isListenedTo) return false;
  const look = Look.at(storage, "disk");
  const settings = look.settings();
  if (settings === null || !("url" in settings) || settings.url !== "listener:") return false;
  return settings.status === "active" && look.hasPending;
}

/** A look reads every row, and wakes the object: in most runs nobody helps so often. */
const STEPS_BETWEEN_LOOKS = 250;

function textOf(body: Uint8Array): string {
  return Buffer.from(body).toString("latin1");
}

/** What a batch leaves to be done after it runs on by itself. */
const AFTERWARDS = { waitUntil: (_work: Promise<unknown>) => {} };

/** The consumer's isolate keeps the routing table between batches; each run begins with a new isolate. */
async function forgetRoutes(consume: Release["consume"]): Promise<void> {
  const nowhere = { getByName: () => ({ record: async () => ({ webhookIds: [[]] }) }) };
  const registry = { getByName: () => ({ routing: async () => ({ version: -1, routes: [] }) }) };
  const { body } = makeEvent(new Chance(0), 1);
  const message = { id: "m0", timestamp: new Date(0), body, attempts: 1, ack() {}, retry() {} };
  const batch = { queue: "leadterra-events", messages: [message] };
  await consume(
    batch as unknown as MessageBatch<ArrayBuffer>,
    { REGISTRY: registry, JOURNAL: nowhere } as unknown as Env,
    AFTERWARDS,
  );
}

/** @param before the release that it begins with; null when it is all today's code. */
export function run(seed: number, before: Release | null = null): Promise<Outcome> {
  return new Run(seed, before === null ? planOf(seed) : usualPlanOf(seed), before).go();
}

export function runRollback(seed: number, later: Release): Promise<Outcome> {
  return new Run(seed, rollbackPlanOf(seed), later).go();
}
