/** What can be done to a webhook, in one table, and registering one. */
import { Hono } from "hono";
import { DEFAULT_GRACE_SECONDS, rotationSchema } from "../../contract/webhook-settings";
import type { FieldError } from "../../domain/failure";
import type { HealthState } from "../../domain/health-report";
import type { WebhookId } from "../../domain/ids";
import type { Webhook } from "../../domain/webhook";
import { ownStats } from "../../operations/stats";
import {
  pauseWebhook,
  removeWebhook,
  resumeWebhook,
  rotateSecret,
} from "../../operations/webhooks";
import { type Action, actions, newToken, type Outcome, performing } from "../ui/actions";
import { type Form, text } from "../ui/form";
import type { Done } from "../ui/notice";
import { page, showFailure } from "../ui/page";
import { Choice, Hidden, Submit, webhookName } from "../ui/parts";
import { WEBHOOKS_PATH, webhookPath } from "../ui/paths";
import { callerOf, mayChange, type PageContext, type PageEnv } from "../ui/session";
import { batch, DISCARD, REPLAY } from "./batch";
import { editing, registration, showForm } from "./editing";
import { SecretField, Wrong } from "./field";
import { filterTrial } from "./filter-trial";
import { check, NOTHING_TYPED } from "./input";
import { namedWebhook, trailOf, WEBHOOK } from "./named-webhook";
import { showLateSecret, showSecret } from "./secret";
import { testing, trying } from "./test";

export const webhookChanges = new Hono<PageEnv>()
  .route("/", filterTrial)
  .get("/new", (c) =>
    mayChange(c)
      ? showForm(c, { webhook: null, typed: NOTHING_TYPED })
      : showFailure(c, { code: "insufficient_scope" }),
  )
  .post("/", performing(WEBHOOKS_PATH, registration))
  .route(
    "/",
    actions(
      WEBHOOK,
      { find: namedWebhook, pathOf: ({ id }) => webhookPath(id) },
      {
        edit: editing,
        pause: switching(pauseWebhook, async () => "paused"),
        resume: switching(resumeWebhook, async (env, id) => {
          const { health } = await ownStats(env, id, Date.now());
          return RESUMED[health.state] ?? "resumed";
        }),
        rotate: {
          onceThen: "rotated_before",
          ask: (c, webhook) => showRotation(c, webhook),
          act: rotate,
        },
        test: testing,
        try: trying,
        replay: batch(REPLAY),
        discard: batch(DISCARD),
        delete: { ask: (c, webhook) => showDeletion(c, webhook, false), act: remove },
      },
    ),
  );

type Then = (env: Env, id: WebhookId) => Promise<Done>;

function switching(operation: typeof pauseWebhook, then: Then): Action<Webhook> {
  return {
    act: async (c, webhook) => {
      const result = await operation(c.env, webhook, callerOf(c));
      return result.ok ? { done: await then(c.env, webhook.id) } : result;
    },
  };
}

/** What a resume leads to, where that is not that all goes. */
const RESUMED: { [State in HealthState]?: Done } = {
  probing: "resumed_probing",
  misconfigured: "resumed_held",
  unconnected: "resumed_held",
  postponed: "resumed_held",
};

/** Seconds, and what they are called. */
const GRACE_PERIODS = [
  [3_600, "an hour"],
  [86_400, "a day"],
  [604_800, "a week"],
  [0, "none: the old one is known to others"],
] as const;

async function rotate(c: PageContext, webhook: Webhook, form: Form): Promise<Outcome> {
  const own = text(form, "signingSecret").trim();
  const grace = text(form, "grace");
  const given = check(rotationSchema, {
    gracePeriodSeconds: Number(grace || Number.NaN),
    ...(own !== "" && { signingSecret: own }),
  });
  if (!given.ok) return showRotation(c, webhook, { errors: given.failure.errors, grace });
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
}

/** What was chosen comes again with its mistakes. */
type Refused = { errors: readonly FieldError[]; grace: string };

function showRotation(
  c: PageContext,
  webhook: Webhook,
  { errors, grace }: Refused = { errors: [], grace: String(DEFAULT_GRACE_SECONDS) },
) {
  const status = errors.length > 0 ? 422 : 200;
  const path = webhookPath(webhook.id);
  return page(
    c,
    { title: "Rotate the signing secret", trail: trailOf(webhook), status },
    <form method="post" action={`${path}/rotate`} class="panel webhook-form">
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
            checked={String(seconds) === grace}
          >
            {words}
          </Choice>
        ))}
      </fieldset>
      <SecretField errors={errors} hint="Left empty, the relay makes one and shows it once." />
      <Submit out={[path, "Cancel"]}>Rotate the secret</Submit>
    </form>,
  );
}

/** After whoever does it has said which. */
async function remove(c: PageContext, webhook: Webhook, form: Form): Promise<Outcome> {
  const typed = text(form, "host").trim().toLowerCase();
  if (typed !== hostOf(webhook.url).toLowerCase()) return showDeletion(c, webhook, true);
  const removed = await removeWebhook(c.env, webhook, callerOf(c));
  const at = WEBHOOKS_PATH;
  return removed.ok ? { done: "deleted", at } : { ...removed, at };
}

/** What is typed to confirm: the host, with its port; of `service:NAME/path` the binding's name, of `listener:` all of it. */
function hostOf(url: string): string {
  const [, binding] = /^service:([^/?]+)/.exec(url) ?? [];
  return binding || URL.parse(url)?.host || url;
}

function showDeletion(c: PageContext, webhook: Webhook, isWrong: boolean) {
  const host = hostOf(webhook.url);
  const path = webhookPath(webhook.id);
  const mistake = isWrong && { "aria-invalid": "true" as const, "aria-describedby": "host-wrong" };
  return page(
    c,
    { title: "Delete the webhook", trail: trailOf(webhook), status: isWrong ? 422 : 200 },
    <form method="post" action={`${path}/delete`} class="panel narrow" autocomplete="off">
      <p>
        What waits for it is discarded, and the record of its deliveries goes. To stop for a while,
        pause it instead. Events stay recorded: a webhook registered later can be sent what it
        missed.
      </p>
      <div class="field">
        <label for="host">
          To confirm, type <code>{host}</code>
        </label>
        <input
          type="text"
          id="host"
          name="host"
          required
          autocapitalize="none"
          spellcheck={false}
          {...mistake}
        />
        {isWrong && (
          <p class="wrong" id="host-wrong" role="alert">
            This is not {host}: nothing was deleted.
          </p>
        )}
      </div>
      <Submit tone="danger" out={[path, "Keep it"]}>
        Delete the webhook
      </Submit>
    </form>,
  );
}
