/** What makes a late webhook faster, in words. */
import { boundOf } from "../../domain/late";
import { HOUR_MS } from "../../domain/time";
import type { Webhook } from "../../domain/webhook";
import type { WebhookStats } from "../../operations/stats";
import { duration, number, perSecond } from "../ui/format";

/** What its pace is judged over: with the running hour, 24 of them. */
export const PACED_OVER_MS = 23 * HOUR_MS;

export function figuresOf({ latencyMs: { p50 }, health: { pending } }: WebhookStats) {
  return { p50, pending };
}

export function remedyFor({ webhook, stats }: { webhook: Webhook; stats: WebhookStats }): string {
  const { field, aSecond, p50, atOnce } = boundOf(webhook, figuresOf(stats));
  const inAll = `which takes ${duration((stats.health.pending / (aSecond ?? 1)) * 1_000)} for what waits`;
  if (field === "rateLimit") {
    return `Its rate limit lets ${perSecond(aSecond)} through, ${inAll}: raise the limit.`;
  }
  const help =
    field === "ordered"
      ? "It is ordered, so only faster answers help, or giving up the order."
      : `Raise “at once” above ${atOnce}, or have it answer faster.`;
  if (aSecond === null) return help;
  return `Its response time is ${duration(p50)} (p50), ${number(atOnce)} at once: ${perSecond(Number(aSecond.toPrecision(2)))}, ${inAll}. ${help}`;
}
