/** Which deliveries are sent again or given up: what can be chosen, and the API's calls that do it. */
import type * as z from "zod";
import type { Caller } from "../../access";
import { formatPosition, parsePosition } from "../../contract/cursor";
import { badCursor, fieldErrors } from "../../contract/problem";
import { type FieldError, fail, ok, type Result } from "../../domain/failure";
import { ALL_EVENTS, type Webhook } from "../../domain/webhook";
import { discardDeliveries, replay } from "../../operations/deliveries";
import {
  discardSchema,
  formatReplayCursor,
  parseReplayCursor,
  replaySchema,
} from "../../routes/deliveries";
import { exactTime } from "../ui/time";
import { type Form, text } from "./input";

/** A page of deliveries: how many there were, and where the next one begins. */
type Page = { count: number; next: string | null };

/** What was chosen, ready to be counted or done. */
export type BatchRequest = {
  /** The API's own fields: they go along from form to form, so that what is done is what was counted. */
  fields: Readonly<Record<string, string>>;
  /** What was chosen, as the beginning of a sentence. */
  words(zone: string): string;
  /** Where the form goes on; null at the beginning. */
  cursor: string | null;
  run(
    env: Env,
    webhook: Webhook,
    page: { cursor: string | null; dryRun: boolean; by: Caller },
  ): Promise<Page>;
};

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** How far back, by the name that the form has for it. */
const SPANS: Readonly<Record<string, { ms: number; words: string }>> = {
  hour: { ms: HOUR_MS, words: "the last hour" },
  day: { ms: DAY_MS, words: "the last day" },
  week: { ms: 7 * DAY_MS, words: "the last 7 days" },
  month: { ms: 30 * DAY_MS, words: "the last 30 days" },
};

const ONLY = {
  undeliverable: { title: "Undeliverable ones", words: "those whose retries were used up" },
  missing: {
    title: "Events it never had",
    words:
      "those that it wants by its events and filter of now, and that came while it did not exist or asked for less",
  },
  all: { title: "All of them", words: "delivered ones too: the service gets them a second time" },
} as const;

export const REPLAY = { request: replayRequest, Choices: ReplayChoices };
export const DISCARD = { request: discardRequest, Choices: DiscardChoices };

function replayRequest(form: Form, nowMs: number): Result<BatchRequest> {
  const span = SPANS[text(form, "span")]?.ms;
  const fields = {
    only: text(form, "only"),
    since: text(form, "since") || iso(nowMs - (span ?? 0)),
    // What arrives after the count is not replayed.
    until: text(form, "until") || iso(nowMs),
    ...eventOf(form),
  };
  const given = checked(replaySchema, { ...fields, ...cursorOf(form) });
  if (!given.ok) return given;
  const { since: sinceMs, until, only, event, cursor = null } = given.value;
  if (cursor !== null && parseReplayCursor(cursor, only) === null) return fail(badCursor());
  return ok({
    fields,
    cursor,
    words: (zone) => `${ONLY[only].title}${of(event)}, received since ${exactTime(sinceMs, zone)}`,
    async run(env, webhook, page) {
      const from = page.cursor === null ? null : parseReplayCursor(page.cursor, only);
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

function discardRequest(form: Form, nowMs: number): Result<BatchRequest> {
  const span = SPANS[text(form, "span")]?.ms;
  const fields = { until: text(form, "until") || iso(nowMs - (span ?? 0)), ...eventOf(form) };
  const given = checked(discardSchema, { ...fields, ...cursorOf(form) });
  if (!given.ok) return given;
  const { until: untilMs, event, cursor = null } = given.value;
  if (cursor !== null && parsePosition(cursor) === null) return fail(badCursor());
  return ok({
    fields,
    cursor,
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

function eventOf(form: Form): { event?: string } {
  const event = text(form, "event").trim();
  return event === "" ? {} : { event };
}

function cursorOf(form: Form): { cursor?: string } {
  const cursor = text(form, "cursor");
  return cursor === "" ? {} : { cursor };
}

function checked<S extends z.ZodType>(schema: S, given: unknown): Result<z.output<S>> {
  const parsed = schema.safeParse(given);
  if (parsed.success) return ok(parsed.data);
  const errors: FieldError[] = parsed.error.issues.flatMap(fieldErrors);
  return fail({ code: "invalid_request", errors });
}

function of(event: string | undefined): string {
  return event === undefined ? "" : ` of ${event}`;
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

function ReplayChoices({ webhook }: { webhook: Webhook }) {
  return (
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
          {Object.entries(SPANS).map(([span, { words }]) => (
            <option value={span} selected={span === "day"}>
              {words}
            </option>
          ))}
        </select>
      </label>
      <EventChoice webhook={webhook} />
    </>
  );
}

function DiscardChoices({ webhook }: { webhook: Webhook }) {
  return (
    <>
      <p>
        They end as <em>cancelled</em> and are not tried again by themselves; each can still be sent
        again while its event is kept. The webhook goes on with what arrives later.
      </p>
      <label>
        Received
        <select name="span">
          <option value="">at any time until now</option>
          {Object.entries(SPANS).map(([span, { words }]) => (
            <option value={span}>before {words}</option>
          ))}
        </select>
      </label>
      <EventChoice webhook={webhook} />
    </>
  );
}

function EventChoice({ webhook }: { webhook: Webhook }) {
  const names = webhook.events.filter((name) => name !== ALL_EVENTS);
  return (
    <label>
      Only this event
      <input
        type="text"
        name="event"
        list="asked"
        autocomplete="off"
        autocapitalize="none"
        spellcheck={false}
        placeholder="any"
      />
      <datalist id="asked">
        {names.map((name) => (
          <option value={name} />
        ))}
      </datalist>
    </label>
  );
}
