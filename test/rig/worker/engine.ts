/** Webhooks, events and deliveries: what a test of the engine begins with, and what it asks in the end. */
import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect } from "vitest";
import type { Journal, Registry, Subscriber } from "../../../src";
import { parseEvent } from "../../../src/domain/event";
import { type EventId, eventIdOf } from "../../../src/domain/ids";
import { journalName, REGISTRY_NAME } from "../../../src/domain/placement";
import type { Webhook } from "../../../src/domain/webhook";
import type { Clock } from "./fixture";
import { inObject, type Stub } from "./objects";
import { api, bytesOf } from "./requests";

// --- webhooks and events ------------------------------------------------------------------------------------

export type ShownWebhook = {
  id: string;
  url: string;
  status: string;
  statusReason: string | null;
  signingSecret: string;
};

let routingVersion = 1_000;

/** A webhook registered through the API. */
export async function register(fields: Record<string, unknown> = {}): Promise<ShownWebhook> {
  const draft = { url: "https://crm.example.com/in", events: ["*"], ...fields };
  const response = await api("POST", "/v1/webhooks", draft);
  expect(response.status).toBe(201);
  await newRoutingVersion();
  return (await response.json<{ webhook: ShownWebhook }>()).webhook;
}

/** `reset()` starts versions anew while the consumer keeps its table: no version may come twice. */
export async function newRoutingVersion(): Promise<void> {
  routingVersion += 1_000;
  await runInDurableObject(registry(), (_, state) => {
    state.storage.sql.exec("UPDATE routing SET version = ?", routingVersion);
  });
}

export function registry(): DurableObjectStub<Registry> {
  return env.REGISTRY.getByName(REGISTRY_NAME);
}

export function subscriber(id: string): DurableObjectStub<Subscriber> {
  return env.SUBSCRIBER.getByName(id);
}

export function journal(atMs: number): DurableObjectStub<Journal> {
  return env.JOURNAL.getByName(journalName(atMs));
}

export type Owed = { id: EventId; event: string; body: Uint8Array };

let eventsMade = 0;

/** Events that nobody has had yet, as the consumer hands them over. */
export function newEvents(count: number, fields: Record<string, unknown> = {}): Promise<Owed[]> {
  return Promise.all(Array.from({ length: count }, () => newEvent(fields)));
}

export async function newEvent({
  event = "message.sent",
  ...data
}: Record<string, unknown> = {}): Promise<Owed> {
  const messageId = `msg_${++eventsMade}`;
  const body = bytesOf({
    event,
    timestamp: new Date().toISOString(),
    data: { messageId, sequenceStep: 1, ...data },
  });
  return { id: await eventIdOf(String(event), messageId), event: String(event), body };
}

/** Hands events over as the consumer does. */
export async function accept(id: string, deliveries: Owed[]): Promise<number> {
  const { status, added } = await subscriber(id).accept({ deliveries });
  expect(status).toBe("accepted");
  return added;
}

/** The settings of a webhook as its Subscriber would be given them. */
export async function settingsOf(id: string): Promise<Webhook> {
  const webhook = (await registry().get(id)) as Webhook | null;
  if (webhook === null) throw new Error(`there is no webhook ${id}`);
  return webhook;
}

/** An event as Leadterra would have it, with the id that the relay gives it. */
export async function eventOf(
  event: string,
  data: Record<string, unknown>,
  timestamp = new Date().toISOString(),
): Promise<Owed> {
  const body = bytesOf({ event, timestamp, data });
  const parsed = await parseEvent(body);
  if (!parsed.ok) throw new Error(parsed.failure.code);
  return { id: parsed.value.id, event, body };
}

/** A change of a webhook, by the API. */
export const patch = (id: string, changes: unknown): Promise<Response> =>
  api("PATCH", `/v1/webhooks/${id}`, changes);
export const pause = (id: string): Promise<Response> => api("POST", `/v1/webhooks/${id}/pause`);
export const resume = (id: string): Promise<Response> => api("POST", `/v1/webhooks/${id}/resume`);

// --- deliveries ---------------------------------------------------------------------------------------------

export type ShownDelivery = {
  webhookId: string;
  eventId: string;
  event: string;
  status: string;
  attempts: number;
  createdAt: string;
  nextAttemptAt: string | null;
  waitingFor: string | null;
  completedAt: string | null;
  lastStatusCode: number | null;
  lastError: string | null;
};
export type ShownAttempt = {
  number: number;
  trigger: string;
  startedAt: string;
  durationMs: number;
  statusCode: number | null;
  error: string | null;
  responseBody: string | null;
  responseTruncated: boolean;
};

export async function deliveryOf(
  webhookId: string,
  eventId: string,
): Promise<ShownDelivery & { attemptLog: ShownAttempt[] }> {
  const response = await api("GET", `/v1/webhooks/${webhookId}/deliveries/${eventId}`);
  expect(response.status).toBe(200);
  return response.json();
}

/** A retry by the API. */
export const retry = (webhookId: string, eventId = ""): Promise<Response> =>
  api("POST", `/v1/webhooks/${webhookId}/deliveries/${eventId}/retry`);

/** How many deliveries there are of each status. */
export async function tally(webhookId: string): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (let before: { seq: number; index: number } | null | undefined; before !== null; ) {
    const query: { limit: number; before?: { seq: number; index: number } } = { limit: 100_000 };
    if (before !== undefined) query.before = before;
    const { deliveries, next } = await subscriber(webhookId).deliveries(query);
    for (const { status } of deliveries) counts[status] = (counts[status] ?? 0) + 1;
    before = next;
  }
  return counts;
}

/** When each pending delivery is due by its own wait, Unix milliseconds. */
export function duesOf(webhookId: string): Promise<Map<string, number>> {
  return inObject(subscriber(webhookId), (state) => {
    const { sql } = state.storage;
    const tables = sql
      .exec<{ name: string }>(
        "SELECT name FROM sqlite_master WHERE name LIKE 'deliveries_%' AND type = 'table'",
      )
      .toArray();
    const rows = tables.flatMap(({ name }) =>
      sql
        .exec<{ id: string; due: number }>(
          `SELECT id, coalesce(due_at, created_at) AS due FROM ${name} WHERE status = 0`,
        )
        .toArray(),
    );
    return new Map(rows.map(({ id, due }) => [id, due]));
  });
}

/** Runs the alarm of an object once, as the platform would; whether one was set. */
export function ring(stub: Stub): Promise<boolean> {
  return runDurableObjectAlarm(stub as DurableObjectStub);
}

/** When the alarm is set, Unix milliseconds. */
export function alarmAt(stub: Stub): Promise<number | null> {
  return inObject(stub, (state) => state.storage.getAlarm());
}

/** Rings as long as the next alarm is due: what can go out has gone out. */
export async function deliverAll(webhookId: string, clock: Clock): Promise<void> {
  const stub = subscriber(webhookId);
  for (let rounds = 0; rounds < 50; rounds++) {
    const atMs = await alarmAt(stub);
    if (atMs === null || atMs > clock.nowMs() + 50) return;
    await ring(stub);
  }
  throw new Error("the alarm does not come to rest");
}
