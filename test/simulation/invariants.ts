/**
 * The judge: what must hold after every step (docs/contract.md). It looks at every request, and reads what the
 * objects have stored; it knows the rules from the contract and not from the code.
 */
import type { LaneReport, LaneShare } from "../../src/actors/lane";
import { AttemptRules } from "./attempt-rules";
import { type Attempt, isOfLane } from "./book";
import { CounterRules } from "./counter-rules";
import { DeliveryRules } from "./delivery-rules";
import { type AcceptedEvent, Evidence, type Violation, type World } from "./evidence";
import { Look } from "./look";
import type { Instance, SimulatedObject } from "./objects";
import { OwnEventRules } from "./own-event-rules";
import type { Enqueued } from "./queue";
import { RequestRules } from "./request-rules";
import { RestRules } from "./rest-rules";
import { RoutingRules } from "./routing-rules";
import { TruthRules } from "./truth-rules";

/** What is to be erased, as objects are told. */
type Reopened = { deliveries: { id: string; body: unknown }[] };
type Erased = string | string[] | { eventIds: string[] };

const DAY_MS = 86_400_000;

/**
 * What one turn may come to. 500 rows expire or move in it (each of which is put and deleted), after they were looked
 * for in every table and while the object looks where fresh deliveries begin; and a list reads no bodies. What a run
 * that hoards has is more than each: 2,000 deliveries, of some 400 bytes.
 */
const MAX_TURN = { rows: 1_800, bytes: 500_000, changed: 1_200 };

/** Methods that only read: they may make no table. `routing` notes once when the first event came. */
const READS =
  /^(constructor|deliveries|delivery|missing|stats|get|list|bodies|settingsOf|all|check)$/;

export class Invariants {
  readonly #evidence: Evidence;
  /** Looks at every request. */
  readonly requests: RequestRules;
  readonly counters: CounterRules;
  readonly ownEvents: OwnEventRules;
  readonly #routing: RoutingRules;
  readonly #deliveries: DeliveryRules;
  readonly #truth: TruthRules;
  readonly #attempts: AttemptRules;

  constructor(world: World) {
    this.#evidence = new Evidence(world);
    this.requests = new RequestRules(this.#evidence);
    this.counters = new CounterRules(this.#evidence);
    this.ownEvents = new OwnEventRules(this.#evidence);
    this.#routing = new RoutingRules(this.#evidence);
    this.#deliveries = new DeliveryRules(this.#evidence);
    this.#truth = new TruthRules(this.#evidence);
    this.#attempts = new AttemptRules(this.#evidence);
  }

  /** The first thing that did not hold. */
  get violation(): Violation | null {
    return this.#evidence.violation;
  }

  /** After every step. */
  check(): void {
    for (const object of this.#evidence.world.objects.values()) {
      this.#checkTurn(object);
      this.#checkNewer(object);
      this.#routing.check(object);
      this.ownEvents.check(object);
      if (object.className === "Subscriber") this.#deliveries.check(this.#evidence.book(object));
    }
  }

  /** However much an object has stored. 0.1.0 moved a whole period at once. */
  #checkTurn({ name, storage: { turn }, isOlder }: SimulatedObject): void {
    if (isOlder || turn.step !== this.#evidence.world.scheduler.steps) return;
    const { rows, bytes, changed } = turn;
    this.#evidence.require(
      rows <= MAX_TURN.rows && bytes <= MAX_TURN.bytes && changed <= MAX_TURN.changed,
      "no turn is unbounded",
      () => `${name} reads ${rows} rows, ${bytes} bytes and changes ${changed} rows`,
    );
  }

  #checkNewer({ name, version, storage }: SimulatedObject): void {
    const { step, changed } = storage.turn;
    if (step !== this.#evidence.world.scheduler.steps) return;
    const stored = Look.at(storage, "live").version();
    this.#evidence.require(
      stored <= version || changed === 0,
      "nothing is written where the data is newer",
      `${name} has version ${stored}, and code of ${version} changes ${changed} rows`,
    );
  }

  checkAtRest(): void {
    new RestRules(this.#evidence).check();
    this.ownEvents.checkAtRest();
  }

  /** Somebody looks at the webhooks in a step of their own: what their objects say is held against what is so. */
  look(): void {
    for (const object of this.#subscribersOfToday()) {
      const check = ({ actor }: Instance) => {
        if (!object.isReleased && !object.isBehind) {
          this.#truth.check(object, actor as never);
          this.#attempts.check(object, actor as never);
        }
        // The judge asks for more at once than anybody can.
        object.storage.forgetTurn();
      };
      object.visit(0, "is looked at", check, () => {});
    }
  }

  /** The same, to be run between two steps, as `owner`. */
  looks(): { owner: Instance; run: () => void }[] {
    // What was said by a life that has ended since was told to nobody, where its writes are lost.
    for (const book of this.#evidence.books.values()) book.said = new Map();
    return this.#subscribersOfToday().map((object) => {
      const owner = object.instance as Instance;
      const run = () => {
        this.#evidence.book(object).said = this.#truth.check(object, owner.actor as never);
        object.storage.forgetTurn();
      };
      return { owner, run };
    });
  }

  /** Those that are there, and not of an earlier release. */
  #subscribersOfToday(): SimulatedObject[] {
    return [...this.#evidence.world.objects.values()].filter(
      ({ className, instance, isReleased, isBehind }) =>
        className === "Subscriber" && instance?.ready === true && !isReleased && !isBehind,
    );
  }

  /** A person was told that `version` is in force; Infinity for a deletion. */
  inForce(id: string, version: number): void {
    this.#evidence.floors.set(id, Math.max(this.#evidence.floors.get(id) ?? 0, version));
    if (version !== Number.POSITIVE_INFINITY) return;
    const object = this.#evidence.world.objectOf("Subscriber", id);
    if (object === null) return;
    const tables = Look.at(object.storage, "disk").tables();
    this.#evidence.require(
      tables.every((table) => table === "settings") && object.storage.alarmOnDiskAtMs === null,
      "deletion empties the object",
      `${id} still has ${tables.join(", ")}`,
    );
  }

  /** Somebody erases a person. @returns call it when they were told that nothing is left, nor on its way. */
  erasing(email: string): () => void {
    const { nowMs: beganMs, world } = this.#evidence;
    const { accepted, retentionMs } = world;
    const isTheirs = ({ event }: AcceptedEvent) => {
      const { lead } = event.envelope.data as { lead?: { email: string } };
      return lead?.email === email;
    };
    for (const [id, each] of accepted) if (isTheirs(each)) this.#evidence.erased.add(id);
    return () => {
      // What was opened again outlives its Journal where a retention is short, and is not found.
      if (retentionMs <= DAY_MS || this.#evidence.handingOver > 0) return;
      for (const [id, each] of accepted) {
        if (isTheirs(each) && each.atMs < beganMs) this.#evidence.persons.add(id);
      }
    };
  }

  /** Somebody begins what brings bodies to objects: no erasure is judged meanwhile. @returns call it at the end. */
  handingOver(): () => void {
    this.#evidence.handingOver += 1;
    return () => {
      this.#evidence.handingOver -= 1;
    };
  }

  isErased(eventId: string): boolean {
    return this.#evidence.persons.has(eventId);
  }

  /** Leadterra sends an event, perhaps once more: that is not what was erased. */
  sentAnew(eventId: string): void {
    this.#evidence.persons.delete(eventId);
  }

  /** The queue was told that a message is done. */
  acknowledged(message: Enqueued, eventId: string): void {
    this.#routing.acknowledged(message, eventId);
  }

  /** A message is gone without having been acknowledged. */
  leftQueue(message: Enqueued, how: "deleted" | "expired", eventIds: string[]): void {
    this.#evidence.require(
      how === "expired",
      "no message leaves a queue but by an ack, as a dead letter or at the end of a retention",
      `${message.id} was given up`,
    );
    for (const id of eventIds) this.#evidence.expired.add(id);
  }

  /** All dead letters are about to be redriven. */
  redrives(): void {
    const store = this.#evidence.world.objectOf("DeadLetters", "dead-letters");
    for (const { event_id, webhookIds } of store === null
      ? []
      : Look.at(store.storage, "disk").deadLetters()) {
      if (webhookIds === null && event_id !== null) this.#evidence.redrivenAnew.add(event_id);
    }
  }

  /** Nobody is in the way any more: all dead letters went where they belong. */
  checkRedriven(): void {
    const store = this.#evidence.world.objectOf("DeadLetters", "dead-letters");
    const left = store === null ? [] : Look.at(store.storage, "disk").deadLetters();
    this.#evidence.require(left.length === 0, "redriven", `${left.map(({ id }) => id)} stay`);
  }

  /** Call it when the instance is gone and the storage is what was on disk. */
  crashed(object: SimulatedObject): void {
    if (object.className === "Lane") this.#laneCrashed(object);
    if (object.className === "Subscriber") this.#subscriberCrashed(object);
    this.#routing.crashed(object);
    this.ownEvents.crashed(object);
  }

  #subscriberCrashed(object: SimulatedObject): void {
    const book = this.#evidence.book(object);
    if (object.isReleased) book.keptAll = false;
    const look = Look.at(object.storage, "live");
    const isOnDisk = ({ eventId, number }: Attempt) =>
      (look.delivery(eventId)?.attempts ?? 0) >= number;
    for (const attempt of book.allAttempts.filter((each) => !isOnDisk(each))) {
      // A Lane lives on, and tells again what it told the life before.
      if (isOfLane(attempt)) attempt.heard = false;
      else attempt.lost = true;
    }
    book.forgetInFlight((attempt) => !isOfLane(attempt));
    book.interruptedInLife = 0;
    book.rows = new Map(look.deliveries().map((row) => [row.id, row]));
    for (const [id, log] of book.logs) {
      const attempts = book.rows.get(id)?.attempts ?? 0;
      for (const number of log.keys()) if (number > attempts) log.delete(number);
    }
    this.#evidence.followStoredHealth(book, look, null);
  }

  /** What its Subscriber has not been told of is lost with it. */
  #laneCrashed(object: SimulatedObject): void {
    const book = this.#evidence.book(object);
    const isItsOwn = ({ request }: Attempt) => request.instance.object === object;
    for (const attempt of book.allAttempts) {
      if (isItsOwn(attempt) && !attempt.heard) attempt.lost = true;
    }
    book.forgetInFlight(isItsOwn);
  }

  /** A method runs in an object. */
  called(object: SimulatedObject, method: string, args: unknown[]): void {
    if (object.className === "Subscriber") {
      const book = this.#evidence.book(object);
      book.calls.push({ method, args, atMs: this.#evidence.passedMs });
      if (method === "report" && !object.isBehind)
        this.requests.told(book, args[0] as LaneReport[]);
      if (method === "reopen") this.#reopens(object, args as [Reopened]);
    }
    if (object.className === "Lane" && method === "take") this.#takes(object, args as [LaneShare]);
    if (object.className === "Registry") this.ownEvents.called(method, args);
    if (/^(erase|rememberErased$)/.test(method)) this.#erases(args as [Erased]);
  }

  #reopens({ name }: SimulatedObject, [{ deliveries }]: [Reopened]): void {
    for (const { id, body } of deliveries) {
      if (body !== null) this.#evidence.owed.add(`${name} ${id}`);
    }
  }

  #takes(lane: SimulatedObject, [{ attempts, closesAtMs }]: [LaneShare]): void {
    const { closings } = this.#evidence.book(lane);
    for (const { id, number } of attempts) closings.set(`${id} ${number}`, closesAtMs);
  }

  #erases([given]: [Erased]): void {
    const ids = typeof given === "object" && "eventIds" in given ? given.eventIds : given;
    for (const id of [ids].flat()) this.#evidence.erased.add(id);
  }

  ranReadOnly(method: string, tablesMade: number): void {
    this.#evidence.require(
      tablesMade === 0 || !READS.test(method),
      "reading creates no table",
      `${method} made ${tablesMade}`,
    );
  }

  alarmThrew(object: SimulatedObject, thrown: unknown): void {
    if (object.className !== "Subscriber") return;
    this.#evidence.violated("alarm never throws", `${object.name}: ${String(thrown)}`);
  }

  writeRefused(object: SimulatedObject): void {
    if (object.className === "Subscriber") this.#evidence.book(object).refusedWrites += 1;
    if (object.className === "Registry") this.ownEvents.writeRefused();
  }

  logged(line: string): void {
    for (const secret of this.#evidence.secrets) {
      this.#evidence.require(!line.includes(secret), "nothing secret in a log", () => line);
    }
  }
}
