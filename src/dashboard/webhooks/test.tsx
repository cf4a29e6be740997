/** Asking a service: with a delivery that waits, else with a test; the test's form, and the page with what came of it. */
import { testSchema } from "../../contract/webhook-settings";
import { EVENT_TYPES } from "../../domain/event";
import { fail } from "../../domain/failure";
import { ALL_EVENTS, type Webhook } from "../../domain/webhook";
import { findDelivery, hastenDeliveries } from "../../operations/deliveries";
import { subscriberOf } from "../../operations/objects";
import { testEventOf, testWebhook } from "../../operations/webhooks";
import { Attempted } from "../deliveries/attempts";
import { attemptNow, toldOf } from "../deliveries/delivery";
import { type Action, newToken, type Outcome } from "../ui/actions";
import { text } from "../ui/form";
import { page } from "../ui/page";
import { Hidden, link, Select, shortUrl, webhookName } from "../ui/parts";
import { webhookPath, withQuery } from "../ui/paths";
import { callerOf, type PageContext } from "../ui/session";
import { trailOf } from "./named-webhook";

export const testing: Action<Webhook> = {
  onceThen: "sent_before",
  act: (c, webhook, form) => sendTest(c, webhook, text(form, "event").trim()),
};

/** The delivery that is to go next, or is under way; where nothing waits, a test shows how the service answers. */
export const trying: Action<Webhook> = {
  onceThen: "sent_before",
  act: async (c, webhook) => {
    const id = await subscriberOf(c.env, webhook.id).nextToAttempt();
    const next = id && (await findDelivery(c.env, webhook, id));
    if (!id || !next) return sendTest(c, webhook, null);
    const at = withQuery(webhookPath(webhook.id), { tried: id });
    const last = next.attemptLog.at(-1);
    const hasEnded = next.status !== "pending" && last !== undefined;
    const tried = hasEnded ? toldOf(last, at) : await attemptNow(c, webhook, { id, at });
    if (!("done" in tried) || tried.done !== "attempt_worked") return tried;
    // The service is back: what waits for a retry need not wait any more.
    return { ...tried, count: await hastenDeliveries(c.env, webhook, { by: callerOf(c) }) };
  },
};

/** @param event null where there was no delivery to try; empty or null for the first that the webhook asks for. */
async function sendTest(c: PageContext, webhook: Webhook, event: string | null): Promise<Outcome> {
  const given = testSchema.safeParse(event ? { event } : {});
  if (!given.success) {
    const errors = [{ path: "event", message: "must be the name of an event" }];
    return fail({ code: "invalid_request", errors });
  }
  const name = given.data.event ?? testEventOf(webhook);
  const tested = await testWebhook(c.env, webhook, name);
  if (!tested.ok) return tested;
  const title = tested.value.error === null ? "The test arrived" : "The test failed";
  const shown = await page(
    c,
    { title, trail: trailOf(webhook) },
    <>
      {event === null && (
        <p class="notice warn" role="status">
          No delivery waits to be tried, so a test was sent. It is no event, and nothing is counted.
        </p>
      )}
      <section class="panel" aria-label="What came of it">
        <p>
          <code>{name}</code> to {shortUrl(webhook.url)}
        </p>
        <Attempted attempt={tested.value} />
      </section>
      <section class="panel" aria-label="Again">
        <TestForm webhook={webhook} event={name} />
        <ToWebhook webhook={webhook} />
      </section>
    </>,
  );
  return { shown, at: webhookPath(webhook.id) };
}

export function TestForm({ webhook, event }: { webhook: Webhook; event?: string }) {
  const asked = webhook.events.filter((name) => name !== ALL_EVENTS);
  const names = [...new Set([...asked, ...Object.keys(EVENT_TYPES)])];
  return (
    <form method="post" action={`${webhookPath(webhook.id)}/test`} class="inline-form">
      <Hidden fields={{ token: newToken() }} />
      <Select label="Event" name="event" of={names} chosen={event ?? testEventOf(webhook)} />
      <button type="submit">Send a test</button>
    </form>
  );
}

export function ToWebhook({ webhook }: { webhook: Webhook }) {
  const text = ["To the page of ", <bdi>{webhookName(webhook)}</bdi>];
  return <p>{link(webhookPath(webhook.id), text)}</p>;
}
