/** Registering a webhook, and changing one: a form is checked, saved, or shown again with its mistakes. */
import { SETTINGS, type Setting } from "../../contract/configured";
import { ANSWERS } from "../../contract/problem";
import { relayHost } from "../../contract/webhook-settings";
import type { Failure, FieldError } from "../../domain/failure";
import { sameOrigin } from "../../domain/target";
import type { Webhook, WebhookChanges } from "../../domain/webhook";
import { mistakesIn, registerWebhook, updateWebhook } from "../../operations/webhooks";
import type { Action } from "../ui/actions";
import { type Form, text } from "../ui/form";
import { page } from "../ui/page";
import { WEBHOOKS_PATH, webhookPath } from "../ui/paths";
import { callerOf, type PageContext } from "../ui/session";
import { WebhookForm } from "./form";
import { changesIn, draftIn, type Typed, typedIn, typedOf } from "./input";
import { trailOf } from "./named-webhook";
import { showLateSecret, showSecret } from "./secret";
import { compare, merged, shownIn, writtenOf } from "./versions";

export const registration: Action<null> = {
  onceThen: "created_before",
  act: async (c, _, form) => {
    const given = draftIn(form, relayHost(c.req.url));
    if (!given.ok) {
      const errors = allMistakes(c, form, given.failure);
      return showForm(c, { webhook: null, form, errors });
    }
    const { draft, secret } = given.value;
    const created = await registerWebhook(c.env, draft, { secret, by: callerOf(c) });
    if (!created.ok) {
      const errors = mistakesOf(created.failure);
      return errors.length > 0 ? showForm(c, { webhook: null, form, errors }) : created;
    }
    const { webhook, signingSecret } = created.value;
    return signingSecret === null
      ? { done: "created", at: webhookPath(webhook.id) }
      : showSecret(c, { webhook, secret: signingSecret, occasion: "created" });
  },
};

export const editing: Action<Webhook> = {
  ask: (c, webhook) => showForm(c, { webhook, typed: typedOf(webhook) }),
  act: async (c, webhook, form) => {
    const comparison = compare(form, webhook);
    if (comparison.changed.size === 0) return { done: "unchanged" };
    if (comparison.overtaken.length > 0) {
      const typed = merged(form, webhook, comparison);
      const { overtaken } = comparison;
      return showForm(c, { webhook, typed, overtaken });
    }
    const given = changesIn(form, webhook, comparison.changed);
    if (!given.ok) {
      const errors = allMistakes(c, form, given.failure, comparison.changed);
      return showForm(c, { webhook, form, errors });
    }
    const changes = moved(form, webhook, given.value);
    if (changes === null) return showForm(c, { webhook, form, errors: [UNCONFIRMED] });
    const changed = await updateWebhook(c.env, webhook, { changes, by: callerOf(c) });
    if (!changed.ok) {
      const { failure } = changed;
      const errors = mistakesOf(failure);
      if (errors.length > 0) return showForm(c, { webhook, form, errors });
      return showLateSecret(c, { webhook, failure, occasion: "moved" });
    }
    const { webhook: after, signingSecret: secret } = changed.value;
    if (secret === null) return { done: "changed" };
    return showSecret(c, { webhook: after, secret, occasion: "moved" });
  },
};

/** With those that no schema can know, of what was `changed`. */
function allMistakes(
  c: PageContext,
  form: Form,
  { errors }: { errors: readonly FieldError[] },
  changed: ReadonlySet<Setting> = new Set(SETTINGS),
): FieldError[] {
  const typed = Object.entries(typedIn(form)).filter(([name]) => changed.has(name as Setting));
  const others = mistakesIn(c.env, Object.fromEntries(typed), relayHost(c.req.url));
  return [...errors, ...others.filter(({ path }) => errors.every((each) => each.path !== path))];
}

/** With what another origin means; null when it was not said. */
function moved(form: Form, { url: before }: Webhook, changes: WebhookChanges) {
  if (changes.url === undefined || sameOrigin(changes.url, before)) return changes;
  const replacesSecret = text(form, "replacesSecret");
  if (replacesSecret === "") return null;
  return replacesSecret === "no" ? { ...changes, sameService: true } : changes;
}

const UNCONFIRMED: FieldError = {
  path: "replacesSecret",
  message:
    "must be answered, because the URL has another scheme, host or port than before: another service gets a new secret",
};

/** The mistakes in a form, and what another webhook or their number is in the way of; none for another reason. */
function mistakesOf(failure: Failure): readonly FieldError[] {
  if (failure.code === "name_taken")
    return [{ path: "name", message: "is that of another webhook" }];
  if (failure.code === "too_many_webhooks")
    return [{ path: "", message: ANSWERS.too_many_webhooks.detail }];
  return "errors" in failure ? failure.errors : [];
}

type Shown = {
  webhook: Webhook | null;
  /** As it came, where it is shown again: with what it showed at first. */
  form?: Form;
  typed?: Typed;
  errors?: readonly FieldError[];
  overtaken?: readonly Setting[];
};

export function showForm(
  c: PageContext,
  { webhook, form = {}, typed = typedIn(form), errors = [], overtaken = [] }: Shown,
): Promise<Response> {
  return page(
    c,
    {
      title: webhook === null ? "Register a webhook" : "Change the webhook",
      trail: webhook === null ? [["Webhooks", WEBHOOKS_PATH]] : trailOf(webhook),
      status: overtaken.length > 0 ? 409 : errors.length === 0 ? 200 : 422,
    },
    <WebhookForm
      {...{ typed, errors, overtaken, webhook, env: c.env }}
      shown={webhook && (shownIn(form) ?? writtenOf(webhook))}
      isOpen={c.req.query("pace") !== undefined}
    />,
  );
}
