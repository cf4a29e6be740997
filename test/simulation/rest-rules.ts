/** What must hold in the end, when the faults are over and nothing goes on any more. */
import type { Book } from "./book";
import type { Evidence } from "./evidence";
import { attemptLog, Look, type Row } from "./look";

export class RestRules {
  readonly #evidence: Evidence;

  constructor(evidence: Evidence) {
    this.#evidence = evidence;
  }

  check(): void {
    for (const object of this.#evidence.world.objects.values()) {
      this.#evidence.require(
        !object.isInAlarm,
        "comes to rest",
        `the alarm of ${object.name} runs on`,
      );
    }
    this.#checkHandedOver();
    const registry = this.#evidence.world.objectOf("Registry", "registry");
    const webhooks = registry === null ? [] : Look.at(registry.storage, "disk").webhooks();
    for (const { id, version, acknowledged, webhook } of webhooks) {
      this.#evidence.require(
        acknowledged >= version,
        "pushes arrive",
        `${id} has not got ${version}`,
      );
      const subscriber = this.#evidence.world.objectOf("Subscriber", id);
      if (webhook === null || subscriber === null) continue;
      const settings = Look.at(subscriber.storage, "disk").settings();
      this.#evidence.require(
        settings !== null && "version" in settings && settings.version === version,
        "pushes arrive",
        `${id} goes by ${JSON.stringify(settings)?.slice(0, 80)}`,
      );
    }
    for (const book of this.#evidence.books.values()) this.#checkSubscriber(book);
    this.#checkLanes();
  }

  /** An idle Lane costs nothing. */
  #checkLanes(): void {
    for (const { className, name, storage } of this.#evidence.world.objects.values()) {
      if (className !== "Lane") continue;
      const rests = storage.alarmOnDiskAtMs === null && storage.tablesMade === 0;
      this.#evidence.require(rests, "a Lane rests", `${name} has an alarm or a table`);
    }
  }

  /** Each accepted event is in a Journal, and each webhook of its list has it. */
  #checkHandedOver(): void {
    const letters = this.#evidence.world.objectOf("DeadLetters", "dead-letters");
    const dead = letters === null ? [] : Look.at(letters.storage, "disk").deadLetters();
    const journals = [...this.#evidence.world.objects.values()]
      .filter(({ className }) => className === "Journal")
      .sort((one, other) => one.name.localeCompare(other.name));
    const recorded = journals.flatMap(({ storage }) => {
      const look = Look.at(storage, "disk");
      return look.events().map((event) => ({ ...event, body: () => look.body(event.id) }));
    });
    for (const [id, { bodies, atMs }] of this.#evidence.world.accepted) {
      if (atMs + this.#evidence.world.retentionMs <= this.#evidence.nowMs) continue;
      const entries = recorded.filter((event) => event.id === id);
      const given = dead.filter((letter) => letter.event_id === id);
      // A dead letter that was erased is nowhere.
      const { erased: gone, expired } = this.#evidence;
      const isKept = entries.length + given.length > 0 || gone.has(id) || expired.has(id);
      this.#evidence.require(isKept, "conservation", `${id} is nowhere`);
      // Received anew: whom it matched on an earlier day counts no more.
      const owing = this.#evidence.redrivenAnew.has(id) ? entries.slice(-1) : entries;
      for (const { webhookIds, body, erased } of owing) {
        const known = erased || isOneOf(bodies, body());
        this.#evidence.require(known, "byte-identical", `the Journal has another body for ${id}`);
        for (const webhookId of webhookIds) {
          const subscriber = this.#evidence.world.objectOf("Subscriber", webhookId);
          const has =
            this.#evidence.deleted.has(webhookId) ||
            this.#evidence.erased.has(id) ||
            (subscriber !== null && Look.at(subscriber.storage, "disk").delivery(id) !== null) ||
            given.some(({ webhookIds: owed }) => owed === null || owed.includes(webhookId));
          this.#evidence.require(has, "conservation", `${webhookId} never got ${id}`);
        }
      }
    }
  }

  #checkSubscriber(book: Book): void {
    const { object } = book;
    this.#evidence.require(
      book.inFlight.size === 0,
      "comes to rest",
      `${object.name} is in flight`,
    );
    const look = Look.at(object.storage, "disk");
    const settings = look.settings();
    const disabled = look.run()?.health.disabled ?? null;
    const active = settings !== null && "status" in settings && settings.status === "active";
    this.#evidence.require(!active || disabled === null, "a disable is reported", object.name);
    for (const row of look.deliveries()) {
      this.#evidence.require(
        row.status !== "pending" || !active,
        "comes to rest",
        `${row.id} of ${object.name} is pending`,
      );
      this.#checkSecrets(row);
      this.#checkCount(book, row);
    }
    this.#checkPending(object.name, look);
  }

  /** What nobody counts row by row: arrivals less ends, of which the last lease's are only in their rows. */
  #checkPending(name: string, look: Look): void {
    const run = look.run();
    const arrived = look.arrived();
    if (arrived === null) return;
    const endedInLease = look.leased().filter(({ id, number }) => {
      const row = look.delivery(id);
      const ended = row?.status === "delivered" || row?.status === "undeliverable";
      return row !== null && ended && attemptLog(row).at(-1)?.number === number;
    }).length;
    const counted = arrived - (run?.ended ?? 0) - endedInLease;
    const pending = look.deliveries().filter(({ status }) => status === "pending").length;
    this.#evidence.require(
      counted === pending,
      "pending counted",
      `${name} has ${pending} pending, and counts ${counted}`,
    );
  }

  #checkSecrets(row: Row): void {
    for (const { responseBody } of attemptLog(row)) {
      for (const secret of this.#evidence.secrets) {
        const shown = responseBody?.includes(secret) ?? false;
        this.#evidence.require(!shown, "nothing secret in a log", `${row.id}: ${responseBody}`);
      }
    }
  }

  /** A request that a crash kept from leaving has no number; without faults every number is a request. */
  #checkCount(book: Book, row: Row): void {
    const made = book
      .attemptsOf(row.id)
      .filter(({ request, ending }) => request.left || ending !== null);
    const highest = made.reduce((most, attempt) => Math.max(most, attempt.number), 0);
    this.#evidence.require(
      this.#evidence.world.hasFaults ? row.attempts >= highest : row.attempts === made.length,
      "attempts counted",
      `${row.id} of ${book.object.name} has ${row.attempts} of ${made.length}`,
    );
  }
}

function isOneOf(bodies: readonly Uint8Array[], body: Uint8Array | null): boolean {
  return body !== null && bodies.some((each) => Buffer.from(each).equals(body));
}
