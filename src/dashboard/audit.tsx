/** /dashboard/audit: who changed what. */
import { Hono } from "hono";
import { listAudit } from "../operations/audit";
import type { AuditEntry } from "../storage/registry-store";
import { visible } from "./ui/foreign";
import { listPage } from "./ui/list";
import { type Column, Empty, Facts, Table, webhookPath } from "./ui/parts";
import type { PageEnv } from "./ui/session";
import { Time } from "./ui/time";

const ENTRIES_PER_PAGE = 50;

export const auditPages = new Hono<PageEnv>().get("/", (c) =>
  listPage(c, {
    title: "Audit",
    path: "/dashboard/audit",
    region: "entries",
    parseCursor: (text) => (/^\d{1,15}$/.test(text) ? Number(text) : null),
    find: async (_, before) => {
      const { entries, next } = await listAudit(c.env, before, ENTRIES_PER_PAGE);
      return { entries, next: next === null ? null : String(next) };
    },
    show: ({ entries }) =>
      entries.length === 0 ? (
        <Empty>
          <p>
            Nothing was changed yet. Every change of a webhook, retry and replay will stand here.
          </p>
        </Empty>
      ) : (
        <Table label="Audit log" columns={COLUMNS} rows={entries} keyOf={({ number }) => number} />
      ),
  }),
);

const COLUMNS: readonly Column<AuditEntry>[] = [
  { head: "When", cell: ({ atMs }) => <Time ms={atMs} /> },
  {
    head: "Who",
    cell: ({ key }) => (key === null ? <span class="quiet">the relay</span> : <code>{key}</code>),
  },
  { head: "What", cell: ({ action }) => action },
  {
    head: "Webhook",
    cell: ({ webhookId }) => webhookId !== null && <a href={webhookPath(webhookId)}>{webhookId}</a>,
  },
  { head: "Before", cell: ({ before }) => <View view={before} /> },
  { head: "After", cell: ({ after }) => <View view={after} /> },
];

function View({ view }: { view: Record<string, unknown> | null }) {
  if (view === null || Object.keys(view).length === 0) return <span class="quiet">–</span>;
  return (
    <Facts
      of={Object.entries(view).map(([name, value]) => [
        name,
        <code>{visible(JSON.stringify(value))}</code>,
      ])}
    />
  );
}
