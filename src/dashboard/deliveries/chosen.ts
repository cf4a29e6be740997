/** Some deliveries of any webhooks, by their ids alone: in the address of their list, and from form to form as they are retried. */
import { type EventId, parseEventId, parseWebhookId, type WebhookId } from "../../domain/ids";
import type { Webhook } from "../../domain/webhook";
import { findDelivery, type NotRetried, retryDeliveries } from "../../operations/deliveries";
import { answerOf, type Unanswered } from "../../operations/objects";
import { allWebhooks } from "../../operations/webhooks";
import type { Outcome } from "../ui/actions";
import { type Form, text, texts } from "../ui/form";
import { deliveries } from "../ui/format";
import { DELIVERIES_PATH, withQuery } from "../ui/paths";
import { goOn, soFarIn } from "../ui/progress";
import { callerOf, type PageContext } from "../ui/session";

/** A page's worth: an address, and the cookie that brings it along, take no more. */
export const MAX_CHOSEN = 50;

export type Chosen = { webhookId: WebhookId; eventId: EventId };

/** `webhook.event.event-webhook.event`, each id without its prefix: nothing that an address writes longer. */
function formatChosen(chosen: readonly Chosen[]): string {
  const groups = Map.groupBy(chosen, ({ webhookId }) => webhookId);
  return [...groups]
    .map(([id, own]) => [id, ...own.map(({ eventId }) => eventId)])
    .map((ids) => ids.map((id) => id.slice(id.indexOf("_") + 1)).join("."))
    .join("-");
}

/** What is no such text, or of which there is too much, is left out. */
export function parseChosen(text: string): Chosen[] {
  const chosen = text.split("-").flatMap((group) => {
    const [webhook, ...events] = group.split(".");
    return events.flatMap((event) => chosenOf(`wh_${webhook}`, `evt_${event}`));
  });
  return chosen.slice(0, MAX_CHOSEN);
}

/** As they are ticked: `webhook/event`. */
function parseTicked(values: readonly string[]): Chosen[] {
  const chosen = [...new Set(values)].flatMap((value) => {
    const [webhook = "", event = ""] = value.split("/");
    return chosenOf(webhook, event);
  });
  return chosen.slice(0, MAX_CHOSEN);
}

function chosenOf(webhook: string, event: string): Chosen[] {
  const [webhookId, eventId] = [parseWebhookId(webhook), parseEventId(event)];
  return webhookId === null || eventId === null ? [] : [{ webhookId, eventId }];
}

export function chosenPath(chosen: readonly Chosen[]): string {
  return withQuery(DELIVERIES_PATH, { chosen: formatChosen(chosen) });
}

type Wanted = {
  chosen: readonly Chosen[];
  webhooks: readonly Webhook[];
  unanswered: Unanswered[];
};

/** Those that there are, newest first. */
export async function findChosen(env: Env, { chosen, webhooks, unanswered }: Wanted) {
  const byId = new Map(webhooks.map((webhook) => [webhook.id, webhook]));
  const found = await Promise.all(
    chosen.map(({ webhookId, eventId }) => {
      const webhook = byId.get(webhookId);
      if (webhook === undefined) return null;
      const ask = () => findDelivery(env, webhook, eventId);
      return answerOf(`Subscriber ${webhookId}`, ask, unanswered);
    }),
  );
  return found.filter((each) => each !== null).toSorted((a, b) => b.createdAtMs - a.createdAtMs);
}

/** Each may be a look into the journal of another day. */
const RETRIED_AT_ONCE = 10;

export async function retrySelected(c: PageContext, _: null, form: Form): Promise<Outcome> {
  const back = backOf(text(form, "back"));
  const rest = text(form, "rest");
  const selected = rest === "" ? parseTicked(texts(form, "delivery")) : parseChosen(rest);
  if (selected.length === 0) return { done: "nothing_selected", at: back };
  const before = soFarIn(form);
  const some = await retry(c, selected.slice(0, RETRIED_AT_ONCE));
  const left = selected.slice(RETRIED_AT_ONCE);
  const retried = [...parseChosen(text(form, "retried")), ...some.retried];
  const of = before.of ?? selected.length;
  if (left.length > 0) {
    const title = { title: "Retry the selected", trail: [["Deliveries", back]] } as const;
    return goOn(c, title, {
      action: `${DELIVERIES_PATH}/retry`,
      fields: { back, retried: formatChosen(retried), rest: formatChosen(left) },
      done: before.done + some.retried.length + some.failed.length,
      of,
      headline: `${deliveries(retried.length)} retried so far.`,
      out: back,
    });
  }
  const [first] = some.failed;
  if (retried.length === 0 && first !== undefined) {
    const { code } = first;
    return code === "not_found" ? { failure: { code } } : { failure: { code }, at: back };
  }
  const done = retried.length === of ? "retried" : "retried_in_part";
  const told = { done, count: retried.length } as const;
  const list = chosenPath(retried);
  // From a list of this kind to the list of this kind: one such address is all that a cookie can hold.
  return back.startsWith(`${DELIVERIES_PATH}?chosen=`)
    ? { ...told, at: list }
    : { ...told, at: back, touched: list };
}

async function retry(c: PageContext, some: readonly Chosen[]) {
  const webhooks = await allWebhooks(c.env);
  const retried: Chosen[] = [];
  const failed: NotRetried[] = [];
  for (const [webhookId, own] of Map.groupBy(some, (each) => each.webhookId)) {
    const ids = own.map(({ eventId }) => eventId);
    const webhook = webhooks.find(({ id }) => id === webhookId);
    if (webhook === undefined) {
      failed.push(...ids.map((id): NotRetried => ({ id, code: "not_found" })));
      continue;
    }
    const outcome = await retryDeliveries(c.env, webhook, { ids, by: callerOf(c) });
    retried.push(...outcome.retried.map((eventId) => ({ webhookId, eventId })));
    failed.push(...outcome.failed);
  }
  return { retried, failed };
}

/** The list that the form was sent from; never another page. */
function backOf(given: string): string {
  return /^\/dashboard\/deliveries(?:\?[\x21-\x7e]*)?$/.test(given) ? given : DELIVERIES_PATH;
}
