/**
 * Many deliveries of a webhook at once: replayed, or discarded. First they are counted, then it is done, a page of
 * 1,000 with each form, so that no request runs for long and one can stop in between.
 */
import { ok } from "../../domain/failure";
import { ALL_EVENTS, type Webhook } from "../../domain/webhook";
import type { Action, Outcome } from "../ui/actions";
import { type Form, text } from "../ui/form";
import { deliveries } from "../ui/format";
import { EventNameField } from "../ui/list";
import { type PageOptions, page } from "../ui/page";
import { Hidden, link, Submit, webhookName } from "../ui/parts";
import { deliveriesPath, webhookPath } from "../ui/paths";
import { goOn, soFarIn } from "../ui/progress";
import { callerOf, type PageContext, useViewer } from "../ui/session";
import { formatLocalTime, sinceStart } from "../ui/time-range";
import type { Batch, Chosen } from "./batch-kinds";
import { trailOf } from "./named-webhook";

/** Of 1,000 deliveries each; what is behind them is told as "or more". */
const PAGES_COUNTED = 10;

type Asked = { kind: Batch; webhook: Webhook; chosen: Chosen };

export function batch(kind: Batch): Action<Webhook> {
  return {
    ask: (c, webhook) => page(c, titleOf(kind, webhook), <Ask kind={kind} webhook={webhook} />),
    act: async (c, webhook, form) => {
      const event = text(form, "event").trim();
      const chosen = { ...kind.chosenIn(form, Date.now()), ...(event !== "" && { event }) };
      const asked = { kind, webhook, chosen };
      if (text(form, "step") === "go") return act(c, asked, form);
      const counted = await countFirst(c, asked);
      if (!counted.ok) return counted;
      return page(c, titleOf(kind, webhook), <Counted {...asked} {...counted.value} />);
    },
  };
}

function titleOf({ title }: Batch, webhook: Webhook): PageOptions {
  return { title, trail: trailOf(webhook) };
}

async function countFirst(c: PageContext, { kind, webhook, chosen }: Asked) {
  let total = 0;
  let cursor: string | null = null;
  for (let pages = 0; pages < PAGES_COUNTED; pages++) {
    const given = { ...chosen, ...(cursor !== null && { cursor }), dryRun: true };
    const found = await kind.run(c.env, webhook, { given, by: callerOf(c) });
    if (!found.ok) return found;
    total += found.value.count;
    cursor = found.value.next;
    if (cursor === null) break;
  }
  return ok({ total, more: cursor !== null });
}

async function act(c: PageContext, { kind, webhook, chosen }: Asked, form: Form): Promise<Outcome> {
  const before = soFarIn(form);
  const startedMs = Number(text(form, "started")) || Date.now();
  const cursor = text(form, "cursor");
  const given = { ...chosen, ...(cursor !== "" && { cursor }), dryRun: false };
  const found = await kind.run(c.env, webhook, { given, by: callerOf(c) });
  if (!found.ok) return found;
  const { count, next } = found.value;
  const done = before.done + count;
  if (next === null) {
    const at = (time = "") => formatLocalTime(Date.parse(time), c.get("zone"));
    const { query, ...told } = kind.touched(chosen, sinceStart(startedMs, c.get("zone")), at);
    const list = { touched: deliveriesPath(webhook, query), ...told };
    return { done: kind.done, count: done, ...(done > 0 && list) };
  }
  return goOn(c, titleOf(kind, webhook), {
    action: pathOf(kind, webhook),
    fields: { ...chosen, step: "go", cursor: next, started: String(startedMs) },
    done,
    of: before.of,
    headline: `${deliveries(done)} ${kind.done} so far.`,
    tone: kind.tone,
    out: webhookPath(webhook.id),
  });
}

function Ask({ kind, webhook }: Omit<Asked, "chosen">) {
  const names = webhook.events.filter((name) => name !== ALL_EVENTS);
  return (
    <form method="post" action={pathOf(kind, webhook)} class="panel narrow">
      <input type="hidden" name="step" value="count" />
      {kind.choices}
      <EventNameField label="Only events named" names={names} query={{}} />
      <Submit out={[webhookPath(webhook.id), "Cancel"]}>Count them first</Submit>
    </form>
  );
}

function Counted({ kind, webhook, chosen, total, more }: Asked & { total: number; more: boolean }) {
  const { zone } = useViewer();
  return (
    <section class="panel narrow" aria-label="Counted">
      {total === 0 && !more
        ? [
            <p class="headline">{kind.nothing}</p>,
            <p class="actions">
              {link(pathOf(kind, webhook), "Choose again", "button")}
              {link(webhookPath(webhook.id), ["Back to ", <bdi>{webhookName(webhook)}</bdi>])}
            </p>,
          ]
        : [
            <p class="headline">
              {deliveries(total)}
              {more && " or more"} would be {kind.done}.
            </p>,
            <p class="quiet">{kind.words(chosen, zone)}. Nothing was done yet.</p>,
            <form method="post" action={pathOf(kind, webhook)} data-once="">
              <Hidden fields={{ ...chosen, step: "go", ...(!more && { of: String(total) }) }} />
              <Submit tone={kind.tone} out={[webhookPath(webhook.id), "Cancel"]}>
                {kind.button}
              </Submit>
            </form>,
          ]}
    </section>
  );
}

function pathOf({ path }: Batch, { id }: Webhook): string {
  return `${webhookPath(id)}/${path}`;
}
