/**
 * Many deliveries of a webhook at once: replayed, or discarded. First they are counted, then it is done, a page of
 * 1,000 with each form, so that no request runs for long and one can stop in between.
 */
import type { Webhook } from "../../domain/webhook";
import type { Action, Outcome } from "../ui/actions";
import { text } from "../ui/form";
import { deliveries } from "../ui/format";
import { page } from "../ui/page";
import { Hidden, Submit, webhookName, webhookPath } from "../ui/parts";
import { GoOn, type SoFar, soFarIn } from "../ui/progress";
import { callerOf, type PageContext } from "../ui/session";
import { useViewer } from "../ui/viewer";
import type { Batch, BatchRequest } from "./batch-kinds";
import { trailOf } from "./named-webhook";

/** Of 1,000 deliveries each; what is behind them is told as "or more". */
const PAGES_COUNTED = 10;

type Asked = { kind: Batch; webhook: Webhook; request: BatchRequest };

export function batch(kind: Batch): Action<Webhook> {
  const { title } = kind;
  return {
    ask: (c, webhook) =>
      page(c, { title, trail: trailOf(webhook) }, <Ask kind={kind} webhook={webhook} />),
    act: async (c, webhook, form) => {
      const given = kind.request(form, Date.now());
      if (!given.ok) return given;
      const asked = { kind, webhook, request: given.value };
      if (text(form, "step") === "go") return act(c, asked, soFarIn(form));
      const counted = await countFirst(c, asked);
      return {
        asked: await page(
          c,
          { title, trail: trailOf(webhook) },
          <Counted {...asked} {...counted} />,
        ),
      };
    },
  };
}

async function countFirst(c: PageContext, { webhook, request }: Asked) {
  let total = 0;
  let cursor: string | null = null;
  for (let pages = 0; pages < PAGES_COUNTED; pages++) {
    const found = await request.run(c.env, webhook, { cursor, dryRun: true, by: callerOf(c) });
    total += found.count;
    cursor = found.next;
    if (cursor === null) break;
  }
  return { total, more: cursor !== null };
}

async function act(c: PageContext, asked: Asked, before: SoFar): Promise<Outcome> {
  const { kind, webhook, request } = asked;
  const { cursor } = request;
  const found = await request.run(c.env, webhook, { cursor, dryRun: false, by: callerOf(c) });
  const total = before.done + found.count;
  const at = webhookPath(webhook.id);
  if (found.next === null) {
    const touched = total > 0 && { touched: request.touched(webhook, c.get("zone")) };
    return { done: kind.done, count: total, ...touched };
  }
  const soFar = await page(
    c,
    { title: kind.title, trail: trailOf(webhook) },
    <GoOn
      action={pathOf(kind, webhook)}
      fields={{ ...request.fields, step: "go", cursor: found.next }}
      soFar={{ done: total, of: before.of }}
      headline={`${deliveries(total)} ${kind.were} so far.`}
      tone={kind.tone}
      out={at}
    />,
  );
  return { asked: soFar };
}

function Ask({ kind, webhook }: Omit<Asked, "request">) {
  return (
    <form method="post" action={pathOf(kind, webhook)} class="panel narrow">
      <input type="hidden" name="step" value="count" />
      {kind.choices(webhook)}
      <Submit out={[webhookPath(webhook.id), "Cancel"]}>Count them first</Submit>
    </form>
  );
}

type CountedProps = Asked & { total: number; more: boolean };

function Counted({ total, more, ...asked }: CountedProps) {
  const { kind, webhook, request } = asked;
  const { zone } = useViewer();
  return (
    <section class="panel narrow" aria-label="Counted">
      {total === 0 && !more ? (
        <>
          <p class="headline">{kind.nothing}</p>
          <p class="actions">
            <a class="button" href={pathOf(kind, webhook)}>
              Choose again
            </a>
            <a href={webhookPath(webhook.id)}>
              Back to <bdi>{webhookName(webhook)}</bdi>
            </a>
          </p>
        </>
      ) : (
        <>
          <p class="headline">
            {deliveries(total)}
            {more && " or more"} {kind.would}.
          </p>
          <p class="quiet">{request.words(zone)}. Nothing was done yet.</p>
          <Confirm {...asked} total={more ? null : total} />
        </>
      )}
    </section>
  );
}

function Confirm({ kind, webhook, request, total }: Asked & { total: number | null }) {
  const fields = { ...request.fields, step: "go", ...(total !== null && { of: String(total) }) };
  return (
    <form method="post" action={pathOf(kind, webhook)} data-once="">
      <Hidden fields={fields} />
      <Submit tone={kind.tone} out={[webhookPath(webhook.id), "Cancel"]}>
        {kind.button}
      </Submit>
    </form>
  );
}

function pathOf({ path }: Batch, { id }: Webhook): string {
  return `${webhookPath(id)}/${path}`;
}
