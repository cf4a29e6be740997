/** The ticked deliveries again: some with each form, so that whoever waits sees how far it is and may stop. */
import type { NotRetried } from "../../operations/deliveries";
import { retryDeliveries } from "../../operations/deliveries";
import { allWebhooks } from "../../operations/webhooks";
import type { Outcome } from "../ui/actions";
import { type Form, text, texts } from "../ui/form";
import { deliveries } from "../ui/format";
import { page } from "../ui/page";
import { DELIVERIES_PATH } from "../ui/parts";
import { GoOn, soFarIn } from "../ui/progress";
import { callerOf, type PageContext } from "../ui/session";
import { type Chosen, chosenPath, formatChosen, parseChosen, parseTicked } from "./chosen";

/** Each may be a look into the journal of another day. */
const RETRIED_AT_ONCE = 10;

export async function retrySelected(c: PageContext, _: null, form: Form): Promise<Outcome> {
  const back = backOf(text(form, "back"));
  const rest = text(form, "rest");
  const selected = rest === "" ? parseTicked(texts(form, "delivery")) : parseChosen(rest);
  if (selected.length === 0) return { done: "nothing_selected", at: back };
  const { done, of } = soFarIn(form);
  const { retried, failed } = await retry(c, selected.slice(0, RETRIED_AT_ONCE));
  const soFar = {
    retried: [...parseChosen(text(form, "retried")), ...retried],
    left: selected.slice(RETRIED_AT_ONCE),
    of: of ?? selected.length,
    done: done + retried.length + failed.length,
  };
  return soFar.left.length > 0
    ? { asked: await goOn(c, { ...soFar, back }) }
    : outcomeOf({ ...soFar, back, failed });
}

type SoFar = { retried: Chosen[]; left: Chosen[]; of: number; done: number; back: string };

function goOn(c: PageContext, { retried, left, of, done, back }: SoFar): Promise<Response> {
  return page(
    c,
    { title: "Retry the selected", trail: [["Deliveries", back]] },
    <GoOn
      action={`${DELIVERIES_PATH}/retry`}
      fields={{ back, retried: formatChosen(retried), rest: formatChosen(left) }}
      soFar={{ done, of }}
      headline={`${deliveries(retried.length)} retried so far.`}
      tone="primary"
      out={back}
    />,
  );
}

function outcomeOf({ retried, of, back, failed }: SoFar & { failed: NotRetried[] }): Outcome {
  const [first] = failed;
  if (retried.length === 0 && first !== undefined) {
    const { code } = first;
    return code === "not_found" ? { failure: { code } } : { failure: { code }, at: back };
  }
  const told = {
    done: retried.length === of ? "retried" : "retried_in_part",
    count: retried.length,
  } as const;
  const list = chosenPath(retried);
  // From a list of this kind to the list of this kind: one such address is all that a cookie can hold.
  return back.startsWith(`${DELIVERIES_PATH}?chosen=`)
    ? { ...told, at: list }
    : { ...told, at: back, touched: list };
}

async function retry(
  c: PageContext,
  some: readonly Chosen[],
): Promise<{ retried: Chosen[]; failed: NotRetried[] }> {
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
