/** Sending a test: the form, and the page with what came of it. */
import { Hono } from "hono";
import { configOf } from "../../config";
import type { AttemptRecord } from "../../domain/delivery";
import { EVENT_TYPES } from "../../domain/event";
import { ALL_EVENTS, type Webhook } from "../../domain/webhook";
import { testWebhook } from "../../operations/webhooks";
import { testSchema } from "../../routes/webhooks";
import { explainAttempt } from "../deliveries/attempts";
import { page, showFailure } from "../ui/page";
import { Badge, Code, shortUrl, webhookName, webhookPath } from "../ui/parts";
import type { PageEnv } from "../ui/session";
import { duration } from "../ui/time";
import { text } from "./input";
import { namedWebhook, trailOf } from "./named-webhook";

export const webhookTest = new Hono<PageEnv>().post("/:id/test", async (c) => {
  const webhook = await namedWebhook(c);
  if (webhook === null) return showFailure(c, { code: "not_found" });
  const event = text(await c.req.parseBody(), "event").trim();
  const given = testSchema.safeParse(event === "" ? {} : { event });
  if (!given.success) {
    const errors = [{ path: "event", message: "must be the name of an event" }];
    return showFailure(c, { code: "invalid_request", errors });
  }
  const tested = await testWebhook(c.env, webhook.id, given.data.event ?? null);
  if (!tested.ok) return showFailure(c, tested.failure);
  return page(
    c,
    {
      title: tested.value.error === null ? "The test arrived" : "The test failed",
      trail: trailOf(webhook),
    },
    <Tested
      webhook={webhook}
      event={given.data.event ?? ""}
      attempt={tested.value}
      timeoutMs={configOf(c.env).delivery?.timeoutMs ?? null}
    />,
  );
});

/** Which example goes out: what the webhook asks for comes first. */
export function TestForm({ webhook, event }: { webhook: Webhook; event?: string }) {
  const asked = webhook.events.filter((name) => name !== ALL_EVENTS);
  const names = [...new Set([...asked, ...Object.keys(EVENT_TYPES)])];
  const chosen = event ?? asked[0] ?? "reply.received";
  return (
    <form method="post" action={`${webhookPath(webhook.id)}/test`} class="inline-form">
      <label>
        Event
        <select name="event">
          {names.map((name) => (
            <option value={name} selected={name === chosen}>
              {name}
            </option>
          ))}
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
  return (
    <>
      <section class="panel" aria-label="What came of it">
        <p class="headline">{explainAttempt(attempt, timeoutMs)}</p>
        <dl class="facts">
          <dt>Sent</dt>
          <dd>
            <code>{event}</code> to {shortUrl(webhook.url)}
          </dd>
          <dt>Outcome</dt>
          <dd>
            <Badge tone={error === null ? "good" : "bad"}>{statusCode ?? error}</Badge> after{" "}
            {duration(durationMs)}
          </dd>
        </dl>
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
          <a href={webhookPath(webhook.id)}>To the page of {webhookName(webhook)}</a>
        </p>
      </section>
    </>
  );
}
