/** What does not answer, named where its part of the page would stand: what it knows, nobody else does. */
import type { Child } from "hono/jsx";
import { newerDataDetail } from "../../contract/problem";
import { parseWebhookId } from "../../domain/ids";
import type { Webhook } from "../../domain/webhook";
import { DEAD_LETTERS, type Unanswered } from "../../operations/objects";
import { Commas, WebhookLink } from "./parts";
import { DEAD_LETTERS_PATH, webhookPath } from "./paths";

type Named = { of: Unanswered; webhooks: readonly Webhook[] };

/** By its webhook, where it is one's. */
function nameOf({ of: { object }, webhooks }: Named) {
  const webhook = webhooks.find(({ id }) => object.endsWith(id));
  if (webhook !== undefined) return <WebhookLink webhook={webhook} />;
  const id = parseWebhookId(object.split(" ")[1] ?? "");
  if (id !== null) return <a href={webhookPath(id)}>{object}</a>;
  if (object === DEAD_LETTERS) return <a href={DEAD_LETTERS_PATH}>Dead letters</a>;
  return <strong>{object}</strong>;
}

export function doesNotAnswer({ of, webhooks }: Named): Child {
  const { object, code } = of;
  const isNewer = code === "newer_data";
  return [
    nameOf({ of, webhooks }),
    ": ",
    <strong>{isNewer ? newerDataDetail(object) : "The object does not answer."}</strong>,
    isNewer ? " " : " See whether Cloudflare reports trouble with Durable Objects.",
    object !== DEAD_LETTERS &&
      " What is for it waits in the queue for 20 hours, then goes to the dead letters.",
  ];
}

type Missing = { unanswered: readonly Unanswered[]; webhooks: readonly Webhook[] };

/** Above what a page could find out without them. */
export function NotHere({ unanswered, webhooks }: Missing) {
  if (unanswered.length === 0) return null;
  return (
    <div class="notice bad">
      {unanswered.map((of) => (
        <p>{doesNotAnswer({ of, webhooks })}</p>
      ))}
    </div>
  );
}

/** In place of what only an object that does not answer knows; the page has named it. */
export function Unknown() {
  return <p class="wrong">Unknown, since its object does not answer.</p>;
}

/** Below figures that are without them. */
export function NotCounted({ unanswered, webhooks }: Missing) {
  if (unanswered.length === 0) return null;
  return (
    <p class="wrong">
      Without what does not answer: <Commas of={unanswered.map((of) => nameOf({ of, webhooks }))} />
      .
    </p>
  );
}
