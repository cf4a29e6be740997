/** The parts of a Subscriber that live from its start, or from the deletion of its webhook, on. */
import { configOf } from "../../config";
import type { Health } from "../../domain/health";
import { type Situation, spacingMs } from "../../domain/pace";
import { laneName } from "../../domain/placement";
import { logError, logWarning } from "../../log";
import { DeliveryStore } from "../../storage/delivery-store";
import { DeliveryTables, type DueDelivery } from "../../storage/delivery-tables";
import type { RunStore } from "../../storage/run-store";
import type { Tables } from "../../storage/tables";
import { Agenda } from "./agenda";
import type { Attempts } from "./attempt";
import { Deliveries } from "./deliveries";
import { Housekeeping } from "./housekeeping";
import type { InForce } from "./in-force";
import { Lanes } from "./lanes";
import { Ledger } from "./ledger";
import { OutcomeNotes } from "./outcomes";
import { Outlook } from "./outlook";
import { Pump } from "./pump";
import { recover } from "./recovery";
import type { Slots } from "./slots";

export type Engine = ReturnType<typeof startEngine>;

type EngineHost = {
  /** Asked each time: the bindings may be other ones. */
  env(): Env;
  webhookId: string;
  tables: Tables;
  runs: RunStore;
  inForce: InForce;
  attempts: Attempts;
  slots: Slots;
  /** The service is gone, or failing for too long. */
  disabled(): void;
  /** Resolves when everything written so far is on disk. */
  sync(): Promise<void>;
};

/** Reads what is stored; attempts that the life before left open are closed. */
export function startEngine(host: EngineHost) {
  const { env, webhookId, runs, inForce } = host;
  const tables = new DeliveryTables(host.tables);
  const store = new DeliveryStore(tables);
  const stores = { deliveries: store, runs };
  const policy = () => inForce.policy();
  const terms = { policy: policy(), spacingMs: spacingMs(inForce.webhook?.rateLimit ?? null) };
  const recovery = recover(stores, terms, webhookId);
  const outcomes = new OutcomeNotes(store, webhookId);
  const healthChanged = (before: Health, after: Health) => {
    logHealth(webhookId, before, after);
    if (before.disabled !== after.disabled) host.disabled();
  };
  const ledger = new Ledger({ webhookId, policy, outcomes, healthChanged }, stores, recovery);
  const agenda = new Agenda(store, ledger);
  const lanes = new Lanes(
    {
      webhook: () => inForce.webhook,
      timeoutMs: () => inForce.timeoutMs(),
      lane: (number) => env().LANE.getByName(laneName(webhookId, number)),
      changed: () => pump.wake(),
    },
    ledger,
  );
  const situation = (): Situation | null => {
    const terms = inForce.terms(ledger.run.health);
    if (terms === null) return null;
    const { health, nextStartAtMs } = ledger.run;
    const { meanDurationMs } = ledger;
    const [firstWaitMs = 0] = policy().schedule;
    return { terms, health, nextStartAtMs, firstWaitMs, meanDurationMs };
  };
  const pump: Pump = new Pump(
    { situation, attempt: (delivery, number) => attempt(host, delivery, number), sync: host.sync },
    { agenda, ledger, lanes, slots: host.slots },
  );
  const standing = () => inForce.standing(ledger.run);
  const outlook = new Outlook({ agenda, store, ledger, pump, situation, standing });
  const parts = {
    tables,
    store,
    runs,
    ledger,
    outlook,
    webhookId,
    retentionMs: () => configOf(env()).retentionMs,
  };
  const deliveries = new Deliveries(parts);
  if (!recovery.isCounted) deliveries.recount();
  if (!recovery.isCounted || recovery.isChanged) ledger.saveSoon();
  const housekeeping = new Housekeeping({ ...parts, deliveries });
  return { store, ledger, lanes, pump, outlook, deliveries, housekeeping, outcomes };
}

async function attempt(
  { inForce, attempts }: EngineHost,
  { id, event, body }: DueDelivery,
  number: number,
) {
  const { webhook } = inForce;
  if (webhook === null) throw new Error("there is no webhook to send for");
  const answer = await attempts.make(webhook, { eventId: id, event, body, attempt: number });
  return { ...answer, isStale: inForce.webhook?.urlVersion !== webhook.urlVersion };
}

function logHealth(webhookId: string, before: Health, after: Health): void {
  if (before.disabled !== after.disabled) {
    logError("webhook.disabled", { webhookId, reason: after.disabled });
  } else if (before.probing !== after.probing) {
    logWarning(after.probing ? "webhook.probing" : "webhook.recovered", { webhookId });
  }
}
