/**
 * What a webhook's object of a local relay has stored: its version, where the engine stands, and what is due. It
 * only reads, beside a relay that runs or without one, and shows nothing secret.
 *
 *   npm run inspect -- wh_01KB…
 */
import { globSync } from "node:fs";
import { join, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Misuse, readOptions, runCommand } from "./command.ts";
import { ROOT } from "./wrangler.ts";

const USAGE = `npm run inspect -- wh_… [--persist-to DIR]

Shows what the object of a webhook has stored in a local relay.
  --persist-to DIR   where the relay keeps its state; default .wrangler/state`;

const SHOWN_DUE = 20;
const WEBHOOK_ID = /^wh_[0-9A-Z]{26}$/;

type Row = Record<string, string | number | null>;

/** @throws Misuse when no object in this directory is the webhook's. */
export function inspect(directory: string, id: string): string[] {
  for (const path of globSync("**/*-Subscriber/*.sqlite", { cwd: directory })) {
    const database = new DatabaseSync(join(directory, path), { readOnly: true });
    try {
      const settings = readJson(database, "settings", "webhook");
      if (settings?.id === id) return [join(directory, path), ...report(database, settings)];
    } finally {
      database.close();
    }
  }
  throw new Misuse(`No object of ${id} in ${directory}: is it the relay's state?`);
}

function report(database: DatabaseSync, settings: Row): string[] {
  const run = readJson(database, "run", "state") ?? {};
  const version = has(database, "version") ? rows(database, "SELECT number FROM version") : [];
  const lines = [
    `version    ${version[0]?.number ?? "1 (no row)"}`,
    `webhook    version ${settings.version}, ${settings.status}`,
    ...["lease", "head", "health", "ended", "saved", "arrivedTo"].map(
      (field) => `${field.padEnd(10)} ${JSON.stringify(run[field] ?? null)}`,
    ),
  ];
  const behind = leasedBehind(database, Number(run.arrivedTo ?? 0));
  if (behind > 0) {
    lines.push(
      `  behind   ${behind} arrivals that were leases themselves; the lines above do not know them`,
    );
  }
  for (const period of periodsOf(database)) lines.push(...reportPeriod(database, period));
  return lines;
}

/** How many arrivals were stored as leased since the row of the run was saved. */
function leasedBehind(database: DatabaseSync, arrivedTo: number): number {
  const counts = periodsOf(database).map((period) => {
    const [{ sql } = { sql: "" }] = rows(
      database,
      `SELECT sql FROM sqlite_master WHERE name = 'arrivals_${period}'`,
    );
    if (!String(sql).includes("leased")) return 0;
    const where = `leased = 1 AND seq > ${arrivedTo}`;
    const [row] = rows(database, `SELECT count(*) AS n FROM arrivals_${period} WHERE ${where}`);
    return Number(row?.n ?? 0);
  });
  return counts.reduce((sum, count) => sum + count, 0);
}

function reportPeriod(database: DatabaseSync, period: string): string[] {
  const table = `deliveries_${period}`;
  const counts = rows(database, `SELECT status, count(*) AS n FROM ${table} GROUP BY status`);
  const due = rows(
    database,
    `SELECT id, attempts, due_at, last_status_code, last_error FROM ${table} WHERE due_at IS NOT NULL ORDER BY due_at LIMIT ${SHOWN_DUE}`,
  );
  const statuses = ["pending", "delivered", "undeliverable", "cancelled"];
  const told = counts.map(({ status, n }) => `${n} ${statuses[Number(status)] ?? status}`);
  return [
    `period     ${new Date(Number(period)).toISOString()}: ${told.join(", ") || "empty"}`,
    ...due.map(
      ({ id, attempts, due_at, last_status_code, last_error }) =>
        `  due      ${new Date(Number(due_at)).toISOString()}  ${id}  attempts ${attempts}, last ${last_status_code ?? last_error ?? "none"}`,
    ),
  ];
}

function periodsOf(database: DatabaseSync): string[] {
  return rows(
    database,
    "SELECT name FROM sqlite_master WHERE name LIKE 'deliveries\\_%' ESCAPE '\\' ORDER BY name",
  ).map(({ name }) => String(name).slice("deliveries_".length));
}

function readJson(database: DatabaseSync, table: string, column: string): Row | null {
  if (!has(database, table)) return null;
  const [row] = rows(database, `SELECT ${column} AS json FROM ${table}`);
  return row?.json == null ? null : JSON.parse(String(row.json));
}

function has(database: DatabaseSync, table: string): boolean {
  return rows(database, `SELECT name FROM sqlite_master WHERE name = '${table}'`).length > 0;
}

function rows(database: DatabaseSync, sql: string): Row[] {
  return database.prepare(sql).all() as Row[];
}

async function main(args: string[]): Promise<number> {
  const { values, positionals } = readOptions(
    args,
    { "persist-to": { type: "string" } },
    { words: 1 },
  );
  const [id = ""] = positionals;
  if (!WEBHOOK_ID.test(id)) throw new Misuse("Give the id of a webhook, wh_….");
  const directory = resolve(ROOT, values["persist-to"] ?? ".wrangler/state");
  console.log(inspect(directory, id).join("\n"));
  return 0;
}

if (import.meta.main) await runCommand(USAGE, main);
