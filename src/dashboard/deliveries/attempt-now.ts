/** An attempt that a person asks for and waits for: the page that they are led to shows what came of it. */
import type { AttemptRecord } from "../../domain/delivery";
import type { EventId } from "../../domain/ids";
import type { Webhook } from "../../domain/webhook";
import { attemptUnderWay, findDelivery, retryDelivery } from "../../operations/deliveries";
import type { Outcome } from "../ui/actions";
import { callerOf, type PageContext } from "../ui/session";

/** One that is under way is waited for: another would be refused. */
export async function attemptNow(
  c: PageContext,
  webhook: Webhook,
  { id, at }: { id: EventId; at: string },
): Promise<Outcome> {
  const delivery = await findDelivery(c.env, webhook, id);
  const underWay = delivery && (await attemptUnderWay(c.env, webhook, delivery));
  if (underWay !== null) return toldOf(underWay, at);
  const tried = await retryDelivery(c.env, webhook, { id, by: callerOf(c), wait: true });
  if (!tried.ok) {
    const { failure } = tried;
    return failure.code === "not_found" ? { failure } : { failure, at };
  }
  const { attempt } = tried.value;
  return attempt === null ? { done: "attempt_waits", at } : toldOf(attempt, at);
}

export function toldOf({ error }: AttemptRecord, at: string): Outcome {
  return error === null ? { done: "attempt_worked", count: 0, at } : { done: "attempt_failed", at };
}
