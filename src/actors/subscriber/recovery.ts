/** What an object finds when it starts: attempts that the life before has leased and not recorded. */

import type { Policy } from "../../domain/delivery";
import { noteSuccess } from "../../domain/health";
import { logWarning } from "../../log";
import type { DeliveryStore } from "../../storage/delivery-store";
import type { StoredDelivery } from "../../storage/delivery-tables";
import type { Position } from "../../storage/position";
import type { LeasedAttempt, Run } from "../../storage/run";
import type { RunStore } from "../../storage/run-store";
import type { Unwritten } from "./ledger";
import { logNotWritten, recorded } from "./outcomes";
import { unanswered } from "./send";
import { countChange } from "./tally";

type Recovered = {
  run: Run;
  isChanged: boolean;
  isCounted: boolean;
  unwritten: Unwritten[];
};

/**
 * Leased attempts without an outcome may have left: as many as the lease's window are closed as interrupted, and
 * their deliveries go out again at once. What was leased behind them cannot have left and is fresh again. Those
 * with an outcome on disk are counted: the stored counters are from before the lease. What a Lane was given stays
 * leased until the Lane is asked.
 *
 * @param terms `spacingMs`: the least time between two starts under a rate limit, 0 without.
 * @returns the run to go on with; whether something was closed, so that it is to be saved; what the disk does not
 *   take: it keeps nothing else from starting; and whether its count of what ended is still one: a release that does
 *   not know it has then moved on without it.
 */
export function recover(
  { runs, deliveries }: { runs: RunStore; deliveries: DeliveryStore },
  { policy, spacingMs }: { policy: Policy; spacingMs: number },
  webhookId: string,
): Recovered {
  const run = runs.run();
  const isCounted = run.endedAsOf === run.saved;
  const nowMs = Date.now();
  let mayHaveLeft = run.lease.window;
  let head: Position | null = null;
  const unwritten: Unwritten[] = [];
  let isChanged = false;
  let lastStartAtMs = 0;
  for (const lease of run.lease.attempts) {
    const { id, number, fresh } = lease;
    const delivery = deliveries.get(id);
    if (delivery === null) continue;
    if (delivery.attempts >= number) {
      const attempt = delivery.log.at(-1);
      if (attempt?.number === number) {
        countRecorded(run, delivery);
        lastStartAtMs = Math.max(lastStartAtMs, attempt.startedAtMs);
      }
    } else if (mayHaveLeft > 0) {
      mayHaveLeft -= 1;
      isChanged = true;
      lastStartAtMs = nowMs;
      const interrupted = { delivery, lease, outcome: unanswered("interrupted", nowMs) };
      unwritten.push(...closed(run, interrupted, { deliveries, policy, webhookId }));
    } else {
      head ??= fresh;
    }
  }
  run.shares = run.shares.map((share) => ({
    ...share,
    attempts: share.attempts.filter((attempt) => isOpen(run, attempt, deliveries)),
  }));
  run.nextStartAtMs = Math.max(run.nextStartAtMs, lastStartAtMs + spacingMs);
  if (isChanged) run.head = head ?? run.head;
  return { run, isChanged, isCounted, unwritten };
}

/** Writes what an attempt came to, which counts then. @returns it, where the disk does not take it. */
function closed(
  run: Run,
  interrupted: Unwritten,
  by: { deliveries: DeliveryStore; policy: Policy; webhookId: string },
): Unwritten[] {
  const { delivery, lease, outcome } = interrupted;
  const after = recorded({ delivery, attempt: lease, outcome }, by.policy);
  const said = { webhookId: by.webhookId, eventId: lease.id, attempt: lease.number };
  try {
    by.deliveries.update(after);
  } catch (thrown) {
    logNotWritten(by.webhookId, lease, thrown);
    return [interrupted];
  }
  countChange(run, delivery, after);
  logWarning("attempt.interrupted", said);
  return [];
}

/** Whether an attempt of a share has no outcome on disk; one that has is counted. */
function isOpen(run: Run, { id, number }: LeasedAttempt, deliveries: DeliveryStore): boolean {
  const delivery = deliveries.get(id);
  if (delivery === null) return false;
  if (delivery.attempts < number) return true;
  if (delivery.log.at(-1)?.number === number) countRecorded(run, delivery);
  return false;
}

/** The delivery's last attempt was recorded after the counters were. */
function countRecorded(run: Run, delivery: StoredDelivery): void {
  // One that a person gave up on was counted when they did.
  const status = delivery.status === "cancelled" ? "cancelled" : "pending";
  countChange(run, { ...delivery, status, attempts: delivery.attempts - 1 }, delivery);
  const attempt = delivery.log.at(-1);
  if (attempt?.error === null) run.health = noteSuccess(run.health, attempt);
}
