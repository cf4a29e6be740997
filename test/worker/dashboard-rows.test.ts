/** What a page over many deliveries reads: as many rows as one over few, also in an object that has just started. */
import { describe, expect } from "vitest";
import type { EventId } from "../../src/domain/ids";
import { signedIn } from "../rig/worker/dashboard";
import { accept, type Owed, register, subscriber } from "../rig/worker/engine";
import { HOUR, it } from "../rig/worker/fixture";
import { inObject, rowsReadBy } from "../rig/worker/objects";
import { api, bytesOf } from "../rig/worker/requests";

const MANY = 100_000;
/** In more arrivals than an object looks at when it starts, to see which of them were leased. */
const FEW = 400;
const PER_ARRIVAL = 10;
/** Where a time is, is found by bisection: 250 times as many arrivals are eight more looks, and two to spare. */
const MORE_LOOKS = 10;

/** How deliveries may stand. */
const STATES = {
  "never attempted": { status: 0, due_at: null, attempts: 0, ends: false },
  waiting: { status: 0, due_at: Number.MAX_SAFE_INTEGER, attempts: 1, ends: false },
  delivered: { status: 1, due_at: null, attempts: 1, ends: true },
  undeliverable: { status: 2, due_at: null, attempts: 6, ends: true },
} as const;
type State = keyof typeof STATES;

/** A webhook that is held, and owes or owed `count` events. Most are written at once: to accept and send them would take minutes. */
async function webhookWith(count: number, state: State): Promise<string> {
  const { id } = await register();
  await api("POST", `/v1/webhooks/${id}/pause`);
  await accept(
    id,
    Array.from({ length: PER_ARRIVAL }, (_, number) => owed(number)),
  );
  const { status, due_at, attempts, ends } = STATES[state];
  // An arrival a millisecond, up to now.
  const fromMs = Date.now() - count / PER_ARRIVAL;
  await inObject(subscriber(id), ({ storage: { sql } }) => {
    const [{ period }] = sql
      .exec<{ period: string }>(
        "SELECT substr(name, 12) AS period FROM sqlite_master WHERE name GLOB 'deliveries_*'",
      )
      .toArray() as [{ period: string }];
    sql.exec(
      `WITH RECURSIVE n (seq) AS (SELECT 2 UNION ALL SELECT seq + 1 FROM n LIMIT ?)
       INSERT INTO arrivals_${period} (seq, at, total, ids)
       SELECT seq, ? + seq, seq * ${PER_ARRIVAL}, (SELECT json_group_array(printf('evt_%026d', (seq - 1) * ${PER_ARRIVAL} + value)) FROM json_each('[0,1,2,3,4,5,6,7,8,9]')) FROM n`,
      count / PER_ARRIVAL - 1,
      fromMs,
    );
    sql.exec(
      `WITH RECURSIVE n (number) AS (SELECT 0 UNION ALL SELECT number + 1 FROM n LIMIT ?)
       INSERT OR REPLACE INTO deliveries_${period} (id, seq, position, event, status, created_at, due_at, asked, attempts, failures, interruptions, completed_at, body)
       SELECT printf('evt_%026d', number), 1 + number / ${PER_ARRIVAL}, number % ${PER_ARRIVAL}, 'message.sent', ?, ? + 1 + number / ${PER_ARRIVAL}, ?, 0, ?, 0, 0, ?, ? FROM n`,
      count,
      status,
      fromMs,
      due_at,
      attempts,
      ends ? Date.now() : null,
      ends ? null : bytesOf("{}"),
    );
    if (attempts === 0) return;
    // As the leases would have left it.
    const undeliverable = state === "undeliverable" ? { [period]: count } : {};
    const run = {
      head: { seq: count, index: 0 },
      ended: ends ? count : 0,
      undeliverable,
      undeliverableTo: null,
    };
    sql.exec("CREATE TABLE IF NOT EXISTS run (id INTEGER PRIMARY KEY, state TEXT NOT NULL)");
    sql.exec("INSERT OR REPLACE INTO run VALUES (1, ?)", JSON.stringify(run));
  });
  return id;
}

function owed(number: number): Owed {
  const id = `evt_${String(number).padStart(26, "0")}` as EventId;
  return { id, event: "message.sent", body: bytesOf("{}") };
}

const until = new Date(Date.now() + 2 * HOUR).toISOString().slice(0, 16);
const PAGES = [
  "/dashboard/deliveries?webhook=ID",
  "/dashboard/deliveries?webhook=ID&status=pending",
  "/dashboard/deliveries?webhook=ID&status=undeliverable",
  "/dashboard/deliveries?webhook=ID&within=day",
  `/dashboard/deliveries?webhook=ID&until=${until}`,
  "/dashboard/deliveries",
  "/dashboard/deliveries?status=pending",
  "/dashboard/deliveries?status=undeliverable",
  "/dashboard/webhooks/ID",
];

describe("a page over 100,000 deliveries", () => {
  it.each(Object.keys(STATES) as State[])(
    "that are %s reads as many rows as one over 400",
    async (state) => {
      const visitor = await signedIn();
      const look = async (count: number) => {
        const id = await webhookWith(count, state);
        const reads: number[] = [];
        for (const path of PAGES) {
          const rows = await rowsReadBy(subscriber(id), async () => {
            const page = await visitor.get(path.replace("ID", id));
            expect(page.status).toBe(200);
            await page.text();
          });
          reads.push(rows);
        }
        const { pending } = await subscriber(id).stats(0);
        expect(pending).toBe(STATES[state].ends ? 0 : count);
        await api("DELETE", `/v1/webhooks/${id}`);
        return reads;
      };
      const few = await look(FEW);
      const many = await look(MANY);
      for (const [index, path] of PAGES.entries()) {
        const [rowsOfFew = 0, rowsOfMany = 0] = [few[index], many[index]];
        expect(rowsOfFew, path).toBeGreaterThan(0);
        const more = path.includes("until") ? MORE_LOOKS : 0;
        expect(rowsOfMany, path).toBeLessThanOrEqual(rowsOfFew + more);
      }
    },
    60_000,
  );
});
