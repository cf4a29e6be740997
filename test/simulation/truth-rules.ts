/** What a Subscriber says of itself when somebody looks, held against what is stored and what the judge has seen. */
import type { DeliveryView } from "../../src/domain/delivery";
import type { HealthReport } from "../../src/domain/health-report";
import type { Evidence } from "./evidence";
import { Look, type Row } from "./look";
import type { SimulatedObject } from "./objects";

/** Of the Subscriber, what is asked here. */
type Told = {
  health(): HealthReport;
  deliveries(query: { limit: number }): { deliveries: DeliveryView[] };
};

const ALL = 1_000;
/** A time that is said may be over by so much. */
const SLACK_MS = 2_000;

export class TruthRules {
  readonly #evidence: Evidence;

  constructor(evidence: Evidence) {
    this.#evidence = evidence;
  }

  /** Call it as a call of the object itself. */
  check(object: SimulatedObject, told: Told): void {
    const health = told.health();
    const { deliveries } = told.deliveries({ limit: ALL });
    const rows = Look.at(object.storage, "live").deliveries();
    this.#checkCounts(object.name, health, rows);
    const held = this.#checkState(object, health);
    for (const view of deliveries) this.#checkWaiting(object, view, held);
    const probes = deliveries.filter(
      ({ waitingFor, nextAttemptAtMs }) => waitingFor === "probe" && nextAttemptAtMs !== null,
    );
    this.#evidence.require(probes.length <= 1, "one probe", `${object.name} has ${probes.length}`);
  }

  #checkCounts(name: string, { pending, undeliverable }: HealthReport, rows: readonly Row[]): void {
    const countOf = (status: Row["status"]) => rows.filter((row) => row.status === status).length;
    const counted = `${countOf("pending")} pending, ${countOf("undeliverable")} undeliverable`;
    const said = `${pending} pending, ${undeliverable} undeliverable`;
    this.#evidence.require(
      said === counted,
      "health counts what is",
      `${name}: ${said}; ${counted}`,
    );
  }

  /** @returns whether it is held. */
  #checkState({ name, storage }: SimulatedObject, { state }: HealthReport): boolean {
    const look = Look.at(storage, "live");
    const settings = look.settings();
    if (settings === null || !("status" in settings)) return true;
    const { probing = false, disabled = null } = look.run()?.health ?? {};
    const isDisabled = settings.status === "disabled" || disabled !== null;
    const expected = isDisabled ? "disabled" : settings.status === "paused" ? "paused" : null;
    const wanted = expected ?? (probing ? "probing" : null);
    // What comes before probing, and has nothing to do with the service.
    if (wanted === "probing" && state === "unconnected") return false;
    this.#evidence.require(
      wanted === null ? !["disabled", "paused", "probing"].includes(state) : state === wanted,
      "health says the state",
      `${name} is ${wanted ?? "none of those"} and says ${state}`,
    );
    return expected !== null;
  }

  #checkWaiting(object: SimulatedObject, view: DeliveryView, held: boolean): void {
    const { eventId, status, waitingFor, nextAttemptAtMs } = view;
    const about = () => `${eventId} of ${object.name}: ${JSON.stringify(view)}`;
    const waits = status === "pending";
    this.#evidence.require(waits === (waitingFor !== null), "waits while it is pending", about);
    if (!waits) return;
    const isUnderWay = [...this.#evidence.book(object).inFlight].some(
      (attempt) =>
        attempt.eventId === eventId &&
        !attempt.isTest &&
        attempt.request.instance === object.instance,
    );
    this.#evidence.require(
      !isUnderWay || waitingFor === "attempt",
      "an attempt is under way",
      about,
    );
    this.#evidence.require(
      !held || waitingFor === "hold" || waitingFor === "attempt",
      "what is held says so",
      about,
    );
    this.#evidence.require(
      nextAttemptAtMs === null || nextAttemptAtMs >= this.#evidence.nowMs - SLACK_MS,
      "no time lies in the past",
      about,
    );
  }
}
