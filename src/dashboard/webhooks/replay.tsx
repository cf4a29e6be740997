/**
 * Many deliveries of a webhook at once: sent again, or given up. First they are counted, then it is done, a page of
 * 1,000 with each click, so that no request runs for long and one can stop in between.
 */
import { Hono } from "hono";
import type { Child, FC } from "hono/jsx";
import type { Result } from "../../domain/failure";
import type { Webhook } from "../../domain/webhook";
import { type Done, seeOther } from "../ui/notice";
import { page, showFailure } from "../ui/page";
import { count, webhookName, webhookPath } from "../ui/parts";
import { callerOf, mayChange, type PageContext, type PageEnv } from "../ui/session";
import { type BatchRequest, DISCARD, REPLAY } from "./batch";
import { type Form, text } from "./input";
import { namedWebhook, trailOf } from "./named-webhook";

/** Of 1,000 deliveries each; what is behind them is told as "or more". */
const PAGES_COUNTED = 10;

/** What differs between sending again and giving up. */
type Kind = {
  path: "replay" | "discard";
  title: string;
  done: Done;
  button: string;
  tone: "primary" | "danger";
  /** `3 deliveries would be sent again`. */
  would: string;
  /** `1,000 deliveries are on their way` so far. */
  were: string;
  nothing: string;
  request: (form: Form, nowMs: number) => Result<BatchRequest>;
  Choices: FC<{ webhook: Webhook }>;
};

const KINDS: readonly Kind[] = [
  {
    path: "replay",
    title: "Send deliveries again",
    done: "replayed",
    button: "Send them again",
    tone: "primary",
    would: "would be sent again",
    were: "will be sent again",
    nothing:
      "There is nothing of this kind to send again. Look further back, or choose other deliveries.",
    ...REPLAY,
  },
  {
    path: "discard",
    title: "Give up on what waits",
    done: "discarded",
    button: "Give up on them",
    tone: "danger",
    would: "would be given up",
    were: "were given up",
    nothing: "Nothing of this kind waits.",
    ...DISCARD,
  },
];

export const webhookReplay = new Hono<PageEnv>();

for (const kind of KINDS) {
  webhookReplay
    .get(`/:id/${kind.path}`, async (c) => {
      if (!mayChange(c)) return showFailure(c, { code: "insufficient_scope" });
      const webhook = await namedWebhook(c);
      if (webhook === null) return showFailure(c, { code: "not_found" });
      return show(c, kind, webhook, <Ask kind={kind} webhook={webhook} />);
    })
    .post(`/:id/${kind.path}`, async (c) => {
      const webhook = await namedWebhook(c);
      if (webhook === null) return showFailure(c, { code: "not_found" });
      const form: Form = await c.req.parseBody();
      const asked = kind.request(form, Date.now());
      if (!asked.ok) return showFailure(c, asked.failure);
      return text(form, "step") === "go"
        ? act(c, kind, { webhook, request: asked.value, before: numberIn(form, "so_far") })
        : countFirst(c, kind, webhook, asked.value);
    });
}

function show(c: PageContext, { title }: Kind, webhook: Webhook, content: Child) {
  return page(c, { title, trail: trailOf(webhook) }, content);
}

async function countFirst(
  c: PageContext,
  kind: Kind,
  webhook: Webhook,
  request: BatchRequest,
): Promise<Response> {
  let total = 0;
  let cursor: string | null = null;
  for (let pages = 0; pages < PAGES_COUNTED; pages++) {
    const found = await request.run(c.env, webhook, { cursor, dryRun: true, by: callerOf(c) });
    total += found.count;
    cursor = found.next;
    if (cursor === null) break;
  }
  return show(
    c,
    kind,
    webhook,
    <Counted
      kind={kind}
      webhook={webhook}
      request={request}
      total={total}
      more={cursor !== null}
      zone={c.get("zone")}
    />,
  );
}

type Act = { webhook: Webhook; request: BatchRequest; before: number };

async function act(c: PageContext, kind: Kind, { webhook, request, before }: Act) {
  const { cursor } = request;
  const found = await request.run(c.env, webhook, { cursor, dryRun: false, by: callerOf(c) });
  const total = before + found.count;
  if (found.next === null) {
    return seeOther(c, webhookPath(webhook.id), { done: kind.done, count: total });
  }
  return show(
    c,
    kind,
    webhook,
    <section class="panel narrow" aria-label="So far">
      <p class="headline">
        {count(total, "delivery", "deliveries")} {kind.were} so far, and there may be more.
      </p>
      <Confirm kind={kind} webhook={webhook} request={request} cursor={found.next} soFar={total}>
        Go on
      </Confirm>
    </section>,
  );
}

function Ask({ kind, webhook }: { kind: Kind; webhook: Webhook }) {
  const { Choices } = kind;
  return (
    <form method="post" action={pathOf(kind, webhook)} class="panel narrow">
      <input type="hidden" name="step" value="count" />
      <Choices webhook={webhook} />
      <p class="actions">
        <button type="submit" class="primary">
          Count them first
        </button>
        <a href={webhookPath(webhook.id)}>Cancel</a>
      </p>
    </form>
  );
}

type CountedProps = {
  kind: Kind;
  webhook: Webhook;
  request: BatchRequest;
  total: number;
  more: boolean;
  zone: string;
};

function Counted({ kind, webhook, request, total, more, zone }: CountedProps) {
  return (
    <section class="panel narrow" aria-label="Counted">
      {total === 0 && !more ? (
        <>
          <p class="headline">{kind.nothing}</p>
          <p class="actions">
            <a class="button" href={pathOf(kind, webhook)}>
              Choose again
            </a>
            <a href={webhookPath(webhook.id)}>Back to {webhookName(webhook)}</a>
          </p>
        </>
      ) : (
        <>
          <p class="headline">
            {count(total, "delivery", "deliveries")}
            {more && " or more"} {kind.would}.
          </p>
          <p class="quiet">{request.words(zone)}. Nothing was done yet.</p>
          <Confirm kind={kind} webhook={webhook} request={request} cursor={null} soFar={0}>
            {kind.button}
          </Confirm>
        </>
      )}
    </section>
  );
}

type ConfirmProps = {
  kind: Kind;
  webhook: Webhook;
  request: BatchRequest;
  cursor: string | null;
  soFar: number;
  children?: string;
};

function Confirm({ kind, webhook, request, cursor, soFar, children }: ConfirmProps) {
  const fields = {
    ...request.fields,
    step: "go",
    so_far: String(soFar),
    ...(cursor === null ? {} : { cursor }),
  };
  return (
    <form method="post" action={pathOf(kind, webhook)} data-once="">
      {Object.entries(fields).map(([name, value]) => (
        <input type="hidden" name={name} value={value} />
      ))}
      <p class="actions">
        <button type="submit" class={kind.tone}>
          {children}
        </button>
        <a href={webhookPath(webhook.id)}>{soFar === 0 ? "Cancel" : "Stop here"}</a>
      </p>
    </form>
  );
}

function pathOf({ path }: Kind, { id }: Webhook): string {
  return `${webhookPath(id)}/${path}`;
}

function numberIn(form: Form, name: string): number {
  const given = text(form, name);
  return /^\d{1,9}$/.test(given) ? Number(given) : 0;
}
