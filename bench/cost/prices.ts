/**
 * What Cloudflare bills on the Workers Paid plan, November 2026:
 * https://developers.cloudflare.com/workers/platform/pricing/
 * https://developers.cloudflare.com/kv/platform/pricing/
 * https://developers.cloudflare.com/queues/platform/pricing/
 * https://developers.cloudflare.com/durable-objects/platform/pricing/
 */

export type Price = {
  name: string;
  /** Dollars for a million. */
  perMillion: number;
  /** What the plan includes each month. */
  includedPerMonth: number;
};

export const PRICES = {
  ingestRequests: { name: "Worker requests, ingest", perMillion: 0.3, includedPerMonth: 10e6 },
  /** The page bills "inbound requests" and names no invocation by a queue or by cron: taken to be billed alike. */
  consumerRequests: { name: "Worker requests, consumer", perMillion: 0.3, includedPerMonth: 0 },
  cpuMs: { name: "Worker CPU, 3 ms each", perMillion: 0.02, includedPerMonth: 30e6 },
  kvReads: { name: "KV reads", perMillion: 0.5, includedPerMonth: 10e6 },
  kvWrites: { name: "KV writes", perMillion: 5, includedPerMonth: 1e6 },
  /** For each 64 KB that is written, read or deleted. */
  queueOperations: { name: "Queue operations", perMillion: 0.4, includedPerMonth: 1e6 },
  /** "Every RPC method call on a Durable Objects stub is its own RPC session and therefore a single billed request." */
  objectRequests: { name: "Object requests (RPC, alarm)", perMillion: 0.15, includedPerMonth: 1e6 },
  /** "Each setAlarm() is billed as a single row written." */
  rowsWritten: { name: "Rows written", perMillion: 1, includedPerMonth: 50e6 },
  rowsRead: { name: "Rows read", perMillion: 0.001, includedPerMonth: 25e9 },
  /** 128 MB for as long as an object is busy. */
  gigabyteSeconds: { name: "Object duration", perMillion: 12.5, includedPerMonth: 400_000 },
  /** A gigabyte kept for a month, $0.20. */
  gigabyteMonths: { name: "Object storage", perMillion: 200_000, includedPerMonth: 5 },
  /** Workers Logs, https://developers.cloudflare.com/workers/observability/logs/workers-logs/#pricing */
  logLines: { name: "Log lines", perMillion: 0.6, includedPerMonth: 20e6 },
} as const satisfies Record<string, Price>;

export type Resource = keyof typeof PRICES;
export const RESOURCES = Object.keys(PRICES) as Resource[];

/** How much of each is used; a fraction of one when it is for one event. */
export type Usage = Record<Resource, number>;

/** Dollars a month; the usage that the plan includes is paid for with it. */
export const PLAN_DOLLARS_PER_MONTH = 5;
/** What time costs, and what may be switched off. */
const NOT_IN_THE_SUM: ReadonlySet<string> = new Set([
  "gigabyteSeconds",
  "gigabyteMonths",
  "logLines",
] satisfies Resource[]);
/** What is operations of the relay itself. */
export const OPERATIONS = RESOURCES.filter((resource) => !NOT_IN_THE_SUM.has(resource));

export function usage(of: (resource: Resource) => number): Usage {
  return Object.fromEntries(RESOURCES.map((resource) => [resource, of(resource)])) as Usage;
}

export function add(...usages: readonly Usage[]): Usage {
  return usage((resource) => usages.reduce((sum, each) => sum + each[resource], 0));
}

export function times(amount: number, of: Usage): Usage {
  return usage((resource) => amount * of[resource]);
}

/** Dollars at the price for what goes beyond the plan. */
export function listPrice(of: Usage, resources: readonly Resource[] = RESOURCES): number {
  return resources.reduce(
    (sum, resource) => sum + (of[resource] * PRICES[resource].perMillion) / 1e6,
    0,
  );
}

/** Dollars of a month's bill on the Workers Paid plan, in an account with nothing else in it. */
export function monthlyBill(of: Usage): number {
  // Both kinds of Worker requests draw on the same 10 million.
  const workerRequests = of.ingestRequests + of.consumerRequests;
  const shared = { ...of, ingestRequests: workerRequests, consumerRequests: 0 };
  const beyond = usage((resource) =>
    Math.max(0, shared[resource] - PRICES[resource].includedPerMonth),
  );
  return PLAN_DOLLARS_PER_MONTH + listPrice(beyond);
}
