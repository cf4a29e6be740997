import { runInDurableObject } from "cloudflare:test";
import { describe, expect } from "vitest";
import type { EventId } from "../../src/domain/ids";
import { accept, type Owed, register, subscriber } from "../rig/worker/engine";
import { it } from "../rig/worker/fixture";
import { api, bytesOf } from "../rig/worker/requests";

const DELIVERIES = 100_000;
const PER_ACCEPT = 1_000;
const PAGE = 250;

const body = bytesOf("{}");

function owed(number: number): Owed {
  const id = `evt_${String(number).padStart(26, "0")}` as EventId;
  return { id, event: "message.sent", body };
}

/** Counts the rows that an object reads, from here on. */
async function rowCounter(webhookId: string): Promise<() => Promise<number>> {
  const cursors: SqlStorageCursor<Record<string, SqlStorageValue>>[] = [];
  await runInDurableObject(subscriber(webhookId) as DurableObjectStub, (_, { storage }) => {
    const { sql } = storage;
    const exec = sql.exec.bind(sql);
    Object.defineProperty(sql, "exec", {
      configurable: true,
      value: (...args: Parameters<typeof exec>) => {
        const cursor = exec(...args);
        cursors.push(cursor);
        return cursor;
      },
    });
  });
  return () =>
    runInDurableObject(subscriber(webhookId) as DurableObjectStub, () =>
      cursors.splice(0).reduce((sum, { rowsRead }) => sum + rowsRead, 0),
    );
}

type Page = { data: { eventId: string }[]; next: string | null };

/** Reads a list to its end. @returns the rows that each page read, and the events that were on them. */
async function readAll(webhookId: string, filter: string) {
  const rowsRead = await rowCounter(webhookId);
  const path = `/v1/webhooks/${webhookId}/deliveries?limit=${PAGE}${filter}`;
  const reads: number[] = [];
  const seen = new Set<string>();
  for (let cursor = ""; ; ) {
    const response = await api("GET", path + cursor);
    expect(response.status).toBe(200);
    const { data, next }: Page = await response.json();
    const rows = await rowsRead();
    // What is left for the last page may be nothing.
    if (data.length > 0) reads.push(rows);
    for (const { eventId } of data) seen.add(eventId);
    if (next === null) return { reads, seen };
    cursor = `&cursor=${encodeURIComponent(next)}`;
  }
}

describe("a list of 100,000 deliveries", () => {
  it("reads as many rows for its last page as for its first, and has each delivery once", async () => {
    const { id } = await register();
    await api("POST", `/v1/webhooks/${id}/pause`);
    for (let first = 0; first < DELIVERIES; first += PER_ACCEPT) {
      const batch = Array.from({ length: PER_ACCEPT }, (_, index) => owed(first + index));
      await accept(id, batch);
    }
    for (const filter of ["", "&status=pending"]) {
      const { reads, seen } = await readAll(id, filter);
      expect(seen.size, filter).toBe(DELIVERIES);
      expect(reads, filter).toHaveLength(DELIVERIES / PAGE);
      const [first = 0] = reads;
      expect(first, filter).toBeGreaterThanOrEqual(PAGE);
      expect(reads.at(-1), filter).toBeLessThanOrEqual(first * 1.1);
      expect(Math.max(...reads), filter).toBeLessThanOrEqual(first + PER_ACCEPT);
    }
  }, 240_000);
});
