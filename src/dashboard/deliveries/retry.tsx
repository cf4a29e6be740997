/** The ticked deliveries again: some with each form, so that whoever waits sees how far it is and may stop. */
import { type NotRetried, retryDeliveries } from "../../operations/deliveries";
import { allWebhooks } from "../../operations/webhooks";
import type { Outcome } from "../ui/actions";
import { type Form, text, texts } from "../ui/form";
import { deliveries } from "../ui/format";
import { DELIVERIES_PATH } from "../ui/paths";
import { goOn, soFarIn } from "../ui/progress";
import { callerOf, type PageContext } from "../ui/session";
import { type Chosen, chosenPath, formatChosen, parseChosen, parseTicked } from "./chosen";

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
