/** Which deliveries are replayed or discarded: what can be chosen, and the API's calls that do it. */
import type { Child } from "hono/jsx";
import type { Caller } from "../../access";
import {
  formatPosition,
  formatReplayCursor,
  parsePosition,
  parseReplayCursor,
} from "../../contract/cursor";
import { discardSchema, replaySchema } from "../../contract/deliveries";
import { ok, type Result } from "../../domain/failure";
import { iso } from "../../domain/time";
import { ALL_EVENTS, type Webhook } from "../../domain/webhook";
import { discardDeliveries, replay } from "../../operations/deliveries";
import { type Form, text } from "../ui/form";
import type { Done } from "../ui/notice";
import { deliveriesPath, Options, VERBATIM } from "../ui/parts";
import { exactTime } from "../ui/time";
import { formatLocalTime, WITHIN } from "../ui/time-range";
import { check } from "./input";

/** A page of deliveries: how many there were, and where the next one begins. */
type Page = { count: number; next: string | null };

/** What was chosen, ready to be counted or done. */
export type BatchRequest = {
  /** The API's own fields: they go along from form to form, so that what is done is what was counted. */
  fields: Readonly<Record<string, string>>;
  /** What was chosen, as the beginning of a sentence. */
  words(zone: string): string;
  /** The list of what it was done to, narrowed as far as a list can be. */
  touched(webhook: Webhook, zone: string): string;
  /** Where the form goes on; null at the beginning. */
  cursor: string | null;
  run(
    env: Env,
    webhook: Webhook,
    page: { cursor: string | null; dryRun: boolean; by: Caller },
  ): Promise<Page>;
};

/** What differs between a replay and a discard. */
export type Batch = {
  path: "replay" | "discard";
  title: string;
  done: Done;
  button: string;
  tone: "primary" | "danger";
  /** `3 deliveries would be replayed`. */
  would: string;
  /** `1,000 deliveries will be replayed` so far. */
  were: string;
  nothing: string;
  request: (form: Form, nowMs: number) => Result<BatchRequest, "invalid_request">;
  choices: (webhook: Webhook) => Child;
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
  would: "would be replayed",
  were: "will be replayed",
  nothing:
    "There is nothing of this kind to replay. Look further back, or choose other deliveries.",
  request: replayRequest,
  choices: (webhook) => (
    <>
      <fieldset>
        <legend>Which deliveries</legend>
        {Object.entries(ONLY).map(([only, { title, words }]) => (
          <label class="inline">
            <input type="radio" name="only" value={only} checked={only === "undeliverable"} />
            <span>
              {title} <small>{words}</small>
            </span>
          </label>
        ))}
      </fieldset>
      <label>
        Received within
        <select name="span">
          <Options of={spans("")} chosen="day" />
        </select>
      </label>
      <EventChoice webhook={webhook} />
    </>
  ),
};

export const DISCARD: Batch = {
  path: "discard",
  title: "Discard pending deliveries",
  done: "discarded",
  button: "Discard them",
  tone: "danger",
  would: "would be discarded",
  were: "were discarded",
  nothing: "Nothing of this kind waits.",
  request: discardRequest,
  choices: (webhook) => (
    <>
      <p>
        They end as <em>cancelled</em> and are not tried again by themselves; each can still be
        replayed while its event is kept. The webhook goes on with what arrives later.
      </p>
      <label>
        Received
        <select name="span">
          <option value="">at any time until now</option>
          <Options of={spans("before ")} />
        </select>
      </label>
      <EventChoice webhook={webhook} />
    </>
  ),
};

function spans(before: string): [value: string, text: string][] {
  return Object.entries(WITHIN).map(([span, { text }]) => [span, before + text.toLowerCase()]);
}

function EventChoice({ webhook }: { webhook: Webhook }) {
  return (
    <label>
      Only this event
      <input type="text" name="event" list="asked" {...VERBATIM} placeholder="any" />
      <datalist id="asked">
        {webhook.events
          .filter((name) => name !== ALL_EVENTS)
          .map((name) => (
            <option value={name} />
          ))}
      </datalist>
    </label>
  );
}

function replayRequest(form: Form, nowMs: number): Result<BatchRequest, "invalid_request"> {
  const fields = {
    only: text(form, "only"),
    since: text(form, "since") || spanStart(form, nowMs),
    // What arrives after the count is not replayed.
    until: text(form, "until") || iso(nowMs),
    ...given(form, "event"),
  };
  const checked = check(replaySchema, { ...fields, ...given(form, "cursor") });
  if (!checked.ok) return checked;
  const { since: sinceMs, until, only, event } = checked.value;
  return ok({
    fields,
    touched: (webhook, zone) => {
      const end = formatLocalTime(Date.parse(fields.until), zone);
      const received = { since: formatLocalTime(sinceMs, zone), until: end };
      // What a webhook never had arrives by the replay.
      const arrived = only === "missing" ? { since: end } : received;
      return deliveriesPath(webhook, { ...given(form, "event"), ...arrived });
    },
    cursor: text(form, "cursor") || null,
    words: (zone) => `${ONLY[only].title}${of(event)}, received since ${exactTime(sinceMs, zone)}`,
    async run(env, webhook, page) {
      const from = page.cursor === null ? null : parseReplayCursor(page.cursor);
      const untilMs = from?.untilMs ?? until ?? nowMs;
      const { replayed, next } = await replay(env, webhook, {
        sinceMs,
        untilMs,
        only,
        ...(event !== undefined && { event }),
        dryRun: page.dryRun,
        by: page.by,
        cursor: from?.cursor ?? null,
      });
      return { count: replayed, next: next && formatReplayCursor(untilMs, next) };
    },
  });
}

function discardRequest(form: Form, nowMs: number): Result<BatchRequest, "invalid_request"> {
  const fields = {
    until: text(form, "until") || spanStart(form, nowMs),
    ...given(form, "event"),
  };
  const checked = check(discardSchema, { ...fields, ...given(form, "cursor") });
  if (!checked.ok) return checked;
  const { until: untilMs, event } = checked.value;
  return ok({
    fields,
    touched: (webhook, zone) =>
      deliveriesPath(webhook, {
        status: "cancelled",
        ...given(form, "event"),
        until: formatLocalTime(Date.parse(fields.until), zone),
      }),
    cursor: text(form, "cursor") || null,
    words: (zone) =>
      `Deliveries${of(event)} that wait and came before ${exactTime(Date.parse(fields.until), zone)}`,
    async run(env, webhook, page) {
      const { discarded, next } = await discardDeliveries(env, webhook, {
        ...(untilMs !== undefined && { untilMs }),
        ...(event !== undefined && { event }),
        dryRun: page.dryRun,
        by: page.by,
        cursor: page.cursor === null ? null : parsePosition(page.cursor),
      });
      return { count: discarded, next: next && formatPosition(next) };
    },
  });
}

/** A field that counts as left out where it is empty. */
function given<Name extends string>(form: Form, name: Name): { [Key in Name]?: string } {
  const value = text(form, name).trim();
  return (value === "" ? {} : { [name]: value }) as { [Key in Name]?: string };
}

function of(event: string | undefined): string {
  return event === undefined ? "" : ` of ${event}`;
}

/** Now, where no span was chosen. */
function spanStart(form: Form, nowMs: number): string {
  const span = text(form, "span");
  return iso(nowMs - (Object.hasOwn(WITHIN, span) ? WITHIN[span as keyof typeof WITHIN].ms : 0));
}
