/** Sending a test: the form, and the page with what came of it. */
import { configOf } from "../../config";
import { testSchema } from "../../contract/webhooks";
import type { AttemptRecord } from "../../domain/delivery";
import { EVENT_TYPES } from "../../domain/event";
import { fail } from "../../domain/failure";
import { ALL_EVENTS, timeoutMsOf, type Webhook } from "../../domain/webhook";
import { testWebhook } from "../../operations/webhooks";
import { explainAttempt } from "../deliveries/attempts";
import type { Action } from "../ui/actions";
import { text } from "../ui/form";
import { duration } from "../ui/format";
import { page } from "../ui/page";
import { Badge, Code, Facts, Options, shortUrl, webhookName, webhookPath } from "../ui/parts";
import { trailOf } from "./named-webhook";

export const testing: Action<Webhook> = {
  act: async (c, webhook, form) => {
    const event = text(form, "event").trim();
    const given = testSchema.safeParse(event === "" ? {} : { event });
    if (!given.success) {
      const errors = [{ path: "event", message: "must be the name of an event" }];
      return fail({ code: "invalid_request", errors });
    }
    const tested = await testWebhook(c.env, webhook.id, given.data.event ?? null);
    if (!tested.ok) return tested;
    const shown = await page(
      c,
      {
        title: tested.value.error === null ? "The test arrived" : "The test failed",
        trail: trailOf(webhook),
      },
      <Tested
        webhook={webhook}
        event={event}
        attempt={tested.value}
        timeoutMs={timeoutMsOf(webhook, configOf(c.env).delivery?.timeoutMs ?? null)}
      />,
    );
    return { shown, at: webhookPath(webhook.id) };
  },
};

/** Which example goes out: what the webhook asks for comes first. */
export function TestForm({ webhook, event }: { webhook: Webhook; event?: string }) {
  const asked = webhook.events.filter((name) => name !== ALL_EVENTS);
  const names = [...new Set([...asked, ...Object.keys(EVENT_TYPES)])];
  return (
    <form method="post" action={`${webhookPath(webhook.id)}/test`} class="inline-form">
      <label>
        Event
        <select name="event">
          <Options
            of={names.map((name) => [name, name])}
            chosen={event ?? asked[0] ?? "reply.received"}
          />
        </select>
      </label>
      <button type="submit">Send a test</button>
    </form>
  );
}

type TestedProps = {
  webhook: Webhook;
  event: string;
  attempt: AttemptRecord;
  timeoutMs: number | null;
};

function Tested({ webhook, event, attempt, timeoutMs }: TestedProps) {
  const { statusCode, error, durationMs, responseBody, responseTruncated } = attempt;
  const sent = (
    <>
      <code>{event}</code> to {shortUrl(webhook.url)}
    </>
  );
  const outcome = (
    <>
      <Badge tone={error === null ? "good" : "bad"}>{statusCode ?? error}</Badge> after{" "}
      {duration(durationMs)}
    </>
  );
  return (
    <>
      <section class="panel" aria-label="What came of it">
        <p class="headline">{explainAttempt(attempt, timeoutMs)}</p>
        <Facts
          of={[
            ["Sent", sent],
            ["Outcome", outcome],
          ]}
        />
        {responseBody === null || responseBody === "" ? (
          <p class="quiet">{statusCode === null ? "There was no answer." : "It had no body."}</p>
        ) : (
          <Code label="The body of the answer" text={responseBody} />
        )}
        {responseTruncated && <p class="quiet">It goes on; only the beginning is kept.</p>}
      </section>
      <section class="panel" aria-label="Again">
        <TestForm webhook={webhook} event={event} />
        <p>
          <a href={webhookPath(webhook.id)}>
            To the page of <bdi>{webhookName(webhook)}</bdi>
          </a>
        </p>
      </section>
    </>
  );
}
