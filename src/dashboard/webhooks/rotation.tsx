/** Giving a webhook a new signing secret. */
import { Hono } from "hono";
import { fieldErrors } from "../../contract/problem";
import type { FieldError } from "../../domain/failure";
import type { Webhook } from "../../domain/webhook";
import { rotateSecret } from "../../operations/webhooks";
import { rotationSchema } from "../../routes/webhooks";
import { seeOther } from "../ui/notice";
import { newToken, once } from "../ui/once";
import { page, showFailure } from "../ui/page";
import { webhookName, webhookPath } from "../ui/parts";
import { callerOf, mayChange, type PageContext, type PageEnv } from "../ui/session";
import { type Form, text } from "./input";
import { namedWebhook, trailOf } from "./named-webhook";
import { showSecret } from "./secret";

/** Seconds, and what they are called. The second is the API's own choice. */
const GRACE_PERIODS = [
  [3_600, "an hour"],
  [86_400, "a day"],
  [604_800, "a week"],
  [0, "none: the old one is known to others"],
] as const;
const DEFAULT_GRACE_SECONDS = 86_400;

export const webhookRotation = new Hono<PageEnv>()
  .get("/:id/rotate", async (c) => {
    if (!mayChange(c)) return showFailure(c, { code: "insufficient_scope" });
    const webhook = await namedWebhook(c);
    if (webhook === null) return showFailure(c, { code: "not_found" });
    return showForm(c, webhook, []);
  })
  .post("/:id/rotate", async (c) => {
    const webhook = await namedWebhook(c);
    if (webhook === null) return showFailure(c, { code: "not_found" });
    const form: Form = await c.req.parseBody();
    const path = webhookPath(webhook.id);
    return once(
      c,
      text(form, "token"),
      () => rotate(c, webhook, form),
      () => seeOther(c, path, { done: "rotated_before" }),
    );
  });

async function rotate(c: PageContext, webhook: Webhook, form: Form) {
  const own = text(form, "signingSecret").trim();
  const given = rotationSchema.safeParse({
    gracePeriodSeconds: Number(text(form, "grace") || Number.NaN),
    ...(own !== "" && { signingSecret: own }),
  });
  if (!given.success) {
    const errors = given.error.issues.flatMap(fieldErrors);
    return { answer: await showForm(c, webhook, errors), path: null };
  }
  const { gracePeriodSeconds, signingSecret = null } = given.data;
  const rotated = await rotateSecret(c.env, webhook.id, {
    graceMs: gracePeriodSeconds * 1_000,
    signingSecret,
    by: callerOf(c),
  });
  const path = webhookPath(webhook.id);
  if (!rotated.ok) return { answer: seeOther(c, path, { failed: rotated.failure.code }), path };
  const { webhook: after, signingSecret: secret } = rotated.value;
  const answer = await showSecret(c, { webhook: after, secret: secret ?? "", occasion: "rotated" });
  return { answer, path };
}

function showForm(c: PageContext, webhook: Webhook, errors: readonly FieldError[]) {
  const name = webhookName(webhook);
  const isWrong = errors.length > 0;
  return page(
    c,
    {
      title: "Rotate the signing secret",
      trail: trailOf(webhook),
      status: isWrong ? 422 : 200,
    },
    <form
      method="post"
      action={`${webhookPath(webhook.id)}/rotate`}
      class="panel webhook-form"
      data-once=""
    >
      <input type="hidden" name="token" value={newToken()} />
      <p>
        A new secret signs from now on; the old one signs along until the grace period ends, so that{" "}
        {name} can change over without a gap.
      </p>
      <fieldset>
        <legend>Grace period for the old secret</legend>
        {GRACE_PERIODS.map(([seconds, words]) => (
          <label class="inline">
            <input
              type="radio"
              name="grace"
              value={String(seconds)}
              checked={seconds === DEFAULT_GRACE_SECONDS}
            />{" "}
            {words}
          </label>
        ))}
      </fieldset>
      <div class="field">
        <label for="signingSecret">A secret of your own</label>
        <input
          type="password"
          id="signingSecret"
          name="signingSecret"
          autocomplete="new-password"
          aria-describedby={isWrong ? "signingSecret-wrong own-hint" : "own-hint"}
          {...(isWrong ? { "aria-invalid": "true" as const } : {})}
        />
        {isWrong && (
          <ul class="wrong" id="signingSecret-wrong" role="alert">
            {errors.map(({ path, message }) => (
              <li>
                {path === "signingSecret" ? "The secret" : "The grace period"} {message}
              </li>
            ))}
          </ul>
        )}
        <p class="hint" id="own-hint">
          Left empty, the relay makes one and shows it once.
        </p>
      </div>
      <p class="actions">
        <button type="submit" class="primary">
          Rotate the secret
        </button>
        <a href={webhookPath(webhook.id)}>Cancel</a>
      </p>
    </form>,
  );
}
