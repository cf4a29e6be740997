/**
 * queue(): routes a batch, records it in the Journal, hands each event over to the Subscribers that it is for,
 * and acknowledges, retries or gives up each message on its own. Everything behind the queue is idempotent on the
 * event id, so a message may be consumed any number of times.
 */
import { inTime } from "./deadline";
import { type AlertText, deadLetterAlert, fullAlert, newerDataAlert } from "./domain/alert";
import { factsOf, parseEvent, type RelayEvent } from "./domain/event";
import type { WebhookId } from "./domain/ids";
import { NewerDataError } from "./domain/newer-data";
import { journalName } from "./domain/placement";
import { type CompiledRoute, compileRoute } from "./domain/webhook";
import { errorText, logError, logWarning } from "./log";
import { deadLetters, journalOf, registry, subscriberOf } from "./operations/objects";

/** The platform's dead-letter queue (wrangler.toml): the backstop for what never reached this code. */
const DEAD_LETTER_QUEUE = "leadterra-dead-letters";
/** After so many retries the message goes to the dead letters, with who is still owed. */
const MAX_RETRIES = 20;
/** A message is retried after min(2ⁿ, 900) s. */
const MAX_RETRY_DELAY_SECONDS = 900;
/** Bodies in one call to a Subscriber or a Journal. */
const MAX_CALL_BYTES = 1024 * 1024;
/** An object that does not answer must not hold the batch. */
const CALL_TIMEOUT_MS = 20_000;

type QueueMessage = Message<ArrayBuffer | Uint8Array>;
type QueueBatch = MessageBatch<ArrayBuffer | Uint8Array>;

/** One message of the batch and what has become of it. */
type Item = {
  message: QueueMessage;
  body: Uint8Array;
  /** null when the body is no event. */
  event: RelayEvent | null;
  /** Who gets it; null until the Journal has it. */
  webhookIds: WebhookId[] | null;
  /** Who could not be given it this time. */
  owed: WebhookId[];
  /** Who can take nothing any more. */
  full: WebhookId[];
  /** Why it is not done; null when it is. */
  reason: string | null;
  /** Trying again would change nothing. */
  hopeless: boolean;
};

export async function consume(batch: QueueBatch, env: Env): Promise<void> {
  const items = await Promise.all(batch.messages.map(readMessage));
  if (batch.queue === DEAD_LETTER_QUEUE) {
    await Promise.all(
      items.map((item) => giveUp({ ...item, reason: item.reason ?? "not_consumed" }, env)),
    );
    return;
  }
  const readable = items.filter(isReadable);
  if (readable.length > 0) {
    await record(readable, env);
    await handOver(readable, env);
  }
  await Promise.all(items.map((item) => finish(item, env)));
}

async function readMessage(message: QueueMessage): Promise<Item> {
  const body = bytesOf(message.body);
  const event = await parseEvent(body);
  return {
    message,
    body,
    event: event.ok ? event.value : null,
    webhookIds: null,
    owed: [],
    full: [],
    reason: event.ok ? null : `unreadable: ${event.failure.code}`,
    hopeless: !event.ok,
  };
}

/** Anything but bytes was not written by this relay; it is kept as what it is. */
function bytesOf(body: unknown): Uint8Array {
  if (body instanceof Uint8Array) return body;
  if (body instanceof ArrayBuffer) return new Uint8Array(body);
  return new TextEncoder().encode(typeof body === "string" ? body : JSON.stringify(body));
}

type ReadableItem = Item & { event: RelayEvent };

function isReadable(item: Item): item is ReadableItem {
  return item.event !== null;
}

// --- what becomes of a message ------------------------------------------------------------------------------

/** The last step: what it does not acknowledge comes again. */
async function finish(item: Item, env: Env): Promise<void> {
  if (item.hopeless || (item.reason !== null && item.message.attempts > MAX_RETRIES)) {
    await giveUp(item, env);
    return;
  }
  if (item.full.length > 0 && !(await keep({ ...item, reason: "full", owed: item.full }, env))) {
    item.message.retry({ delaySeconds: MAX_RETRY_DELAY_SECONDS });
    return;
  }
  if (item.reason === null) item.message.ack();
  else item.message.retry({ delaySeconds: retryDelaySeconds(item.message.attempts) });
}

async function giveUp(item: Item, env: Env): Promise<void> {
  if (await keep(item, env)) item.message.ack();
  else item.message.retry({ delaySeconds: MAX_RETRY_DELAY_SECONDS });
}

function retryDelaySeconds(attempts: number): number {
  return Math.min(2 ** Math.min(attempts, 10), MAX_RETRY_DELAY_SECONDS);
}

/** Whether the dead letter is durable. */
async function keep(item: Item, env: Env): Promise<boolean> {
  const { message, event, body } = item;
  const facts = event === null ? null : factsOf(event);
  const owed = [...new Set([...item.owed, ...item.full])];
  const letter = {
    id: `dl_${message.id}`,
    eventId: event?.id ?? null,
    event: event?.name ?? null,
    email: facts?.email ?? null,
    reason: item.reason ?? "given_up",
    receivedAtMs: message.timestamp.getTime(),
    failedAtMs: Date.now(),
    webhookIds: owed.length === 0 ? null : owed,
  };
  try {
    const store = deadLetters(env);
    await inTime(store.keep({ letter, body }), CALL_TIMEOUT_MS);
  } catch (thrown) {
    logError("dead_letter.not_kept", { messageId: message.id, error: errorText(thrown) });
    await alertNewerData(thrown, env);
    return false;
  }
  await alert(item, env);
  return true;
}

/** Best effort: the dead letter itself is safe, and the sweep sends what could not leave. */
async function alert({ reason, full, message }: Item, env: Env): Promise<void> {
  const about =
    reason === "full"
      ? fullAlert(`Subscriber ${full.join(", ")}`)
      : reason === "journal_full"
        ? fullAlert(`Journal ${journalName(message.timestamp.getTime())}`)
        : deadLetterAlert(1, reason ?? "given up");
  await raise(about, env);
}

async function alertNewerData(thrown: unknown, env: Env): Promise<void> {
  if (thrown instanceof NewerDataError) await raise(newerDataAlert(thrown.object), env);
}

async function raise(about: AlertText, env: Env): Promise<void> {
  try {
    await inTime(registry(env).raise(about), CALL_TIMEOUT_MS);
  } catch (thrown) {
    logError("alert.not_raised", { cause: about.cause, error: errorText(thrown) });
  }
}

async function failed(
  items: readonly Item[],
  { reason, thrown, env }: { reason: string; thrown: unknown; env: Env },
): Promise<void> {
  logWarning(`consumer.${reason}`, { messages: items.length, error: errorText(thrown) });
  for (const item of items) item.reason = reason;
  await alertNewerData(thrown, env);
}

// --- routing ------------------------------------------------------------------------------------------------

/** The table of this isolate; the Registry is asked with every batch whether it is still the current one. */
let known: { version: number; routes: CompiledRoute[] } | null = null;

async function routingTable(env: Env): Promise<CompiledRoute[]> {
  // Batches run side by side: the answer is about the table that was asked with, whatever `known` is by then.
  const held = known;
  const answer = await inTime(registry(env).routing(held?.version ?? null), CALL_TIMEOUT_MS);
  if (answer.routes === null) return held?.routes ?? [];
  const routes = answer.routes.map(compileRoute);
  known = { version: answer.version, routes };
  return routes;
}

// --- Journal ------------------------------------------------------------------------------------------------

/** Settles who gets each event: whoever matched when the Journal first recorded it. */
async function record(items: readonly ReadableItem[], env: Env): Promise<void> {
  let routes: CompiledRoute[];
  try {
    routes = await routingTable(env);
  } catch (thrown) {
    await failed(items, { reason: "registry_unreachable", thrown, env });
    return;
  }
  const days = groupBy(items, ({ message }) => journalName(message.timestamp.getTime()));
  await Promise.all(
    [...days].map(async ([day, received]) => {
      for (const part of inParts(received)) await recordPart(day, part, routes, env);
    }),
  );
}

async function recordPart(
  day: string,
  part: readonly ReadableItem[],
  routes: readonly CompiledRoute[],
  env: Env,
): Promise<void> {
  const entries = part.map(({ message, event, body }) => ({
    ...factsOf(event),
    id: event.id,
    event: event.name,
    receivedAtMs: message.timestamp.getTime(),
    webhookIds: routes.filter((route) => route.wants(event)).map(({ id }) => id),
    body,
  }));
  try {
    const journal = journalOf(env, day);
    const { webhookIds } = await inTime(journal.record({ entries }), CALL_TIMEOUT_MS);
    for (const [index, item] of part.entries()) {
      if (webhookIds === null) {
        item.reason = "journal_full";
        item.hopeless = true;
      } else {
        item.webhookIds = webhookIds[index] ?? [];
      }
    }
  } catch (thrown) {
    await failed(part, { reason: "journal_unreachable", thrown, env });
  }
}

// --- Subscribers --------------------------------------------------------------------------------------------

type Share = { item: ReadableItem; webhookId: WebhookId };

async function handOver(items: readonly ReadableItem[], env: Env): Promise<void> {
  const shares = items.flatMap((item) =>
    (item.webhookIds ?? []).map((webhookId) => ({ item, webhookId })),
  );
  const subscribers = groupBy(shares, ({ webhookId }) => webhookId);
  await Promise.all(
    [...subscribers].map(async ([id, share]) => {
      for (const part of inParts(share)) await handOverPart(id, part, env);
    }),
  );
}

async function handOverPart(id: WebhookId, part: readonly Share[], env: Env): Promise<void> {
  try {
    const deliveries = part.map(({ item: { event, body } }) => ({
      id: event.id,
      event: event.name,
      body,
    }));
    const subscriber = subscriberOf(env, id);
    const { status } = await inTime(
      subscriber.accept({ deliveries, sendNow: true }),
      CALL_TIMEOUT_MS,
    );
    if (status === "full") for (const { item, webhookId } of part) item.full.push(webhookId);
  } catch (thrown) {
    for (const { item, webhookId } of part) item.owed.push(webhookId);
    const items = part.map(({ item }) => item);
    await failed(items, { reason: "subscriber_unreachable", thrown, env });
  }
}

// --- grouping -----------------------------------------------------------------------------------------------

function groupBy<T, K>(items: readonly T[], keyOf: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}

/** Splits what goes into one call at 1 MB of bodies. */
function inParts<T extends Share | ReadableItem>(items: readonly T[]): T[][] {
  const parts: T[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const item of items) {
    const { length } = "item" in item ? item.item.body : item.body;
    if (bytes + length > MAX_CALL_BYTES) {
      parts.push([]);
      bytes = 0;
    }
    parts.at(-1)?.push(item);
    bytes += length;
  }
  return parts;
}
