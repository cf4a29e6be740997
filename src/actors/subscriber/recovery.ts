/** What an object finds when it starts: attempts that the life before has leased and not recorded. */
import type { AttemptRecord, Policy } from "../../domain/delivery";
import { noteSuccess } from "../../domain/health";
import { logWarning } from "../../log";
import type { DeliveryStore } from "../../storage/delivery-store";
import type { StoredDelivery } from "../../storage/delivery-tables";
import { latest } from "../../storage/position";
import type { LeasedAttempt, Run } from "../../storage/run";
import type { RunStore } from "../../storage/run-store";
import { listAttempts, logNotWritten, recorded, type Unwritten } from "./outcomes";
import { unanswered } from "./send";
import { countChange } from "./tally";

/**
 * Leased attempts without an outcome may have left: as many as the lease's window, and all that were leased as they
 * arrived, are closed as interrupted, and their deliveries go out again at once. What was leased behind them cannot
 * have left and is fresh again. Those with an outcome on disk are counted: the stored counters are from before the
 * lease. What a Lane was given stays leased until the Lane is asked.
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
) {
  const run = runs.run();
  const isCounted = run.endedAsOf === run.saved;
  if (run.attemptsAsOf !== run.saved) deliveries.unlistAttempts();
  const nowMs = Date.now();
  const by = { deliveries, policy, spacingMs, webhookId };
  const openOf = (leases: readonly LeasedAttempt[]) =>
    leases.flatMap((each) => open(run, each, by));
  const leased = openOf(run.lease.attempts);
  const left = leased.slice(0, run.lease.window);
  const behind = deliveries.leasedBehind(run.arrivedTo);
  left.push(...openOf(behind));
  const last = behind.at(-1)?.fresh;
  const attempted = last ? { ...last, index: last.index + 1 } : run.head;
  run.attemptedTo = [run.head, attempted].reduce(latest, run.attemptedTo);
  const outcome = unanswered("interrupted", nowMs);
  const unwritten = left.flatMap((each) => closed(run, { ...each, outcome }, by));
  const late = new Set(unwritten.map(({ lease }) => lease));
  const onDisk = left.filter(({ lease }) => !late.has(lease));
  const logged = onDisk.map(({ lease }) => ({ ...lease, log: [{ ...outcome, ...lease }] }));
  listAttempts(deliveries, webhookId, logged);
  run.shares = run.shares.map((share) => ({
    ...share,
    attempts: openOf(share.attempts).map(({ lease }) => lease),
  }));
  const isChanged = left.length > 0;
  if (isChanged) {
    run.nextStartAtMs = Math.max(run.nextStartAtMs, nowMs + spacingMs);
    const fresh = leased.slice(run.lease.window).find(({ lease }) => lease.fresh !== null);
    run.head = fresh?.lease.fresh ?? run.head;
  }
  return { run, isChanged, isCounted, unwritten };
}

/** An attempt that was leased, where it has no outcome on disk; one that has is counted. */
function open(
  run: Run,
  lease: LeasedAttempt,
  { deliveries, spacingMs }: { deliveries: DeliveryStore; spacingMs: number },
): { delivery: StoredDelivery; lease: LeasedAttempt }[] {
  const delivery = deliveries.get(lease.id);
  if (delivery === null) return [];
  if (delivery.attempts < lease.number) return [{ delivery, lease }];
  const attempt = delivery.log.at(-1);
  if (attempt?.number === lease.number) {
    countRecorded(run, delivery, attempt);
    run.nextStartAtMs = Math.max(run.nextStartAtMs, attempt.startedAtMs + spacingMs);
  }
  return [];
}

/** Writes what an attempt came to, which counts then. @returns it, where the disk does not take it. */
function closed(
  run: Run,
  interrupted: Unwritten,
  by: { deliveries: DeliveryStore; policy: Policy; webhookId: string },
): Unwritten[] {
  const { delivery, lease } = interrupted;
  const after = recorded(interrupted, by.policy);
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

/** The delivery's last attempt was recorded after the counters were. */
function countRecorded(run: Run, delivery: StoredDelivery, attempt: AttemptRecord): void {
  // One that a person cancelled was counted when they did.
  const status = delivery.status === "cancelled" ? "cancelled" : "pending";
  countChange(run, { ...delivery, status, attempts: delivery.attempts - 1 }, delivery);
  if (attempt.error === null) run.health = noteSuccess(run.health, attempt);
}
