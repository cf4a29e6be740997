/** /dashboard/audit: who changed what. */
import { Hono } from "hono";
import type { Child } from "hono/jsx";
import { formatAuditId, parseAuditId } from "../contract/cursor";
import { visible } from "../domain/foreign-text";
import { parseEventId } from "../domain/ids";
import type { Webhook } from "../domain/webhook";
import { listAudit } from "../operations/audit";
import { allWebhooks } from "../operations/webhooks";
import type { AuditEntry } from "../storage/registry-store";
import { listPage } from "./ui/list";
import {
  type Column,
  Commas,
  Empty,
  Facts,
  foreign,
  link,
  Table,
  toldApart,
  WebhookLink,
  webhookAmong,
} from "./ui/parts";
import { eventPath } from "./ui/paths";
import type { PageEnv } from "./ui/session";
import { Time } from "./ui/time";

const ENTRIES_PER_PAGE = 50;

export const auditPages = new Hono<PageEnv>().get("/", (c) =>
  listPage(c, {
    title: "Audit",
    path: "/dashboard/audit",
    region: "entries",
    json: () => ["/v1/audit"],
    parseCursor: parseAuditId,
    find: async (_, before) => {
      const [{ entries, next }, webhooks] = await Promise.all([
        listAudit(c.env, before, ENTRIES_PER_PAGE),
        allWebhooks(c.env),
      ]);
      return {
        entries,
        webhooks: toldApart(webhooks),
        next: next === null ? null : formatAuditId(next),
      };
    },
    show: ({ entries, webhooks }, { isFirstPage }) =>
      entries.length === 0 ? (
        <Empty>
          {isFirstPage
            ? "Nothing was changed yet. Whoever changes a webhook, sends something again, gives up on it or erases it stands here, with what and when."
            : "There are no older ones."}
        </Empty>
      ) : (
        <Table
          label="Audit log"
          columns={columnsFor(webhooks)}
          rows={entries}
          keyOf={({ number }) => number}
        />
      ),
  }),
);

function columnsFor(webhooks: readonly Webhook[]): readonly Column<AuditEntry>[] {
  return [
    { head: "When", cell: ({ atMs }) => <Time ms={atMs} /> },
    {
      head: "Who",
      cell: ({ key }) =>
        key === null ? <span class="quiet">the relay</span> : <code>{visible(key)}</code>,
    },
    { head: "What", cell: ({ action }) => action },
    webhookAmong(webhooks),
    { head: "Change", cell: (entry) => <Change entry={entry} webhooks={webhooks} /> },
  ];
}

type ChangeProps = { entry: AuditEntry; webhooks: readonly Webhook[] };

function Change({ entry: { before, after }, webhooks }: ChangeProps) {
  const names = Object.keys({ ...before, ...after });
  const facts = names.flatMap((name): [string, Child][] => {
    const [was, is] = [before?.[name], after?.[name]];
    const json = JSON.stringify(is);
    // What is not set of something new is no news.
    if (before === null && UNSET.has(json)) return [];
    const now = is !== undefined && <Value of={is} webhooks={webhooks} />;
    if (json === JSON.stringify(was)) {
      return [[name, [now, " ", <span class="quiet">changed in what is not shown</span>]]];
    }
    const old = was !== undefined && (
      <del>
        <Value of={was} webhooks={webhooks} />
      </del>
    );
    return [[name, [old, old && now && " → ", now]]];
  });
  return facts.length === 0 ? <span class="quiet">–</span> : <Facts of={facts} />;
}

const ISO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const UNSET: ReadonlySet<string> = new Set(["null", "false", "[]", "{}"]);

/** Webhooks by their names, events as the way to them, times as everywhere, lists with commas; what else it is as JSON. */
function Value({ of, webhooks }: { of: unknown; webhooks: readonly Webhook[] }): Child {
  if (Array.isArray(of) && of.length > 0) {
    return <Commas of={of.map((each) => <Value of={each} webhooks={webhooks} />)} />;
  }
  if (of === null || of === "" || Array.isArray(of)) return <span class="quiet">none</span>;
  if (typeof of !== "string") return <code>{visible(JSON.stringify(of))}</code>;
  if (ISO_TIME.test(of)) return <Time ms={Date.parse(of)} />;
  const webhook = webhooks.find(({ id }) => id === of);
  if (webhook !== undefined) return <WebhookLink webhook={webhook} />;
  const eventId = parseEventId(of);
  if (eventId === null) return foreign(of);
  return link(eventPath(eventId), <code>{eventId}</code>);
}
