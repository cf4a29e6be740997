/** What must hold on the way to the Subscribers: matching, the Journal, and when a message is acknowledged. */
import type { Webhook } from "../../src/domain/webhook";
import { isOwn, wants } from "./events";
import type { Evidence } from "./evidence";
import { Look } from "./look";
import type { SimulatedObject } from "./objects";
import type { Enqueued } from "./queue";

const DAY_MS = 86_400_000;

export class RoutingRules {
  readonly #evidence: Evidence;
  #statuses = new Map<string, Webhook["status"]>();
  #registryWrites = -1;
  readonly #journals = new Map<string, { writes: number; lists: Map<string, string> }>();

  constructor(evidence: Evidence) {
    this.#evidence = evidence;
  }

  check(object: SimulatedObject): void {
    if (object.className === "Registry") this.#checkRegistry(object);
    if (object.className === "Journal") this.#checkJournal(object);
  }

  #checkRegistry(object: SimulatedObject): void {
    const { storage } = object;
    if (storage.writes === this.#registryWrites) return;
    this.#registryWrites = storage.writes;
    const stored = Look.at(storage, "live").webhooks();
    const present = new Set(stored.map(({ id }) => id));
    for (const id of this.#evidence.versions.keys())
      if (!present.has(id)) this.#evidence.deleted.add(id);
    const webhooks: Webhook[] = [];
    for (const { id, webhook } of stored) {
      if (webhook === null) {
        this.#evidence.deleted.add(id);
        continue;
      }
      this.#evidence.deleted.delete(id);
      webhooks.push(webhook);
      const versions = this.#evidence.versions.get(id) ?? new Map<number, Webhook>();
      versions.set(webhook.version, webhook);
      this.#evidence.versions.set(id, versions);
      for (const { value } of webhook.secrets)
        this.#evidence.secrets.add(value.slice("whsec_".length));
      for (const value of Object.values(webhook.headers)) this.#evidence.secrets.add(value);
    }
    this.#evidence.routings.push(webhooks);
    for (const webhook of webhooks) this.#noteDisabled(object, webhook);
    this.#statuses = statusesOf(webhooks);
  }

  /** Call it when the instance is gone and the storage is what was on disk. */
  crashed({ className, storage }: SimulatedObject): void {
    if (className !== "Registry") return;
    const stored = Look.at(storage, "live").webhooks();
    this.#statuses = statusesOf(stored.flatMap(({ webhook }) => webhook ?? []));
  }

  #noteDisabled(object: SimulatedObject, { id, status, version }: Webhook): void {
    if (status !== "disabled" || this.#statuses.get(id) === status) return;
    const isLeft = (look: Look) =>
      look.webhooks().some((each) => each.id === id && each.version >= version);
    this.#evidence.happened("relay.webhook.disabled", id, { object, isLeft });
  }

  /** Who gets an event is who matched at some moment; and once recorded it stays so. */
  #checkJournal({ name, storage }: SimulatedObject): void {
    const seen = this.#journals.get(name) ?? { writes: -1, lists: new Map<string, string>() };
    if (storage.writes === seen.writes) return;
    seen.writes = storage.writes;
    const lists = new Map<string, string>();
    for (const { id, webhookIds } of Look.at(storage, "live").events()) {
      const list = [...webhookIds].sort().join(" ");
      lists.set(id, list);
      for (const webhookId of webhookIds) this.#evidence.owed.add(`${webhookId} ${id}`);
      const known = seen.lists.get(id);
      if (known === undefined) this.#checkMatches(id, list);
      // After a crash an event may be recorded anew, because it was not on disk.
      else
        this.#evidence.require(
          known === list,
          "the Journal's list counts",
          `${id}: ${known} → ${list}`,
        );
    }
    seen.lists = lists;
    this.#journals.set(name, seen);
  }

  #checkMatches(eventId: string, list: string): void {
    const accepted = this.#evidence.world.accepted.get(eventId);
    this.#evidence.require(accepted !== undefined, "journal", `${eventId} was never accepted`);
    if (accepted === undefined) return;
    const matched = this.#evidence.routings.some((webhooks) => {
      const ids = webhooks.filter((webhook) => wants(webhook, accepted.event)).map(({ id }) => id);
      return ids.sort().join(" ") === list;
    });
    // Of what was erased before it came, or goes to nobody, nobody has a list; an own event is sent for somebody.
    const isForNobody = list === "" && !isOwn(accepted.event);
    const isGone = list === "" && this.#evidence.erased.has(eventId);
    this.#evidence.require(
      matched || isForNobody || isGone,
      "matching",
      `${eventId} is for ${list}`,
    );
  }

  /** The queue was told that a message is done. */
  acknowledged(message: Enqueued, eventId: string): void {
    const letters = this.#evidence.world.objectOf("DeadLetters", "dead-letters");
    const letter =
      letters === null
        ? undefined
        : Look.at(letters.storage, "disk")
            .deadLetters()
            .find(({ id }) => id === `dl_${message.id}`);
    if (letter !== undefined && letter.webhookIds === null) return;
    // What the platform gave up is for nobody once it is erased, nor is a letter of it kept.
    if (message.queue === "leadterra-dead-letters" && this.#evidence.erased.has(eventId)) return;
    const day = new Date(message.atMs).toISOString().slice(0, 10);
    const journal = this.#evidence.world.objectOf("Journal", day);
    const event = journal === null ? null : Look.at(journal.storage, "disk").event(eventId);
    const isForgotten =
      Date.parse(day) + DAY_MS + this.#evidence.world.retentionMs <= this.#evidence.nowMs;
    this.#evidence.require(
      event !== null || letter !== undefined || isForgotten,
      "acknowledged when the Journal has it",
      `${message.id} with ${eventId}`,
    );
    if (this.#evidence.erased.has(eventId)) return;
    for (const webhookId of event?.webhookIds ?? []) {
      if (this.#evidence.deleted.has(webhookId) || letter?.webhookIds?.includes(webhookId))
        continue;
      this.#evidence.require(
        this.#hasTaken(webhookId, eventId, message),
        "acknowledged when every Subscriber has it",
        `${message.id} with ${eventId} for ${webhookId}`,
      );
    }
  }

  /** On disk; or a retention took it, since a message may be acknowledged as late as that. */
  #hasTaken(webhookId: string, eventId: string, { atMs }: Enqueued): boolean {
    const subscriber = this.#evidence.world.objectOf("Subscriber", webhookId);
    if (subscriber === null) return false;
    if (Look.at(subscriber.storage, "disk").delivery(eventId) !== null) return true;
    return atMs <= (this.#evidence.book(subscriber).goneAtMs.get(eventId) ?? atMs - 1);
  }
}

function statusesOf(webhooks: readonly Webhook[]): Map<string, Webhook["status"]> {
  return new Map(webhooks.map(({ id, status }) => [id, status]));
}
