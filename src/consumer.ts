/**
 * queue(): routes a batch, hands each event over to the Subscribers that it is for, and acknowledges or retries
 * each message on its own. Everything behind the queue is idempotent on the event id.
 */
import { parseEvent, type RelayEvent } from "./domain/event";
import { compileFilter, type Matcher } from "./domain/filter";
import { REGISTRY_NAME, subscriberName } from "./domain/placement";
import { ALL_EVENTS, type Route } from "./domain/webhook";
import { errorText, logError, logWarning } from "./log";

/** A message is retried after min(2ⁿ, 900) s. */
const MAX_RETRY_DELAY_SECONDS = 900;
/** Bodies in one call to a Subscriber. */
const MAX_ACCEPT_BYTES = 1024 * 1024;

type QueueMessage = Message<ArrayBuffer | Uint8Array>;

type Owed = { message: QueueMessage; event: RelayEvent; body: Uint8Array };

export async function consume(
  batch: MessageBatch<ArrayBuffer | Uint8Array>,
  env: Env,
): Promise<void> {
  let routes: CompiledRoute[];
  try {
    routes = await routingTable(env);
  } catch (thrown) {
    logError("batch.not_routed", { messages: batch.messages.length, error: errorText(thrown) });
    for (const message of batch.messages) retry(message);
    return;
  }
  const owed = (await Promise.all(batch.messages.map(readMessage))).filter((item) => item !== null);
  const failed = await handOver(bySubscriber(owed, routes), env);
  for (const { message } of owed) {
    if (failed.has(message)) retry(message);
    else message.ack();
  }
}

async function readMessage(message: QueueMessage): Promise<Owed | null> {
  const body = new Uint8Array(message.body);
  const event = await parseEvent(body);
  if (event.ok) return { message, event: event.value, body };
  logError("message.unreadable", { messageId: message.id, reason: event.failure.code });
  retry(message);
  return null;
}

function retry(message: QueueMessage): void {
  const delaySeconds = Math.min(2 ** Math.min(message.attempts, 10), MAX_RETRY_DELAY_SECONDS);
  message.retry({ delaySeconds });
}

// --- routing ------------------------------------------------------------------------------------------------

type CompiledRoute = { id: Route["id"]; events: ReadonlySet<string>; matches: Matcher };

/** The table of this isolate; the Registry is asked with every batch whether it is still the current one. */
let known: { version: number; routes: CompiledRoute[] } | null = null;

async function routingTable(env: Env): Promise<CompiledRoute[]> {
  const answer = await env.REGISTRY.getByName(REGISTRY_NAME).routing(known?.version ?? null);
  if (answer.routes !== null) {
    known = { version: answer.version, routes: (answer.routes as Route[]).map(compileRoute) };
  }
  return known?.routes ?? [];
}

function compileRoute({ id, events, filter }: Route): CompiledRoute {
  return {
    id,
    events: new Set(events),
    matches: filter === null ? () => true : compileFilter(filter),
  };
}

function wants(route: CompiledRoute, { name, envelope }: RelayEvent): boolean {
  return (route.events.has(ALL_EVENTS) || route.events.has(name)) && route.matches(envelope);
}

function bySubscriber(owed: Owed[], routes: CompiledRoute[]): Map<string, Owed[]> {
  const shares = new Map<string, Owed[]>();
  for (const item of owed) {
    for (const route of routes) {
      if (!wants(route, item.event)) continue;
      const name = subscriberName(route.id, item.event.id);
      const share = shares.get(name);
      if (share === undefined) shares.set(name, [item]);
      else share.push(item);
    }
  }
  return shares;
}

// --- handing over -------------------------------------------------------------------------------------------

/** @returns the messages that at least one Subscriber has not taken. */
async function handOver(shares: Map<string, Owed[]>, env: Env): Promise<Set<QueueMessage>> {
  const failed = new Set<QueueMessage>();
  await Promise.all(
    [...shares].map(async ([name, share]) => {
      for (const part of parts(share)) {
        try {
          await env.SUBSCRIBER.getByName(name).accept({
            deliveries: part.map(({ event, body }) => ({ id: event.id, event: event.name, body })),
          });
        } catch (thrown) {
          logWarning("subscriber.not_reached", { subscriber: name, error: errorText(thrown) });
          for (const { message } of part) failed.add(message);
        }
      }
    }),
  );
  return failed;
}

/** Splits what one Subscriber gets into calls of at most 1 MB of bodies. */
function parts(share: Owed[]): Owed[][] {
  const all: Owed[][] = [];
  let part: Owed[] = [];
  let bytes = 0;
  for (const item of share) {
    if (part.length > 0 && bytes + item.body.length > MAX_ACCEPT_BYTES) {
      all.push(part);
      part = [];
      bytes = 0;
    }
    part.push(item);
    bytes += item.body.length;
  }
  if (part.length > 0) all.push(part);
  return all;
}
