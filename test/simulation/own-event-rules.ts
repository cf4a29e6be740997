/**
 * What must hold of the relay's own events (docs/contract.md): what happened is told to those who ask for it, for as
 * long as they do, at most once a minute for each webhook and kind; and nothing else is.
 */
import type { DeadLetterNews } from "../../src/domain/dead-letter";
import { aboutOf, asksFor, isOwn, OWN_EVENTS, type SourceEvent } from "./events";
import { type Evidence, type Happening, keyOf } from "./evidence";
import { Look } from "./look";
import type { SimulatedObject } from "./objects";

const MINUTE_MS = 60_000;

/** What an own event says beside its health. */
type Said = {
  count: number;
  delivery?: { event: string; webhookId: string };
  deadLetter?: { id: string; event: string | null };
};

/** What the queue was given of one kind about one webhook. */
type Told = {
  /** By event id: the same once more is no second event. */
  counts: Map<string, number>;
  /** The last of which the Registry heard that the queue has it, and how often it had crashed by then. */
  heard: { id: string; atMs: number; crashes: number } | null;
};

export class OwnEventRules {
  readonly #evidence: Evidence;
  readonly #told = new Map<string, Told>();
  /** How much of each the Registry was told, repeats included. */
  readonly #heard = new Map<string, number>();
  readonly #letters = new Set<string>();
  #lettersWrites = -1;
  /** How many left the Registry, and of how many it heard that the queue has them. */
  #left = 0;
  #known = 0;
  #refused = 0;

  constructor(evidence: Evidence) {
    this.#evidence = evidence;
  }

  get #registry(): SimulatedObject | null {
    return this.#evidence.world.objectOf("Registry", "registry");
  }

  /** What the Registry's disk did not take is gone as after a crash. */
  get #crashes(): number {
    return (this.#registry?.crashes ?? 0) + this.#refused;
  }

  /** Of the Registry. */
  writeRefused(): void {
    this.#refused += 1;
  }

  /** After every step. */
  check({ className, storage }: SimulatedObject): void {
    if (className !== "DeadLetters" || storage.writes === this.#lettersWrites) return;
    this.#lettersWrites = storage.writes;
    for (const { id } of Look.at(storage, "live").deadLetters()) this.#letters.add(id);
  }

  /** The Registry is told. */
  called(method: string, args: unknown[]): void {
    if (method === "happened") {
      const [{ webhookId, told }] = args as [
        { webhookId: string; told: { event: string; count: number }[] },
      ];
      for (const { event, count } of told) this.#hears(keyOf(event, webhookId), count);
    }
    if (method === "deadLettersAdded") {
      const [letters] = args as [DeadLetterNews[]];
      const count = letters.filter(({ event }) => event === null || !isOwn({ name: event })).length;
      this.#hears(keyOf("relay.dead_letter.added", null), count);
    }
  }

  #hears(key: string, count: number): void {
    this.#heard.set(key, (this.#heard.get(key) ?? 0) + count);
  }

  /** The Registry sends it. What it did not hear of, or had not written when a crash came, it sends again. */
  leaves(event: SourceEvent): void {
    const key = keyOf(event.name, aboutOf(event));
    const { heard } = this.#toldOf(key);
    this.#left += 1;
    this.#checkSaid(event, key);
    if (heard === null || heard.crashes !== this.#crashes) return;
    this.#evidence.require(
      event.id !== heard.id,
      "an own event is sent once",
      `${key} is sent again, as ${event.id}`,
    );
    const sinceMs = this.#evidence.nowMs - heard.atMs;
    this.#evidence.require(
      sinceMs >= MINUTE_MS,
      "an own event a minute at most",
      `${key} is sent ${sinceMs} ms after the one before`,
    );
  }

  /** The queue has it. */
  taken(event: SourceEvent): void {
    const { counts } = this.#toldOf(keyOf(event.name, aboutOf(event)));
    counts.set(event.id, (event.envelope.data as Said).count);
  }

  /** The Registry knows that the queue has it. */
  heard(event: SourceEvent): void {
    this.#known += 1;
    const told = this.#toldOf(keyOf(event.name, aboutOf(event)));
    told.heard = { id: event.id, atMs: this.#evidence.nowMs, crashes: this.#crashes };
  }

  #toldOf(key: string): Told {
    const told = this.#told.get(key) ?? { counts: new Map<string, number>(), heard: null };
    this.#told.set(key, told);
    return told;
  }

  #checkSaid({ name, envelope }: SourceEvent, key: string): void {
    const { count, delivery, deadLetter } = envelope.data as Said;
    const about = () => `${key}: ${JSON.stringify(envelope.data)}`;
    this.#evidence.require(count >= 1, "an own event counts what happened", about);
    const happened =
      deadLetter === undefined
        ? this.#evidence.everHappened.has(key) || this.#evidence.uncounted.has(key)
        : this.#letters.has(deadLetter.id);
    const isKnown = OWN_EVENTS.some((each) => each === name);
    this.#evidence.require(isKnown && happened, "an own event tells what happened", about);
    const of = delivery?.event ?? deadLetter?.event ?? "";
    this.#evidence.require(!isOwn({ name: of }), "no own event is about an own event", about);
  }

  /** Call it when the instance is gone and the storage is what was on disk: what was not there has not happened. */
  crashed(object: SimulatedObject): void {
    const look = Look.at(object.storage, "live");
    const { happenings } = this.#evidence;
    const left = happenings.filter((each) => each.object !== object || each.isLeft(look));
    const isOnDisk = () => true;
    happenings.length = 0;
    for (const each of left) {
      happenings.push(each.object === object ? { ...each, isLeft: isOnDisk } : each);
    }
  }

  // --- in the end -------------------------------------------------------------------------------------------

  checkAtRest(): void {
    const byKey = new Map<string, Happening[]>();
    for (const each of this.#evidence.happenings) {
      const key = keyOf(each.event, each.subject);
      byKey.set(key, [...(byKey.get(key) ?? []), each]);
    }
    for (const key of new Set([...byKey.keys(), ...this.#told.keys()])) {
      if (!this.#evidence.uncounted.has(key)) this.#checkTold(key, byKey.get(key) ?? []);
    }
  }

  #checkTold(key: string, happened: readonly Happening[]): void {
    const told = [...(this.#told.get(key)?.counts.values() ?? [])].reduce((a, b) => a + b, 0);
    const owed = happened.filter((each) => this.#isOwed(each)).length;
    const about = () =>
      `${key} happened ${happened.length} times, is owed ${owed} and told ${told}`;
    this.#evidence.require(told >= owed, "what happened is told", about);
    // A dead letter, and what the Registry was told twice, is counted by what it heard.
    const isExact = !this.#evidence.world.hasFaults && happened.length > 0;
    const most = isExact ? happened.length : this.#heard.get(key);
    const mayRepeat = this.#left > this.#known || this.#crashes > 0;
    if (most === undefined || mayRepeat) return;
    this.#evidence.require(told <= most, "what happened is told as often", about);
  }

  /** Whether somebody asked for it all the time, and its webhook is still there. */
  #isOwed({ event, subject, routing }: Happening): boolean {
    return this.#evidence.routings
      .slice(routing)
      .every(
        (webhooks) =>
          webhooks.some(({ id }) => id === subject) &&
          webhooks.some((webhook) => webhook.id !== subject && asksFor(webhook, event)),
      );
  }
}
