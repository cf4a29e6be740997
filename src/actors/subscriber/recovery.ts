/** What an object finds when it starts: attempts that the life before has leased and not recorded. */

import type { Policy } from "../../domain/delivery";
import { noteSuccess } from "../../domain/health";
import { logWarning } from "../../log";
import type { DeliveryStore } from "../../storage/delivery-store";
import type { Position, StoredDelivery } from "../../storage/delivery-tables";
import { type LeasedAttempt, NO_LEASE, type Run, type RunStore } from "../../storage/run-store";
import { countChange, recorded } from "./outcomes";
import { unanswered } from "./send";

/**
 * Leased attempts without an outcome may have left: as many as the lease's window are closed as interrupted, and
 * their deliveries go out again at once. What was leased behind them cannot have left and is fresh again. Those
 * with an outcome on disk are counted: the stored counters are from before the lease. What a Lane was given stays
 * leased until the Lane is asked.
 *
 * @param terms `spacingMs`: the least time between two starts under a rate limit, 0 without.
 * @returns the run to go on with, written only if something had to be closed; and whether its count of what ended
 *   is still one: a release that does not know it has then moved on without it.
 */
export function recover(
  { runs, deliveries }: { runs: RunStore; deliveries: DeliveryStore },
  { policy, spacingMs }: { policy: Policy; spacingMs: number },
  webhookId: string,
): { run: Run; isCounted: boolean } {
  const run = runs.run();
  const isCounted = run.endedAsOf === run.saved;
  const nowMs = Date.now();
  let mayHaveLeft = run.lease.window;
  let head: Position | null = null;
  let closed = 0;
  let lastStartAtMs = 0;
  for (const { id, number, trigger, fresh } of run.lease.attempts) {
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
      closed += 1;
      lastStartAtMs = nowMs;
      const outcome = unanswered("interrupted", nowMs);
      const after = recorded({ delivery, attempt: { number, trigger }, outcome }, policy);
      deliveries.update(after);
      countChange(run, delivery, after);
      logWarning("attempt.interrupted", { webhookId, eventId: id, attempt: number });
    } else {
      head ??= fresh;
    }
  }
  run.shares = run.shares.map((share) => ({
    ...share,
    attempts: share.attempts.filter((attempt) => isOpen(run, attempt, deliveries)),
  }));
  run.nextStartAtMs = Math.max(run.nextStartAtMs, lastStartAtMs + spacingMs);
  if (closed > 0) {
    run.lease = NO_LEASE;
    run.head = head ?? run.head;
    runs.saveRun(run);
  }
  return { run, isCounted };
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
