/** A new signing secret: shown once, on the answer to the form that made it, with code that uses it. */
import { ANSWERS } from "../../contract/problem";
import type { Failure } from "../../domain/failure";
import type { Webhook } from "../../domain/webhook";
import type { Outcome } from "../ui/actions";
import { page } from "../ui/page";
import { Code, Copy, Panel } from "../ui/parts";
import { webhookPath } from "../ui/paths";
import type { PageContext } from "../ui/session";
import { trailOf } from "./named-webhook";
import { TestForm, ToWebhook } from "./test";
import { SAMPLES } from "./verify-code";

const TITLES = {
  created: "The webhook is registered",
  rotated: "The new signing secret",
  moved: "The webhook leads to another service",
} as const;
type SecretOccasion = keyof typeof TITLES;

type New = { webhook: Webhook; secret: string; occasion: SecretOccasion; isLate?: boolean };

export async function showSecret(
  c: PageContext,
  { webhook, secret, occasion, isLate = false }: New,
): Promise<Outcome> {
  const shown = await page(
    c,
    { title: TITLES[occasion], trail: trailOf(webhook) },
    <>
      <Panel id="secret" title="Its signing secret">
        <p>
          <strong>This page shows it once.</strong> Put it where the service reads it, then leave.
        </p>
        <div class="secret">
          <Code label="The signing secret" text={secret} />
          <Copy text={secret}>Copy the secret</Copy>
        </div>
        {isLate && (
          <p class="notice warn">
            <strong>{ANSWERS.not_yet_in_force.title}.</strong> {ANSWERS.not_yet_in_force.detail}
          </p>
        )}
        <Next webhook={webhook} occasion={occasion} />
      </Panel>
      <Panel id="test" title="Send a test">
        <p class="quiet">
          A signed example goes out at once, and you see what the service answers. It is no
          delivery: nothing is counted or retried.
        </p>
        <TestForm webhook={webhook} />
        <ToWebhook webhook={webhook} />
      </Panel>
      <section aria-labelledby="verify">
        <h2 id="verify">Verify a delivery</h2>
        <p class="quiet">
          The service gets the very bytes that Leadterra sent, signed twice; check either. Take{" "}
          <code>webhook-id</code> as the idempotency key: it is the same in every retry.
        </p>
        <div class="columns samples">
          <Samples title="Leadterra's own header" samples={SAMPLES.leadterra} />
          <Samples title="Standard Webhooks" samples={SAMPLES.standard} />
        </div>
      </section>
    </>,
  );
  return { shown, at: webhookPath(webhook.id) };
}

/** A change that is stored and not in force yet brings its secret with the failure. */
export async function showLateSecret(
  c: PageContext,
  { failure, ...made }: { webhook: Webhook; failure: Failure; occasion: SecretOccasion },
): Promise<Outcome> {
  const secret = "signingSecret" in failure ? failure.signingSecret : undefined;
  if (secret === undefined) return { failure, at: webhookPath(made.webhook.id) };
  return showSecret(c, { ...made, secret, isLate: true });
}

function Next({ webhook, occasion }: { webhook: Webhook; occasion: SecretOccasion }) {
  if (occasion === "created") return null;
  if (occasion === "moved") {
    return (
      <p>
        The old one does not sign any more, so that the service before cannot forge for this one.
        {Object.keys(webhook.headers).length === 0 && " No custom headers are sent now."}
      </p>
    );
  }
  return (
    <p>
      {webhook.secrets.length > 1
        ? "Until the grace period ends, X-Leadterra-Signature is still that of the oldest secret, and webhook-signature carries them all: the service should accept both, then drop the old one."
        : "It signs from now on, alone."}
    </p>
  );
}

function Samples({ title, samples }: { title: string; samples: Record<string, string> }) {
  return (
    <section class="panel">
      <h3>{title}</h3>
      {Object.entries(samples).map(([language, code], index) => (
        <details open={index === 0}>
          <summary>{language}</summary>
          <Code label={`${title}, ${language}`} text={code} />
          <Copy text={code} />
        </details>
      ))}
    </section>
  );
}
