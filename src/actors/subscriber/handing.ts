/** What a share is made of: how much each Lane has room for, which attempts go into it, and how it goes over. */
import { aheadOf, concurrencyOf, lanesOf, MAX_IN_FLIGHT, type Situation } from "../../domain/pace";
import type { Webhook } from "../../domain/webhook";
import type { DueDelivery } from "../../storage/delivery-tables";
import type { LeasedAttempt, Share } from "../../storage/run";

/** How long a share may be started by its Lane; its clock may differ from ours by a little. */
const START_WITHIN_MS = 1_500;
const CLOCKS_DIFFER_MS = 500;
/** For an answer that comes with the end of its time. */
const LAST_WORD_MS = 5_000;
export const MAX_SHARE_BYTES = 1024 * 1024;

/** An attempt that is leased. */
export type Planned = {
  delivery: DueDelivery;
  lease: LeasedAttempt;
  /** Not before this time, Unix milliseconds: what the rate limit gave it. */
  startAtMs: number;
};

export type Room = { lane: number; slots: number; room: number };

export type Handing = { share: Share; attempts: Planned[] };

/** By Lane: how many of its attempts have no outcome on disk, and how many may be in flight. */
export type Load = Map<number, { open: number; slots: number }>;

export function busyOf(load: Load): number {
  let busy = 0;
  for (const { open, slots } of load.values()) busy += Math.min(open, slots);
  return busy;
}

/** The Lanes that have less than half of what they should have ahead, and how much more each of them takes. */
export function roomsIn(situation: Situation, load: Load): Room[] {
  // Where `concurrency` was lowered, what is in flight by what was before counts.
  let used = MAX_IN_FLIGHT + busyOf(load);
  return lanesOf(situation).flatMap((slots, lane) => {
    const { open, slots: had } = load.get(lane) ?? { open: 0, slots: 0 };
    const more = Math.max(0, slots - Math.min(open, had));
    const ahead = aheadOf(slots, situation);
    const room = Math.floor(slots + ahead) - open;
    if (room < 1 || room < ahead / 2 || used + more > concurrencyOf(situation)) return [];
    used += more;
    return [{ lane, slots, room }];
  });
}

export function bytesOf({ delivery }: Planned): number {
  return delivery.body.byteLength;
}

export function shareOf(
  { lane, slots }: Room,
  given: { id: string; nowMs: number; timeoutMs: number; urlVersion: number },
): Share {
  const { id, nowMs, timeoutMs, urlVersion } = given;
  const lastStartAtMs = nowMs + START_WITHIN_MS + CLOCKS_DIFFER_MS;
  const closesAtMs = lastStartAtMs + timeoutMs + LAST_WORD_MS;
  return { id, lane, slots, lastStartAtMs, closesAtMs, urlVersion };
}

/** As its Lane gets it. @param isTimed each attempt has its time under a rate limit. */
export function givenOf({ share, attempts }: Handing, webhook: Webhook, isTimed: boolean) {
  const { id, slots, closesAtMs } = share;
  const lastStartAtMs = share.lastStartAtMs - CLOCKS_DIFFER_MS;
  return {
    id,
    slots,
    lastStartAtMs,
    closesAtMs,
    webhook,
    attempts: attempts.map(({ delivery, lease, startAtMs }) => ({
      id: delivery.id,
      event: delivery.event,
      body: delivery.body,
      number: lease.number,
      startAtMs: isTimed ? startAtMs : null,
    })),
  };
}
