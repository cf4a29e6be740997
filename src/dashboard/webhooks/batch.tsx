/**
 * Many deliveries of a webhook at once: replayed, or discarded. First they are counted, then it is done, a page of
 * 1,000 with each form, so that no request runs for long and one can stop in between.
 */
import type { Child } from "hono/jsx";
import type { Caller } from "../../access";
import { formatPosition, formatReplayCursor } from "../../contract/cursor";
import { discardSchema, replaySchema } from "../../contract/deliveries";
import { ok, type Result } from "../../domain/failure";
import { iso } from "../../domain/time";
import { ALL_EVENTS, type Webhook } from "../../domain/webhook";
import { discardDeliveries, replay } from "../../operations/deliveries";
import type { Action, Outcome } from "../ui/actions";
import { type Form, text } from "../ui/form";
import { deliveries } from "../ui/format";
import { EventNameField } from "../ui/list";
import type { Done } from "../ui/notice";
import { type PageOptions, page } from "../ui/page";
import { Choice, Hidden, link, Select, Submit, type SubmitTone, webhookName } from "../ui/parts";
import { deliveriesPath, type Query, webhookPath } from "../ui/paths";
import { goOn, soFarIn } from "../ui/progress";
import { callerOf, type PageContext } from "../ui/session";
import { exactTime } from "../ui/time";
import { formatLocalTime, sinceStart, WITHIN } from "../ui/time-range";
import { check } from "./input";
import { trailOf } from "./named-webhook";

/** The API's own fields: they go along from form to form, so that what is done is what was counted. */
type Chosen = { only?: string; since?: string; until: string; event?: string };

/** The list of what it was done to; `isAmong` where that has others too. */
type Touched = { query: Query; isAmong?: boolean };

type PageAsked = { given: Chosen & { cursor?: string; dryRun: boolean }; by: Caller };

type Page = Result<{ count: number; next: string | null }, "invalid_request">;

type Batch = {
  path: "replay" | "discard";
  title: string;
  done: Done;
  button: string;
  tone: SubmitTone;
  nothing: string;
  /** Besides the name of an event. */
  choices: Child;
  chosenIn: (form: Form, nowMs: number) => Chosen;
  /** A page of it; on a dry run only counted. */
  run: (env: Env, webhook: Webhook, asked: PageAsked) => Promise<Page>;
  /** What was chosen, as the beginning of a sentence; once `run` has found it right. */
  words: (chosen: Chosen) => string;
  /** @param from when it began, as the list's fields have times; so is what `at` makes of one. */
  touched: (chosen: Chosen, from: string, at: (time?: string) => string) => Touched;
};

const ONLY = {
  undeliverable: { title: "Undeliverable ones", words: "those that stopped retrying" },
  missing: {
    title: "Events it never had",
    words:
      "those that it wants by its events and filter of now, and that came while it did not exist or asked for less",
  },
  all: { title: "All of them", words: "delivered ones too: the service gets them a second time" },
} as const;

export const REPLAY: Batch = {
  path: "replay",
  title: "Replay deliveries",
  done: "replayed",
  button: "Replay them",
  tone: "primary",
  nothing:
    "There is nothing of this kind to replay. Look further back, or choose other deliveries.",
  choices: [
    <fieldset>
      <legend>Which deliveries</legend>
      {Object.entries(ONLY).map(([only, { title, words }]) => (
        <Choice type="radio" name="only" value={only} checked={only === "undeliverable"}>
          {title} <small>{words}</small>
        </Choice>
      ))}
    </fieldset>,
    <Select label="Received within" name="span" of={spans("")} chosen="day" />,
  ],
  chosenIn: (form, nowMs) => ({
    only: text(form, "only"),
    since: text(form, "since") || spanStart(form, nowMs),
    // What arrives after the count is not replayed.
    until: text(form, "until") || iso(nowMs),
  }),
  async run(env, webhook, { given, by }) {
    const checked = check(replaySchema, given);
    if (!checked.ok) return checked;
    const { since: sinceMs, until: untilMs = Date.now(), event } = checked.value;
    const { only, dryRun, cursor = null } = checked.value;
    const wanted = { sinceMs, untilMs, only, dryRun, ...(event !== undefined && { event }) };
    const { replayed, next } = await replay(env, webhook, { ...wanted, cursor, by });
    return ok({ count: replayed, next: next && formatReplayCursor(next) });
  },
  words: ({ only, event, since = "" }) =>
    `${ONLY[only as keyof typeof ONLY].title}${of(event)}, received since ${exactTime(Date.parse(since))}`,
  touched({ only, event, since, until }, from, at) {
    const named = event !== undefined && { event };
    // What a webhook never had arrives by the replay.
    if (only === "missing") return { query: { ...named, since: from, opened: from } };
    const received = { ...named, since: at(since), until: at(until) };
    // What waited was not opened, only made due.
    if (only === "all") return { query: received, isAmong: true };
    return { query: { ...received, opened: from } };
  },
};

export const DISCARD: Batch = {
  path: "discard",
  title: "Discard pending deliveries",
  done: "discarded",
  button: "Discard them",
  tone: "danger",
  nothing: "Nothing of this kind waits.",
  choices: [
    <p>
      They end as <em>cancelled</em> and are not tried again by themselves; each can still be
      replayed while its event is kept. The webhook goes on with what arrives later.
    </p>,
    <Select label="Received" name="span" any="at any time until now" of={spans("before ")} />,
  ],
  chosenIn: (form, nowMs) => ({ until: text(form, "until") || spanStart(form, nowMs) }),
  async run(env, webhook, { given, by }) {
    const checked = check(discardSchema, given);
    if (!checked.ok) return checked;
    const { until: untilMs = Date.now(), event, dryRun, cursor = null } = checked.value;
    const wanted = { untilMs, dryRun, cursor, by, ...(event !== undefined && { event }) };
    const { discarded, next } = await discardDeliveries(env, webhook, wanted);
    return ok({ count: discarded, next: next && formatPosition(next) });
  },
  words: ({ event, until }) =>
    `Deliveries${of(event)} that wait and came before ${exactTime(Date.parse(until))}`,
  touched: ({ event, until }, from, at) => ({
    query: {
      status: "cancelled",
      ...(event !== undefined && { event }),
      until: at(until),
      ended: from,
    },
  }),
};

function spans(before: string): [value: string, text: string][] {
  return Object.entries(WITHIN).map(([span, { text }]) => [span, before + text.toLowerCase()]);
}

function of(event: string | undefined): string {
  return event === undefined ? "" : ` of ${event}`;
}

/** Now, where no span was chosen. */
function spanStart(form: Form, nowMs: number): string {
  const span = text(form, "span");
  return iso(nowMs - (Object.hasOwn(WITHIN, span) ? WITHIN[span as keyof typeof WITHIN].ms : 0));
}

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
            <p class="quiet">{kind.words(chosen)}. Nothing was done yet.</p>,
            <form method="post" action={pathOf(kind, webhook)}>
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
