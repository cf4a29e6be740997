/** What is given of a webhook: to register it, to change it, to make it what a file says. */
import * as z from "zod/mini";
import { checkFilter, type Filter } from "../domain/filter";
import { checkHeaders, headersOf } from "../domain/headers";
import { WEBHOOK_NAME } from "../domain/ids";
import { RELAY_EVENTS } from "../domain/relay-events";
import { parseSchedule, parseTimeout } from "../domain/schedule";
import { SECRET } from "../domain/signature";
import { turned } from "../domain/tolerant";
import { ALL_EVENTS, DEFAULTS, type WebhookChanges, type WebhookDraft } from "../domain/webhook";
import { document, eventName, namedStrict, said, textLike } from "./fields";

const MAX_DESCRIPTION_CHARACTERS = 1_000;
const MAX_EVENT_NAMES = 100;
/** Less than one a day would keep a delivery beyond any retention. */
const MIN_RATE_PER_SECOND = 0.00001;
export const DEFAULT_GRACE_SECONDS = 86_400;
const MAX_GRACE_SECONDS = 604_800;
const MAX_CONCURRENCY = 300;
const MAX_GIVE_UP_ON = 97;
/** Not now, never again, and not so fast: answers that have a meaning of their own. */
const TRIED_AGAIN = new Set([408, 410, 429]);
export const SECRET_EXAMPLE = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0ISE=";

export const name = said(
  textLike(
    WEBHOOK_NAME,
    "must be 1 to 63 lower-case letters, digits and hyphens, beginning with a letter, such as crm",
  ),
  "Unique; stands for the id in the path of every call. null for none.",
);
const url = z.string().check(z.minLength(1)).register(document, {
  maxLength: 2_048,
  pattern:
    "^(([Hh][Tt][Tt][Pp][Ss]?://|[Ss][Ee][Rr][Vv][Ii][Cc][Ee]:)[^\\s\\x00-\\x1f\\x7f-\\x9f\\\\#]+|[Ll][Ii][Ss][Tt][Ee][Nn][Ee][Rr]:)$",
  description:
    "`https://` and a public DNS name of two labels or more, on port 443 or from 1024 up, without credentials, fragment, white space, control characters or backslash; or `service:NAME/path` for a service or VPC binding of the Worker; or `listener:` for whoever connects to listen.",
});
const events = said(
  z
    .array(
      textLike(
        /^(\*|[A-Za-z0-9._-]{1,128})$/,
        'must be "*", or 1 to 128 of A-Z a-z 0-9 . _ - as an event is named',
      ),
    )
    .check(
      z.minLength(1, 'must name at least one event, or be ["*"] for all of them'),
      z.maxLength(MAX_EVENT_NAMES),
      z.refine(
        (names) =>
          !names.includes(ALL_EVENTS) ||
          names.every((name) => name === ALL_EVENTS || Object.hasOwn(RELAY_EVENTS, name)),
        'must be names or "*"; beside "*" only events of the relay itself, such as relay.webhook.failing',
      ),
      z.refine((names) => new Set(names).size === names.length, "must name each event once"),
    ),
  'Names of events, each once; or `["*"]` for all that Leadterra sends, beside which those of the relay itself may be named.',
);
const description = z.string().check(z.maxLength(MAX_DESCRIPTION_CHARACTERS));
const headers = turned(
  z.unknown().check(
    z.superRefine((given, context) => {
      for (const { name, message } of checkHeaders(given)) {
        context.addIssue({ code: "custom", path: name === null ? [] : [name], message });
      }
    }),
  ),
  (given) => headersOf(given as Record<string, string>),
).register(document, {
  id: "CustomHeaders",
  type: "object",
  propertyNames: { pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$" },
  additionalProperties: { type: "string", maxLength: 4_096, pattern: "^[!-~]([ -~]*[!-~])?$" },
  maxProperties: 50,
  description:
    "Sent with every delivery; a name once, whatever its case. Values are never shown again. Names that the relay, the platform or HTTP itself sets are refused: `Content-*`, `CF-*`, `X-Forwarded-*`, Host, Cookie, Expect, User-Agent, hop-by-hop and the signatures.",
});
/** The paths of mistakes lead into the filter. */
export const filterSchema = z
  .custom<Filter>()
  .check(
    z.superRefine((given, context) => {
      for (const mistake of checkFilter(given)) {
        const path = mistake.path === "filter" ? [] : [mistake.path.slice("filter.".length)];
        context.addIssue({ code: "custom", path, message: mistake.message });
      }
    }),
  )
  .register(document, {
    id: "Filter",
    type: "object",
    additionalProperties: true,
    description:
      "A query in MongoDB's form over the event's envelope: dotted paths with a value or with $eq $ne $in $nin $gt $gte $lt $lte $exists $startsWith $endsWith $not under them, $and and $or beside them. At most 8 levels, 64 conditions and 8,192 bytes of JSON.",
  });
const retrySchedule = textLike(
  (given) => parseSchedule(given) !== null,
  'must be 1 to 20 durations such as "1m 5m 30m 2h 8h"',
).register(document, {
  pattern:
    "^([0-9]{1,9}s|[0-9]{1,7}m|[0-9]{1,5}h|[0-9]{1,4}d)( ([0-9]{1,9}s|[0-9]{1,7}m|[0-9]{1,5}h|[0-9]{1,4}d)){0,19}$",
  description:
    "Waits after each failed attempt, 1 to 20 durations with one space between, shorter in all than RETENTION; null for the relay's own.",
});
const timeout = textLike(
  (given) => parseTimeout(given) !== null,
  'must be a duration from 1s to 60s, such as "30s"',
).register(document, {
  pattern: "^(0*([1-9]|[1-5][0-9]|60)s|0*1m)$",
  description: "How long the service may take to answer, 1s to 60s; null for the relay's own.",
});
const giveUpOn = said(
  z
    .array(
      z.int().check(
        z.minimum(400),
        z.maximum(499),
        z.refine((status) => !TRIED_AGAIN.has(status), "must not be 408, 410 or 429"),
      ),
    )
    .check(z.maxLength(MAX_GIVE_UP_ON)),
  "Statuses from 400 to 499, but 408, 410 and 429: the first such answer ends a delivery as undeliverable, and is no failure of the service.",
);
const rateLimit = said(
  z.number().check(z.minimum(MIN_RATE_PER_SECOND)),
  "Deliveries per second; fractions are allowed.",
);
const signingSecret = textLike(SECRET, 'must be "whsec_" and the base64 of 24 to 64 bytes')
  .check(
    z.refine((given) => given !== SECRET_EXAMPLE, "must not be the example of this documentation"),
  )
  .register(document, {
    description: "`whsec_` and the base64 of 24 to 64 bytes; made by the relay when left out.",
  });
const ordered = said(
  z.boolean(),
  "One event at a time in the order of arrival; a failing one holds those behind it.",
);

const concurrency = said(
  z.int().check(z.minimum(1), z.maximum(MAX_CONCURRENCY)),
  "How many attempts may be in flight at once, 1 to 300; null for 6.",
);

const settings = {
  name: z.nullish(name),
  description: z.nullish(description),
  filter: z.nullish(filterSchema),
  headers: z.nullish(headers),
  rateLimit: z.nullish(rateLimit),
  ordered: z.nullish(ordered),
  concurrency: z.nullish(concurrency),
  timeout: z.nullish(timeout),
  retrySchedule: z.nullish(retrySchedule),
  giveUpOn: z.nullish(giveUpOn),
};

/** What counts when a webhook is made, and no more. */
const beginnings = {
  status: said(
    z.optional(z.enum(["active", "paused"])),
    "`paused` to begin with its deliveries held.",
  ),
  signingSecret: z.optional(signingSecret),
};
const sameService = said(
  z.optional(z.boolean()),
  "With a URL of another origin: the service has moved, and keeps its secret (and, in a change, its headers).",
);

export const draftSchema = namedStrict("WebhookDraft", { url, events, ...settings, ...beginnings });

const dryRun = said(
  z.optional(z.boolean()),
  "Answers as if it were done: `updatedAt` of the answer tells whether anything differs.",
);

export const putSchema = z
  .extend(draftSchema, { sameService, dryRun })
  .register(document, { id: "WebhookSettings" });

export const changesSchema = namedStrict("WebhookChanges", {
  url: z.optional(url),
  events: z.optional(events),
  ...settings,
  sameService,
});

/** The host by which the relay is reached: a webhook must not lead back to it. */
export function relayHost(requestUrl: string): string {
  return new URL(requestUrl).host;
}

/** @param given without its secret. @param host as `relayHost` has it. */
export function draftOf(given: Omit<z.output<typeof draftSchema>, "signingSecret">, host: string) {
  return { ...DEFAULTS, ...changesOf(given), relayHost: host } as WebhookDraft;
}

/** Null unsets a field; one that is missing stays as it is. Of statuses each counts once, in whatever order. */
export function changesOf(given: z.output<typeof changesSchema>): WebhookChanges {
  const { giveUpOn } = given;
  const once = giveUpOn && { giveUpOn: [...new Set(giveUpOn)].sort((a, b) => a - b) };
  const entries = Object.entries({ ...given, ...once }).filter(([, value]) => value !== undefined);
  return Object.fromEntries(
    entries.map(([field, value]) => [field, value ?? DEFAULTS[field as keyof typeof DEFAULTS]]),
  );
}

export const rotationSchema = namedStrict("SecretRotation", {
  gracePeriodSeconds: said(
    z._default(z.int().check(z.minimum(0), z.maximum(MAX_GRACE_SECONDS)), DEFAULT_GRACE_SECONDS),
    `How long the secrets until now sign beside the new one; ${DEFAULT_GRACE_SECONDS} unless said.`,
  ),
  signingSecret: z.optional(signingSecret),
});

export const testSchema = namedStrict("TestEvent", { event: z.optional(eventName) });
