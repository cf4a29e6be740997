/** Small things that several pages show. */
import type { Child, JSX } from "hono/jsx";
import type { DeliveryStatus } from "../../domain/delivery";
import type { FieldError } from "../../domain/failure";
import { beginning, visible } from "../../domain/foreign-text";
import { maskQuery } from "../../domain/target";
import type { Webhook } from "../../domain/webhook";
import { webhookPath } from "./paths";

/** A line of a page, and two of a column. */
const MAX_NAME_CHARACTERS = 80;

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

/** The webhook by what people know it by, cut where that is long; its URL never with the query. */
export function webhookName({ description, name, url }: Webhook): string {
  return visible(beginning(description?.trim() || name || shortUrl(url), MAX_NAME_CHARACTERS));
}

/** What is kept of the name of one that is called like another: its id has to follow. */
const KEPT_CHARACTERS = 48;

/** Those that are called alike stand together, each with its id in its name. */
export function toldApart(webhooks: readonly Webhook[]): Webhook[] {
  return [...Map.groupBy(webhooks, webhookName)].flatMap(([name, alike]) =>
    alike.map((webhook) =>
      alike.length === 1
        ? webhook
        : { ...webhook, description: `${beginning(name, KEPT_CHARACTERS)}: ${webhook.id}` },
    ),
  );
}

export function shortUrl(url: string): string {
  return maskQuery(url).replace(/^https?:\/\//, "");
}

export function link(href: string, text: Child, looks?: `button${"" | ` ${SubmitTone}`}`) {
  return (
    <a class={looks} href={href}>
      {text}
    </a>
  );
}

export function WebhookLink({ webhook }: { webhook: Webhook }) {
  return link(webhookPath(webhook.id), <bdi>{webhookName(webhook)}</bdi>);
}

/** A webhook by its id: among those that there are, or it was deleted. */
export function WebhookOrId({ id, webhook }: { id: string; webhook: Webhook | undefined }) {
  if (webhook !== undefined) return <WebhookLink webhook={webhook} />;
  return [<code>{id}</code>, " ", <span class="quiet">(deleted)</span>];
}

export function RowLink({ href, event, id }: { href: string; event: string; id: string }) {
  return (
    <a class="named" href={href}>
      {event}
      <br />
      <code>{id}</code>
    </a>
  );
}

const asCode = (path: string) => <code>{visible(path)}</code>;

type ErrorsProps = {
  of: readonly FieldError[];
  nameOf?: (path: string) => Child;
  class?: string;
  id?: string;
};

export function Errors({ of, nameOf = asCode, ...list }: ErrorsProps) {
  return (
    <ul {...list}>
      {of.map(({ path, message }) => (
        <li>
          {nameOf(path)} {visible(message)}
        </li>
      ))}
    </ul>
  );
}

/** What somebody else wrote. Its writing direction ends with it. */
export function foreign(text: string) {
  return <bdi>{visible(text)}</bdi>;
}

export function Commas({ of }: { of: readonly Child[] }) {
  return of.map((each, index) => [index > 0 && ", ", each]);
}

export function Empty({ title, children }: { title?: string; children?: Child }) {
  return (
    <div class="empty">
      {title !== undefined && (
        <p>
          <strong>{title}</strong>
        </p>
      )}
      {children}
    </div>
  );
}

export type Column<Row> = {
  head: Child;
  cell: (row: Row) => Child;
  /** Of the cell. */
  class?: string;
  /** The cell names its row. */
  isHeader?: boolean;
  /** Set to the right, with its heading. */
  isNumber?: boolean;
};

/** What names the webhook of a row, of those that there are; a row may be about none. */
export function webhookAmong(webhooks: readonly Webhook[]): Column<{ webhookId: string | null }> {
  const byId = new Map<string, Webhook>(webhooks.map((webhook) => [webhook.id, webhook]));
  return {
    head: "Webhook",
    cell: ({ webhookId: id }) => id && <WebhookOrId id={id} webhook={byId.get(id)} />,
    class: "breaks",
  };
}

type TableProps<Row> = {
  label: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  /** By which the script tells a row that was there before from a new one. */
  keyOf?: (row: Row) => string | number;
};

/** A table that scrolls by itself on a narrow screen, and can be scrolled by keyboard. */
export function Table<Row>({ label, columns, rows, keyOf }: TableProps<Row>) {
  return (
    <section class="scroll" aria-label={label} tabindex={0}>
      <table>
        <thead>
          <tr>
            {columns.map((column) => (
              <th scope="col">
                {column.isNumber ? <span class="right">{column.head}</span> : column.head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr data-row={keyOf?.(row)}>
              {columns.map((column) => (
                <Cell column={column} row={row} />
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Cell<Row>({ column, row }: { column: Column<Row>; row: Row }) {
  const { head, cell, isHeader = false } = column;
  const name = [column.isNumber && "number", column.class].filter(Boolean).join(" ");
  const Tag = isHeader ? "th" : "td";
  // On a narrow screen a row is a card, and each cell says what it is.
  const label = typeof head === "string" && !isHeader ? head : undefined;
  return (
    <Tag scope={isHeader ? "row" : undefined} class={name || undefined} data-label={label}>
      {cell(row)}
    </Tag>
  );
}

/** A name and what stands beside it; false for a line that is left out. */
type Fact = readonly [name: string, value: Child] | false;

export function Facts({ of }: { of: readonly Fact[] }) {
  return (
    <dl class="facts">{of.map((fact) => fact && [<dt>{fact[0]}</dt>, <dd>{fact[1]}</dd>])}</dl>
  );
}

export type Tile = readonly [name: string, value: Child, note: Child, tone?: "" | "warn" | "bad"];

export function Tiles({ of }: { of: readonly Tile[] }) {
  return (
    <dl class="tiles">
      {of.map(([name, value, note, tone = ""]) => (
        <div class={`tile ${tone}`}>
          <dt>{name}</dt>
          <dd>
            {value}
            <small>{note}</small>
          </dd>
        </div>
      ))}
    </dl>
  );
}

type PanelProps = {
  id: string;
  title: string;
  /** Stands beside the heading. */
  action?: Child;
  children?: Child;
};

export function Panel({ id, title, action, children }: PanelProps) {
  const isHeaded = action !== undefined && action !== false;
  const heading = <h2 id={id}>{title}</h2>;
  return (
    <section class="panel" aria-labelledby={id}>
      {isHeaded ? (
        <div class="head">
          {heading}
          {action}
        </div>
      ) : (
        heading
      )}
      {children}
    </section>
  );
}

/** A text that scrolls by itself, as a region that the keyboard reaches; what is not seen in it is spelled out. */
export function Code({ label, text }: { label: string; text: string }) {
  return (
    <section class="code" aria-label={label} tabindex={0}>
      <pre>{visible(text)}</pre>
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

export type SubmitTone = "primary" | "danger";

type ActionProps = {
  action: string;
  tone?: SubmitTone | "normal";
  fields?: Readonly<Record<string, string>>;
  children?: Child;
};

export function Action({ action, tone, fields = {}, children }: ActionProps) {
  return (
    <form method="post" action={action} class="action">
      <Hidden fields={fields} />
      <button type="submit" class={tone ?? "normal"}>
        {children}
      </button>
    </form>
  );
}

export function Hidden({ fields }: { fields: Readonly<Record<string, string>> }) {
  return Object.entries(fields).map(([name, value]) => (
    <input type="hidden" name={name} value={value} />
  ));
}

type SubmitProps = {
  tone?: SubmitTone;
  /** The way out: where it leads, and what it says. */
  out: readonly [href: string, text: Child];
  children?: Child;
};

/** How a form ends: the button that does it, and the way out. */
export function Submit({ tone = "primary", out, children }: SubmitProps) {
  return (
    <p class="actions">
      <button type="submit" class={tone}>
        {children}
      </button>
      <a href={out[0]}>{out[1]}</a>
    </p>
  );
}

type SelectProps = {
  label: string;
  name: string;
  /** What choosing nothing is called, where one may. */
  any?: string;
  /** Each value with what it is called, where that is another word. */
  of: readonly (string | readonly [value: string, text: string])[];
  chosen?: string | undefined;
};

export function Select({ label, name, any, of, chosen }: SelectProps) {
  return (
    <label>
      {label}
      <select name={name}>
        {any !== undefined && <option value="">{any}</option>}
        {of.map((each) => {
          const [value, text] = typeof each === "string" ? [each, each] : each;
          return (
            <option value={value} selected={value === chosen}>
              {text}
            </option>
          );
        })}
      </select>
    </label>
  );
}

/** One of several, or what is so or not, with its words behind it. */
export function Choice({ children, ...input }: JSX.IntrinsicElements["input"]) {
  return (
    <label class="inline">
      <input {...input} />
      <span>{children}</span>
    </label>
  );
}

/** What nobody's spelling or memory is to mend: ids, names of events, URLs. */
export const VERBATIM = {
  autocomplete: "off",
  autocapitalize: "none",
  spellcheck: false,
} as const;
