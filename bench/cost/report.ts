/** The tables of `npm run bench -- cost` and `-- retry-cost`. */
import { type MeasuredFailure, sumOf, usageOf } from "./measure.ts";
import type { Counts } from "./metered-relay.ts";
import { listPrice, OPERATIONS, PRICES, type Resource, type Usage } from "./prices.ts";
import {
  ANSWER_SECONDS,
  CALL_SECONDS,
  IN_FLIGHT,
  type MonthRow,
  SPREADS,
  type Stored,
  TURNAROUND_SECONDS,
} from "./volumes.ts";

/** A million events of one kind. */
export type Case = {
  name: string;
  measured: string;
  /** Operations of a million events. */
  operations: Usage;
  /** What hours, days, periods and sweeps of a month cost, at a million events a month. */
  overTime: Usage;
  /** Both, in dollars. */
  dollars: number;
  /** In dollars. */
  bar: number;
  /** Of a million events, dollars; not in the sum. */
  duration: number;
  storage: number;
  logs: Logs;
};

/** Dollars for a million events. */
type Logs = {
  /** The relay's own lines. */
  own: number;
  /** A line for each request, call of an object and alarm, where `invocation_logs` is on. */
  invocations: number;
};

function printRows(rows: readonly (readonly string[])[]): void {
  const width = Math.max(...rows.map(([name = ""]) => name.length));
  const widths = rows.reduce<number[]>(
    (widest, [, ...cells]) =>
      cells.map((cell, column) => Math.max(cell.length, widest[column] ?? 0)),
    [],
  );
  for (const [name = "", ...cells] of rows) {
    const padded = cells.map((cell, column) => cell.padStart(widths[column] ?? 0));
    console.log([name.padEnd(width), ...padded].join("  ").trimEnd());
  }
  console.log();
}

const dollars = (amount: number) => amount.toFixed(amount < 0.1 ? 4 : 2);

export function printCounts(cases: readonly Case[]): void {
  const row = (resource: Resource) => [
    PRICES[resource].name,
    ...cases.map(({ operations }) => String(Number((operations[resource] / 1e6).toFixed(4)))),
  ];
  console.log("Operations per event\n");
  printRows([["", ...cases.map(({ name }) => name)], ...OPERATIONS.map(row)]);
}

export function printDollars(cases: readonly Case[], stored: Stored): void {
  const line = (name: string, of: (each: Case) => string) => [name, ...cases.map(of)];
  console.log("Dollars per million events, at the price beyond what the plan includes\n");
  printRows([
    line("", ({ name }) => name),
    ...OPERATIONS.map((resource) =>
      line(PRICES[resource].name, ({ operations }) => dollars(listPrice(operations, [resource]))),
    ),
    line("Retention, hours, sweeps *", ({ overTime }) => dollars(listPrice(overTime, OPERATIONS))),
    line("sum", (each) => each.dollars.toFixed(2)),
    line("bar", ({ bar }) => bar.toFixed(2)),
    line("without consumer requests **", ({ operations, dollars: sum }) =>
      (sum - withoutConsumer(operations)).toFixed(2),
    ),
    line("not in the sum: duration ***", ({ duration }) => dollars(duration)),
    line("not in the sum: storage ****", ({ storage }) => dollars(storage)),
    line("not in the sum: logs *****", ({ logs }) => dollars(logs.own)),
    line("with invocation_logs, more by", ({ logs }) => dollars(logs.invocations)),
  ]);
  console.log(
    `*    Of one month, at a million events a month: tables of new periods and Journals of new days (dropping old
     ones costs no rows), a row of counters for each hour and webhook, the sweep every 5 minutes.
**   The pricing page does not say that an invocation by a queue is a billed request; the sum takes it for one.
***  128 MB for as long as an object is busy: a service that answers in ${ANSWER_SECONDS * 1e3} ms, ${IN_FLIGHT} attempts at a time, and
     ${CALL_SECONDS * 1e3} ms for each other call.
**** For the 30 days of RETENTION: an event of 1 KB takes ${Math.round(stored.perEvent)} bytes, a delivery ${Math.round(stored.perDelivery)} and up to 1 KB of the answer.
***** Workers Logs, beyond the 20 million lines a month that the plan includes; \`[observability]\` switches them off.\n`,
  );
}

function withoutConsumer(operations: Usage): number {
  const { consumerRequests, ingestRequests } = operations;
  const cpuMs = (operations.cpuMs * consumerRequests) / (consumerRequests + ingestRequests);
  return listPrice({ ...operations, cpuMs }, ["consumerRequests", "cpuMs"]);
}

export function logsOf(operations: Usage): Logs {
  const { ingestRequests, consumerRequests, objectRequests } = operations;
  const invocations = ingestRequests + consumerRequests + objectRequests;
  const ofLines = (logLines: number) => listPrice({ ...operations, logLines }, ["logLines"]);
  return { own: ofLines(operations.logLines), invocations: ofLines(invocations) };
}

export function printMonths(rows: readonly MonthRow[]): void {
  for (const { name } of SPREADS) {
    console.log(`Dollars a month, events spread ${name}: list price → bill *\n`);
    const within = rows.filter(({ spread }) => spread === name);
    const relays = within[0]?.timeouts[0]?.relays ?? [];
    const head = relays.map(({ webhooks }) => `${webhooks} webhook${webhooks === 1 ? "" : "s"}`);
    printRows([
      ["", "batch", ...head],
      ...within.flatMap(({ events, timeouts }) =>
        timeouts.map(({ timeout, batch, relays }) => [
          `${events / 1e6} million, max_batch_timeout ${timeout}`,
          batch.toFixed(1),
          ...relays.map(({ listPrice: list, bill }) => `${whole(list)} → ${whole(bill)}`),
        ]),
      ),
    ]);
  }
  console.log(
    `* The bill is that of the Workers Paid plan, its $5 included, in an account with nothing else; duration,
  storage and the relay's own log lines are in both. A batch is one event and what arrives within max_batch_timeout, or within the
  ${TURNAROUND_SECONDS * 1e3} ms that the consumer is taken to need; each is paid for as if its objects had nothing else to do.\n`,
  );
}

const whole = (amount: number) => amount.toFixed(amount < 100 ? 1 : 0);

export function printFailure({ steps, total }: MeasuredFailure): void {
  const row = (name: string, counts: Counts) => [
    name,
    ...[
      sumOf(counts, "worker"),
      sumOf(counts, "kv"),
      sumOf(counts, "queue"),
      sumOf(counts, "rpc", "alarm"),
      sumOf(counts, "written"),
      sumOf(counts, "read"),
    ].map(String),
    dollars(listPrice(usageOf(counts), OPERATIONS) * 1e6),
    writtenRows(counts),
  ];
  console.log("One event for one webhook whose service answers 500 to all of 6 attempts\n");
  const head = ["", "Worker", "KV", "queue", "objects", "rows", "read", "$ per million", ""];
  printRows([
    head,
    ...steps.map(({ name, counts }) => row(name, counts)),
    row("in all", total).slice(0, -1),
  ]);
  console.log(
    `INSERT run: the lease before a request leaves, and the webhook's health once it has failed. UPDATE deliveries: the
row, and its places in the indexes of what is due and of what waits (at first two, then the one that moves counts
twice), at last in that of what is undeliverable. INSERT attempts: a retry's place in the list of attempts. setAlarm: for
the next attempt. Each alarm is an object request.\n`,
  );
}

/** Which rows they are. */
function writtenRows(counts: Counts): string {
  return Object.entries(counts)
    .filter(([what]) => what.startsWith("written."))
    .map(([what, count]) => `${count} ${what.split(".").slice(1).join(" ")}`)
    .join(", ");
}
