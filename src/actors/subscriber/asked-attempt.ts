/** An attempt that a person asked for, and waits for. */
import type { AttemptRecord, DeliveryView, LoggedDelivery, Trigger } from "../../domain/delivery";

/** It starts at once, or something keeps it. */
const MAX_START_MS = 1_000;
const LOOK_AGAIN_MS = 20;

/**
 * @param number the least that it may have.
 * @param trigger what it must have: one of the schedule may have ended just before. Any where it is not given.
 * @returns `attempt` is null when it could not start within a second; null as a whole when there is no delivery.
 */
export async function attemptOf(
  { number, trigger }: { number: number; trigger?: Trigger | undefined },
  of: { isInFlight(): boolean; delivery(): LoggedDelivery | null },
): Promise<{ delivery: DeliveryView; attempt: AttemptRecord | null } | null> {
  const startsByMs = Date.now() + MAX_START_MS;
  for (;;) {
    if (!of.isInFlight()) {
      const delivery = of.delivery();
      if (delivery === null) return null;
      const isIt = (each: AttemptRecord) =>
        each.number >= number && each.trigger === (trigger ?? each.trigger);
      const attempt = delivery.attemptLog.find(isIt) ?? null;
      if (attempt !== null || Date.now() >= startsByMs) return { delivery, attempt };
    }
    await scheduler.wait(LOOK_AGAIN_MS);
  }
}
