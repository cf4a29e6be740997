/** Small things that several pages show. */
import type { Child } from "hono/jsx";
import type { DeliveryStatus } from "../../domain/delivery";
import { maskQuery } from "../../domain/target";
import type { Webhook } from "../../domain/webhook";

const REASONS = {
  gone: "disabled: it answered 410 Gone",
  failing: "disabled: failing for five days",
} as const;

/** `active`, `paused`, or why it is disabled. */
export function WebhookStatus({ webhook }: { webhook: Webhook }) {
  const { status, statusReason } = webhook;
  const tone = status === "active" ? "good" : status === "paused" ? "warn" : "bad";
  return <Badge tone={tone}>{statusReason === null ? status : REASONS[statusReason]}</Badge>;
}

const TONES: Record<DeliveryStatus, Tone> = {
  pending: "warn",
  delivered: "good",
  undeliverable: "bad",
  cancelled: "quiet",
};

export function DeliveryBadge({ status }: { status: DeliveryStatus }) {
  return <Badge tone={TONES[status]}>{status}</Badge>;
}

export type Tone = "good" | "warn" | "bad" | "quiet";

export function Badge({ tone, children }: { tone: Tone; children?: Child }) {
  return <span class={`badge ${tone}`}>{children}</span>;
}

/** The webhook by what people know it by; its URL never with the query. */
export function webhookName(webhook: Pick<Webhook, "description" | "url">): string {
  return webhook.description?.trim() || shortUrl(webhook.url);
}

/** Host and path. */
export function shortUrl(url: string): string {
  return maskQuery(url).replace(/^https?:\/\//, "");
}

export function WebhookLink({ webhook }: { webhook: Webhook }) {
  return <a href={webhookPath(webhook.id)}>{webhookName(webhook)}</a>;
}

export function webhookPath(id: string): string {
  return `/dashboard/webhooks/${id}`;
}

export function deliveryPath(webhookId: string, eventId: string): string {
  return `/dashboard/webhooks/${webhookId}/deliveries/${eventId}`;
}

export function eventPath(eventId: string): string {
  return `/dashboard/events/${eventId}`;
}

/** A page of a list: the way to the next one; null on the last. `query` is what the list was asked with. */
export function Pager({
  path,
  query,
  next,
}: {
  path: string;
  query: Readonly<Record<string, string>>;
  next: string | null;
}) {
  const { cursor, ...rest } = query;
  const first = new URLSearchParams(rest).toString();
  if (cursor === undefined && next === null) return null;
  return (
    <nav aria-label="Pages" class="pager">
      {cursor !== undefined && <a href={first === "" ? path : `${path}?${first}`}>Newest</a>}
      {next !== null && (
        <a rel="next" href={`${path}?${new URLSearchParams({ ...rest, cursor: next })}`}>
          Older
        </a>
      )}
    </nav>
  );
}

/** Nothing to show: what to do next. */
export function Empty({ children }: { children?: Child }) {
  return <div class="empty">{children}</div>;
}

/** A table that scrolls by itself on a narrow screen, and can be scrolled by keyboard. */
export function Table({
  label,
  head,
  children,
}: {
  label: string;
  head: Child[];
  children?: Child;
}) {
  return (
    <section class="scroll" aria-label={label} tabindex={0}>
      <table>
        <thead>
          <tr>
            {head.map((cell) => (
              <th scope="col">{cell}</th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </section>
  );
}

/** A text that scrolls by itself, as a region that the keyboard reaches. */
export function Code({ label, text }: { label: string; text: string }) {
  return (
    <section class="code" aria-label={label} tabindex={0}>
      <pre>{text}</pre>
    </section>
  );
}

/** A button that copies a text; shown only where the script runs. */
export function Copy({ text, children }: { text: string; children?: Child }) {
  return (
    <button type="button" class="plain" data-copy={text} hidden>
      {children ?? "Copy"}
    </button>
  );
}

/** A form that is one button. */
export function Action({
  action,
  tone = "normal",
  fields = {},
  children,
}: {
  action: string;
  tone?: "normal" | "primary" | "danger";
  fields?: Readonly<Record<string, string>>;
  children?: Child;
}) {
  return (
    <form method="post" action={action} class="action">
      {Object.entries(fields).map(([name, value]) => (
        <input type="hidden" name={name} value={value} />
      ))}
      <button type="submit" class={tone}>
        {children}
      </button>
    </form>
  );
}

export function count(n: number, one: string, many = `${one}s`): string {
  return `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
}
