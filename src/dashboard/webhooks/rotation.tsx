/** Giving a webhook a new signing secret. */
import { rotationSchema } from "../../contract/webhook-settings";
import type { FieldError } from "../../domain/failure";
import type { Webhook } from "../../domain/webhook";
import { rotateSecret } from "../../operations/webhooks";
import type { Action } from "../ui/actions";
import { text } from "../ui/form";
import { newToken } from "../ui/once";
import { page } from "../ui/page";
import { Choice, Hidden, Submit, webhookName } from "../ui/parts";
import { webhookPath } from "../ui/paths";
import { callerOf, type PageContext } from "../ui/session";
import { SecretField, Wrong } from "./field";
import { check } from "./input";
import { trailOf } from "./named-webhook";
import { showLateSecret, showSecret } from "./secret";

/** Seconds, and what they are called. The second is the API's own choice. */
const GRACE_PERIODS = [
  [3_600, "an hour"],
  [86_400, "a day"],
  [604_800, "a week"],
  [0, "none: the old one is known to others"],
] as const;
const DEFAULT_GRACE_SECONDS = 86_400;

export const rotation: Action<Webhook> = {
  onceThen: "rotated_before",
  ask: (c, webhook) => showForm(c, webhook, []),
  act: async (c, webhook, form) => {
    const own = text(form, "signingSecret").trim();
    const given = check(rotationSchema, {
      gracePeriodSeconds: Number(text(form, "grace") || Number.NaN),
      ...(own !== "" && { signingSecret: own }),
    });
    if (!given.ok) return { asked: await showForm(c, webhook, given.failure.errors) };
    const { gracePeriodSeconds, signingSecret = null } = given.value;
    const rotated = await rotateSecret(c.env, webhook.id, {
      graceMs: gracePeriodSeconds * 1_000,
      signingSecret,
      by: callerOf(c),
    });
    const occasion = "rotated";
    if (!rotated.ok) return showLateSecret(c, { webhook, failure: rotated.failure, occasion });
    const { webhook: after, signingSecret: secret } = rotated.value;
    return showSecret(c, { webhook: after, secret: secret ?? "", occasion });
  },
};

function showForm(c: PageContext, webhook: Webhook, errors: readonly FieldError[]) {
  const status = errors.length > 0 ? 422 : 200;
  return page(
    c,
    { title: "Rotate the signing secret", trail: trailOf(webhook), status },
    <form
      method="post"
      action={`${webhookPath(webhook.id)}/rotate`}
      class="panel webhook-form"
      data-once=""
    >
      <Hidden fields={{ token: newToken() }} />
      <p>
        A new secret signs from now on; the old one signs along until the grace period ends, so that{" "}
        <bdi>{webhookName(webhook)}</bdi> can change over without a gap.
      </p>
      <fieldset>
        <legend>Grace period for the old secret</legend>
        <Wrong field="gracePeriodSeconds" errors={errors} />
        {GRACE_PERIODS.map(([seconds, words]) => (
          <Choice
            type="radio"
            name="grace"
            value={String(seconds)}
            checked={seconds === DEFAULT_GRACE_SECONDS}
          >
            {words}
          </Choice>
        ))}
      </fieldset>
      <SecretField errors={errors} hint="Left empty, the relay makes one and shows it once." />
      <Submit out={[webhookPath(webhook.id), "Cancel"]}>Rotate the secret</Submit>
    </form>,
  );
}
