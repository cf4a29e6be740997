/** Of the API, and of what stands behind it. */
import type { Mutant } from "../mutants.ts";
import { fault } from "./fault.ts";

export const WORKER: readonly Mutant[] = [
  fault("worker/alerts", "what was told long ago is told to be over", "src/actors/alerts.ts", [
    " && nowMs - alert.raisedAtMs < STALE_AFTER_MS",
    "",
  ]),
  fault(
    "worker/all-deliveries",
    "a page that ends within an event goes on behind it",
    "src/operations/all-deliveries.ts",
    ["isBehind ? after(place.eventId) : place.eventId", "place.eventId"],
  ),
  fault(
    "worker/api-basics",
    "the scheme of a key in other letters is none",
    "src/routes/http/auth.ts",
    ["const BEARER = /^bearer +(\\S+) *$/i;", "const BEARER = /^Bearer +(\\S+) *$/;"],
  ),
  fault(
    "worker/api-walk",
    "a parameter of a call that takes none is passed over",
    "src/routes/http/serve.ts",
    ["const nothing = z.strictObject({});", "const nothing = z.looseObject({});"],
  ),
  fault(
    "worker/audit",
    "an event that was erased before is erased again in the audit log",
    "src/operations/events.ts",
    ["if (isNew) await addToAudit", "if (isNew || found) await addToAudit"],
  ),
  fault(
    "worker/canary",
    "what stands in the query of a URL is kept of an answer",
    "src/actors/subscriber/attempt.ts",
    [
      "[...given, ...tokens, query, ...new URLSearchParams(query).values()]",
      "[...given, ...tokens]",
    ],
  ),
  fault("worker/config", "a RETENTION as long as the schedule is long enough", "src/config.ts", [
    "ms !== null && ms > shortestMs &&",
    "ms !== null && ms >= shortestMs &&",
  ]),
  fault(
    "worker/contract",
    "a 401 at the door of Leadterra does not say how to come in",
    "src/contract/problem.ts",
    ['    { "www-authenticate": "Signature" },\n', ""],
  ),
  fault(
    "worker/dead-letters",
    "a redrive is owed to a webhook that was deleted",
    "src/operations/dead-letters.ts",
    ['return status === "accepted" || status === "deleted";', 'return status === "accepted";'],
  ),
  fault(
    "worker/event-totals",
    "what older days came to is not added up",
    "src/storage/registry-store.ts",
    [
      'addTotals([counted, this.eventTotals().get("") ?? noEvents()])',
      'this.eventTotals().get("") ?? noEvents()',
    ],
  ),
  fault(
    "worker/events-api",
    "days of before the first event are asked",
    "src/operations/journal.ts",
    ["rest.filter((day) => day >= firstDay)", "rest"],
  ),
  fault(
    "worker/field-cases",
    "the secret that is printed as an example may be used",
    "src/contract/webhook-settings.ts",
    [
      ".refine((given) => given !== SECRET_EXAMPLE,",
      ".refine((given) => given !== SECRET_EXAMPLE.toLowerCase(),",
    ],
  ),
  fault("worker/filters-api", "an event without an envelope is tried", "src/contract/events.ts", [
    ".custom<JsonObject>(isObject,",
    ".custom<JsonObject>(() => true,",
  ]),
  fault(
    "worker/health",
    "cookies stand in the log of an attempt",
    "src/actors/subscriber/send.ts",
    ['    if (name === "set-cookie") continue;\n', ""],
  ),
  fault(
    "worker/hold",
    "an ordered webhook wakes for what was asked for behind what waits",
    "src/actors/subscriber/agenda.ts",
    [
      "const isAsked = waiting.asked === ASKED.byRetry;",
      "const [asked] = this.#free(1, { asked: true });\n      if (asked !== undefined) return Math.max(asked.dueAtMs, openToAskedMs);\n      const isAsked = waiting.asked === ASKED.byRetry;",
    ],
  ),
  fault("worker/idempotency", "a call is answered again after two days", "src/actors/records.ts", [
    "const ANSWERS_KEPT_MS = DAY_MS;",
    "const ANSWERS_KEPT_MS = 2 * DAY_MS;",
  ]),
  fault(
    "worker/journal",
    "a Journal that could not be deleted does not try again",
    "src/actors/journal.ts",
    ["      await this.ctx.storage.setAlarm(Date.now() + TRY_AGAIN_MS);\n", ""],
  ),
  fault(
    "worker/listening",
    "a listener that is silent for a minute stays connected",
    "src/actors/subscriber/listener.ts",
    ["const SILENT_AFTER_MS = 60_000;", "const SILENT_AFTER_MS = 90_000;"],
  ),
  fault(
    "worker/names",
    "a change with the fields in another order is one",
    "src/domain/webhook.ts",
    [
      "isObject(each) ? Object.fromEntries(Object.entries(each).sort()) : each",
      "isObject(each) ? Object.fromEntries(Object.entries(each)) : each",
    ],
  ),
  fault(
    "worker/objects",
    "an object that is overloaded is asked once more",
    "src/operations/objects.ts",
    ["return retryable === true && overloaded !== true;", "return retryable === true;"],
  ),
  fault(
    "worker/openapi",
    "the document does not say which failures a POST with a key can have",
    "scripts/openapi.ts",
    [
      '  if (method === "post") codes.add("idempotency_key_reused").add("idempotency_key_in_use");\n',
      "",
    ],
  ),
  fault(
    "worker/pages",
    "a page reads again what stands before it",
    "src/storage/delivery-lists.ts",
    [
      "const from = before?.seq ?? END.seq;",
      "const from = before === null ? END.seq : before.seq + 2;",
    ],
    [
      "      const verdict = keep(delivery);\n",
      "      if (before !== null && !isBefore(delivery.position, before)) continue;\n      const verdict = keep(delivery);\n",
    ],
  ),
  fault(
    "worker/pushes",
    "what was not acknowledged is not repeated after a restart",
    "src/actors/pushes.ts",
    [
      "    if (this.#waiting().length > 0) this.#host.alarm.arm(Date.now() + MIN_BACKOFF_MS);\n",
      "",
    ],
  ),
  fault(
    "worker/relay-events",
    "what happened while the minute lasts is told at once",
    "src/actors/outbox.ts",
    ["dueAtMs: Date.now() + MINUTE_MS", "dueAtMs: Date.now()"],
  ),
  fault(
    "worker/replay",
    "what is under way is counted by a dry run",
    "src/operations/deliveries.ts",
    ['status === "pending" && waitingFor !== "attempt"', 'status === "pending"'],
  ),
  fault("worker/service-target", "the relay's own files are a service", "src/config.ts", [
    '  "ASSETS",\n',
    "",
  ]),
  fault(
    "worker/settings-race",
    "a rate limit that comes does not keep what is next",
    "src/actors/subscriber/rate.ts",
    [
      "    this.#run.nextStartAtMs = this.earliest(rateLimit, nextStartAtMs);\n",
      "    this.#run.nextStartAtMs = nextStartAtMs;\n",
    ],
  ),
  fault(
    "worker/stats",
    "a count that a release did not know is still one",
    "src/actors/subscriber/recovery.ts",
    [
      "const isCounted = run.endedAsOf === run.saved;",
      "const isCounted = run.endedAsOf <= run.saved;",
    ],
  ),
  fault(
    "worker/subscriber",
    "of an id that is twice in a batch the last one counts",
    "src/storage/delivery-store.ts",
    [
      "if (!known.has(arrival.id) && !fresh.has(arrival.id)) fresh",
      "if (!known.has(arrival.id)) fresh",
    ],
  ),
  fault(
    "worker/unanswered",
    "a day that does not answer counts as one without events",
    "src/operations/stats.ts",
    [
      "      if (answer === null) return;",
      "      if (answer === null) return void (ofDay[0]!.events = 0);",
    ],
  ),
];
