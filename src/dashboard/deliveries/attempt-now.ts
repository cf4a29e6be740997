/** An attempt that a person asks for and waits for: the page that they are led to shows what came of it. */
import type { EventId } from "../../domain/ids";
import type { Webhook } from "../../domain/webhook";
import { retryDelivery } from "../../operations/deliveries";
import type { Outcome } from "../ui/actions";
import { callerOf, type PageContext } from "../ui/session";

export async function attemptNow(
  c: PageContext,
  webhook: Webhook,
  { id, at }: { id: EventId; at: string },
): Promise<Outcome> {
  const tried = await retryDelivery(c.env, webhook, { id, by: callerOf(c), wait: true });
  if (!tried.ok) {
    const { failure } = tried;
    return failure.code === "not_found" ? { failure } : { failure, at };
  }
  const { attempt } = tried.value;
  if (attempt === null) return { done: "attempt_waits", at };
  if (attempt.error !== null) return { done: "attempt_failed", at };
  return { done: "attempt_worked", count: 0, at };
}
