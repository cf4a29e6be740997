/** Which deliveries are replayed or discarded: what can be chosen, and the API's calls that do it. */
import type { Child } from "hono/jsx";
import type { Caller } from "../../access";
import { formatPosition, formatReplayCursor } from "../../contract/cursor";
import { discardSchema, replaySchema } from "../../contract/deliveries";
import { ok, type Result } from "../../domain/failure";
import { iso } from "../../domain/time";
import type { Webhook } from "../../domain/webhook";
import { discardDeliveries, replay } from "../../operations/deliveries";
import { type Form, text } from "../ui/form";
import type { Done } from "../ui/notice";
import { Choice, Select, type SubmitTone } from "../ui/parts";
import type { Query } from "../ui/paths";
import { exactTime } from "../ui/time";
import { WITHIN } from "../ui/time-range";
import { check } from "./input";

/** The API's own fields: they go along from form to form, so that what is done is what was counted. */
export type Chosen = { only?: string; since?: string; until: string; event?: string };

/** The list of what it was done to; `isAmong` where that has others too. */
export type Touched = { query: Query; isAmong?: boolean };

type Asked = { given: Chosen & { cursor?: string; dryRun: boolean }; by: Caller };

type Page = Result<{ count: number; next: string | null }, "invalid_request">;

export type Batch = {
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
  run: (env: Env, webhook: Webhook, asked: Asked) => Promise<Page>;
  /** What was chosen, as the beginning of a sentence; once `run` has found it right. */
  words: (chosen: Chosen, zone: string) => string;
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
    const { since: sinceMs, until = Date.now(), only, event, dryRun, cursor } = checked.value;
    const untilMs = cursor?.untilMs ?? until;
    const wanted = { sinceMs, untilMs, only, dryRun, ...(event !== undefined && { event }) };
    const from = { cursor: cursor?.cursor ?? null, by };
    const { replayed, next } = await replay(env, webhook, { ...wanted, ...from });
    return ok({ count: replayed, next: next && formatReplayCursor(untilMs, next) });
  },
  words: ({ only, event, since = "" }, zone) =>
    `${ONLY[only as keyof typeof ONLY].title}${of(event)}, received since ${exactTime(Date.parse(since), zone)}`,
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
  words: ({ event, until }, zone) =>
    `Deliveries${of(event)} that wait and came before ${exactTime(Date.parse(until), zone)}`,
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
