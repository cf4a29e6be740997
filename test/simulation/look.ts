/** What the objects have stored, read from outside; on disk or as the object itself sees it. */
import {
  type AttemptRecord,
  DELIVERY_STATUSES,
  type DeliveryStatus,
} from "../../src/domain/delivery";
import type { Health } from "../../src/domain/health";
import type { Webhook } from "../../src/domain/webhook";
import type { Share } from "../../src/storage/run";
import { attemptsOf } from "../../src/storage/stored-json";
import type { ObjectStorage } from "./storage";

export type View = "live" | "disk";

export type Row = {
  id: string;
  period: number;
  seq: number;
  position: number;
  status: DeliveryStatus;
  created_at: number;
  kept_from: number | null;
  due_at: number | null;
  asked: number;
  attempts: number;
  failures: number;
  interruptions: number;
  completed_at: number | null;
  last_error: string | null;
  log: string | null;
  has_body: number;
};

type StoredRow = Omit<Row, "status" | "period"> & { status: number };

export type StoredAttempt = { id: string; number: number; trigger: string };

export type StoredRun = {
  lease: { window: number; attempts: StoredAttempt[] };
  shares: (Share & { attempts: StoredAttempt[] })[];
  arrivedTo?: number;
  head: { seq: number; index: number };
  health: Health;
  nextStartAtMs: number;
  ended: number;
  /** How often it was written; 0.1.0 does not count. */
  saved?: number;
};

type JournalEvent = { id: string; webhookIds: string[]; erased: boolean };

export type StoredSettings = Webhook | { deletedVersion: number };

type StoredShare = Share & { attempts: [id: string, number: number, trigger: string][] };

function runOf({
  shares = [],
  ...run
}: Omit<StoredRun, "shares"> & { shares?: StoredShare[] }): StoredRun {
  const shareOf = ({ attempts, ...share }: StoredShare) => ({
    ...share,
    attempts: attempts.map(([id, number, trigger]) => ({ id, number, trigger })),
  });
  return { ...run, shares: shares.map(shareOf) };
}

function versionOf(storage: ObjectStorage, view: View): number {
  return view === "live" ? storage.writes : storage.commits;
}

export class Look {
  readonly #storage: ObjectStorage;
  readonly #view: View;

  readonly #version: number;
  readonly #deliveryWrites: number;
  readonly #seen = new Map<string, unknown>();

  /** @param before the last one: what it read of deliveries counts until one is written. */
  private constructor(storage: ObjectStorage, view: View, before: Look | undefined) {
    this.#storage = storage;
    this.#view = view;
    this.#version = versionOf(storage, view);
    this.#deliveryWrites = storage.deliveryWrites[view];
    if (before === undefined || before.#deliveryWrites !== this.#deliveryWrites) return;
    for (const what of ["deliveries", "by id"]) {
      if (before.#seen.has(what)) this.#seen.set(what, before.#seen.get(what));
    }
  }

  /** A look at it as it is now; what was read stays read until the object writes. */
  static at(storage: ObjectStorage, view: View): Look {
    const looks = view === "live" ? liveLooks : diskLooks;
    let look = looks.get(storage);
    if (look === undefined || look.#version !== versionOf(storage, view)) {
      look = new Look(storage, view, look);
      looks.set(storage, look);
    }
    return look;
  }

  #once<T>(what: string, read: () => T): T {
    if (!this.#seen.has(what)) this.#seen.set(what, read());
    return this.#seen.get(what) as T;
  }

  #query<T>(sql: string, ...bindings: (string | number)[]): T[] {
    return this.#view === "live"
      ? this.#storage.rows<T>(sql, ...bindings)
      : this.#storage.rowsOnDisk<T>(sql, ...bindings);
  }

  tables(): string[] {
    return this.#once("tables", () =>
      this.#query<{ name: string }>(
        "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name",
      ).map(({ name }) => name),
    );
  }

  /** Of what is stored; 0 where nothing says it. */
  version(): number {
    return this.#once("version", () => {
      if (!this.#has("version")) return 0;
      const [row] = this.#query<{ number: number }>("SELECT number FROM version");
      return row?.number ?? 0;
    });
  }

  #has(table: string): boolean {
    return this.tables().includes(table);
  }

  #periods(): number[] {
    return this.tables()
      .filter((name) => name.startsWith("deliveries_"))
      .map((name) => Number(name.slice("deliveries_".length)));
  }

  /** All deliveries of a Subscriber, in the order of arrival. */
  deliveries(): readonly Row[] {
    return this.#once("deliveries", () =>
      this.#periods()
        .flatMap((period) =>
          this.#query<StoredRow>(
            `SELECT id, seq, position, status, created_at, kept_from, due_at, asked, attempts, failures, interruptions, completed_at, last_error, log, body IS NOT NULL AS has_body FROM deliveries_${period}`,
          ).map((row): Row => readRow(row, period)),
        )
        .sort((a, b) => a.seq - b.seq || a.position - b.position),
    );
  }

  get hasPending(): boolean {
    return this.deliveries().some(({ status }) => status === "pending");
  }

  /** How many deliveries ever arrived at a Subscriber; null when no table tells it any more. */
  arrived(): number | null {
    const totals = this.#periods().map((period) => {
      const [row] = this.#query<{ total: number | null }>(
        `SELECT max(total) AS total FROM arrivals_${period}`,
      );
      return row?.total ?? 0;
    });
    return totals.length === 0 ? null : Math.max(...totals);
  }

  delivery(id: string): Row | null {
    const byId = this.#once("by id", () => new Map(this.deliveries().map((row) => [row.id, row])));
    return byId.get(id) ?? null;
  }

  run(): StoredRun | null {
    return this.#once("run", () => {
      if (!this.#has("run")) return null;
      const [row] = this.#query<{ state: string }>("SELECT state FROM run");
      return row === undefined ? null : runOf(JSON.parse(row.state));
    });
  }

  /** Every attempt that may be under way, of the object itself and of its Lanes. */
  leased(): readonly StoredAttempt[] {
    return this.#once("leased", () => {
      const run = this.run();
      const shared = run?.shares.flatMap(({ attempts }) => attempts) ?? [];
      return [...(run?.lease.attempts ?? []), ...shared, ...this.#arrivedLeased(run)];
    });
  }

  #arrivedLeased(run: StoredRun | null): StoredAttempt[] {
    return this.#periods().flatMap((period) => {
      const columns = this.#query<{ name: string }>(`PRAGMA table_info(arrivals_${period})`);
      if (!columns.some(({ name }) => name === "leased")) return [];
      return this.#query<{ ids: string }>(
        `SELECT ids FROM arrivals_${period} WHERE leased = 1 AND seq > ?`,
        run?.arrivedTo ?? 0,
      ).flatMap(({ ids }) =>
        JSON.parse(ids).map((id: string) => ({ id, number: 1, trigger: "scheduled" })),
      );
    });
  }

  settings(): StoredSettings | null {
    return this.#once("settings", () => {
      if (!this.#has("settings")) return null;
      const [row] = this.#query<{ version: number; webhook: string | null }>(
        "SELECT version, webhook FROM settings",
      );
      if (row === undefined) return null;
      return row.webhook === null ? { deletedVersion: row.version } : parsed(row.webhook);
    });
  }

  /** All registrations of a Registry. */
  webhooks(): { id: string; version: number; acknowledged: number; webhook: Webhook | null }[] {
    if (!this.#has("webhooks")) return [];
    return this.#query<{ id: string; version: number; acknowledged: number; data: string | null }>(
      "SELECT id, version, acknowledged, data FROM webhooks ORDER BY id",
    ).map(({ data, ...row }) => ({ ...row, webhook: data === null ? null : parsed(data) }));
  }

  /** The events of a Journal. */
  events(): readonly JournalEvent[] {
    return this.#once("events", () => this.#readEvents());
  }

  event(id: string): JournalEvent | null {
    const byId = this.#once("events by id", () => new Map(this.events().map((e) => [e.id, e])));
    return byId.get(id) ?? null;
  }

  #readEvents(): JournalEvent[] {
    if (!this.#has("events")) return [];
    return this.#query<{ id: string; webhook_ids: string; erased: number }>(
      "SELECT e.id, m.webhook_ids, e.erased FROM events e JOIN matches m ON m.number = e.matched",
    ).map(({ id, webhook_ids, erased }) => ({
      id,
      webhookIds: JSON.parse(webhook_ids),
      erased: erased === 1,
    }));
  }

  /** Of an event that the Journal has; what an erasure leaves of it. */
  body(eventId: string): Uint8Array | null {
    const [row] = this.#query<{ body: Uint8Array }>(
      "SELECT substr(b.bodies, e.start + 1, e.size) AS body FROM events e JOIN batches b ON b.seq = e.seq WHERE e.id = ?",
      eventId,
    );
    return row?.body ?? null;
  }

  deadLetters(): { id: string; event_id: string | null; webhookIds: string[] | null }[] {
    if (!this.#has("dead_letters")) return [];
    return this.#query<{ id: string; event_id: string | null; webhook_ids: string | null }>(
      "SELECT id, event_id, webhook_ids FROM dead_letters",
    ).map(({ webhook_ids, ...row }) => ({
      ...row,
      webhookIds: webhook_ids === null ? null : JSON.parse(webhook_ids),
    }));
  }
}

/** In place: the simulation does this more often than anything else. */
function readRow(row: StoredRow, period: number): Row {
  const read = row as unknown as Row;
  read.period = period;
  read.status = DELIVERY_STATUSES[row.status] ?? "pending";
  return read;
}

const liveLooks = new WeakMap<ObjectStorage, Look>();
const diskLooks = new WeakMap<ObjectStorage, Look>();

/** What a webhook is that 0.1.0 wrote. */
const SINCE_0_1_0 = { concurrency: 6, timeout: null, giveUpOn: [] };

/** The last settings that were read: they are read again with each write of anything. */
const lastParsed = { text: "", webhook: null as Webhook | null };

function parsed(text: string): Webhook {
  if (lastParsed.text !== text || lastParsed.webhook === null) {
    lastParsed.text = text;
    lastParsed.webhook = { ...SINCE_0_1_0, ...JSON.parse(text) } as Webhook;
  }
  return lastParsed.webhook;
}

export function attemptLog(row: Row): AttemptRecord[] {
  return attemptsOf(row.log);
}

export function isBefore(a: Row, b: Row): boolean {
  return a.seq < b.seq || (a.seq === b.seq && a.position < b.position);
}
