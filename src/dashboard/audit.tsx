/** /dashboard/audit: who changed what. */
import { Hono } from "hono";
import { listAudit } from "../operations/audit";
import type { AuditEntry } from "../storage/registry-store";
import { page } from "./ui/page";
import { Empty, Pager, Table, webhookPath } from "./ui/parts";
import type { PageContext, PageEnv } from "./ui/session";
import { Time } from "./ui/time";

const PATH = "/dashboard/audit";
const ENTRIES_PER_PAGE = 50;

export const auditPages = new Hono<PageEnv>().get("/", async (c: PageContext) => {
  const query = c.req.query();
  const before = /^\d{1,15}$/.test(query.cursor ?? "") ? Number(query.cursor) : null;
  const { entries, next } = await listAudit(c.env, before, ENTRIES_PER_PAGE);
  return page(
    c,
    { title: "Audit", live: before === null },
    <div id="entries" data-live>
      {entries.length === 0 ? (
        <Empty>
          <p>
            Nothing was changed yet. Every change of a webhook, retry and replay will stand here.
          </p>
        </Empty>
      ) : (
        <Table label="Audit log" head={["When", "Who", "What", "Webhook", "Before", "After"]}>
          {entries.map((entry) => (
            <Entry entry={entry} zone={c.get("zone")} />
          ))}
        </Table>
      )}
      <Pager path={PATH} query={query} next={next === null ? null : String(next)} />
    </div>,
  );
});

function Entry({ entry, zone }: { entry: AuditEntry; zone: string }) {
  const { atMs, key, action, webhookId, before, after } = entry;
  return (
    <tr data-row={entry.number}>
      <td>
        <Time ms={atMs} zone={zone} />
      </td>
      <td>{key === null ? <span class="quiet">the relay</span> : <code>{key}</code>}</td>
      <td>{action}</td>
      <td>{webhookId !== null && <a href={webhookPath(webhookId)}>{webhookId}</a>}</td>
      <td>
        <View view={before} />
      </td>
      <td>
        <View view={after} />
      </td>
    </tr>
  );
}

function View({ view }: { view: Record<string, unknown> | null }) {
  if (view === null || Object.keys(view).length === 0) return <span class="quiet">–</span>;
  return (
    <dl class="facts">
      {Object.entries(view).map(([name, value]) => (
        <>
          <dt>{name}</dt>
          <dd>
            <code>{JSON.stringify(value)}</code>
          </dd>
        </>
      ))}
    </dl>
  );
}
