/**
 * queue(): routes a batch, records it in the Journal, hands each event over to the Subscribers that it is for;
 * what happened to each message decides what becomes of it. Everything behind the queue is idempotent on the event
 * id, so a message may be consumed any number of times.
 */
import { configOf } from "./config";
import { inTime, LateError } from "./deadline";
import {
  type AlertText,
  brokenRouteAlert,
  deadLetterAlert,
  objectAlert,
  relayAlert,
} from "./domain/alert";
import type { DeadLetterNews } from "./domain/dead-letter";
import { factsOf, parseEvent, type RelayEvent } from "./domain/event";
import { countedAs } from "./domain/event-totals";
import type { EventId, WebhookId } from "./domain/ids";
import { NewerDataError } from "./domain/no-answer";
import { journalName } from "./domain/placement";
import { portionsOf, sharedRoom } from "./domain/portions";
import { type Fate, KEEP_AGAIN_SECONDS, type Keep, verdictOn } from "./domain/verdict";
import { type CompiledRoute, compileRoutes } from "./domain/webhook";
import { errorText, logError, logWarning } from "./log";
import { deadLetters, journalOf, registry, subscriberOf } from "./operations/objects";
import { isFull } from "./storage/full";
import { NOTHING_KNOWN } from "./storage/journal-store";

/** Bodies in one call to a Subscriber or a Journal. */
const MAX_CALL_BYTES = 1024 * 1024;
/**
 * Bodies that are on their way to Subscribers at once: each call has copies of its own, beside the batch and what it
 * says, in the 128 MB of an isolate. https://developers.cloudflare.com/workers/platform/limits/#memory
 */
const MAX_BYTES_ON_THEIR_WAY = 16 * MAX_CALL_BYTES;
/** An object that does not answer must not hold the batch. */
const CALL_TIMEOUT_MS = 20_000;

type QueueMessage = Message<ArrayBuffer | Uint8Array>;
type QueueBatch = MessageBatch<ArrayBuffer | Uint8Array>;

/** A message with its body, and what the body says; `event` is null when it is none. */
type Item = { message: QueueMessage; body: Uint8Array; event: RelayEvent | null };
type Readable = Item & { event: RelayEvent };

/** One batch under way: what happened to its messages so far, and what people are told afterwards. */
type Round = {
  env: Env;
  fates: Map<Item, Fate>;
  alerts: Map<string, AlertText>;
  letters: DeadLetterNews[];
  /** Events that were erased by their id before they came: recorded, and for nobody. */
  erased: ReadonlySet<EventId>;
  names: ReadonlySet<string>;
};

/** @param context alerts leave with it, after the batch. */
export async function consume(
  batch: QueueBatch,
  env: Env,
  context: Pick<ExecutionContext, "waitUntil">,
): Promise<void> {
  const items = await Promise.all(batch.messages.map(readMessage));
  const round: Round = {
    env,
    fates: new Map(),
    alerts: new Map(),
    letters: [],
    erased: new Set(),
    names: NO_TABLE.names,
  };
  const readable = items.filter(isReadable);
  if (batch.queue === configOf(env).deadLetterQueue) {
    await keepGivenUp(readable, round);
  } else if (readable.length > 0) {
    await route(readable, round);
  }
  await Promise.all(items.map((item) => settle(item, round)));
  if (round.alerts.size > 0) context.waitUntil(tell(round));
}

/** What the platform gave up is kept; but not before it is known that it was not erased by its id meanwhile. */
async function keepGivenUp(items: readonly Readable[], round: Round): Promise<void> {
  let mayBeErased = false;
  try {
    if (items.length > 0) round.erased = (await routingOf(items, round.env)).erased;
  } catch (thrown) {
    mayBeErased = true;
    notRouted(items, { reason: "registry_unreachable", thrown }, round);
  }
  for (const item of items) round.fates.set(item, { kind: "not_consumed", mayBeErased });
}

async function readMessage(message: QueueMessage): Promise<Item> {
  const body = bytesOf(message.body);
  const event = await parseEvent(body);
  return { message, body, event: event.ok ? event.value : null };
}

/** Anything but bytes was not written by this relay; it is kept as what it is. */
function bytesOf(body: unknown): Uint8Array {
  if (body instanceof Uint8Array) return body;
  if (body instanceof ArrayBuffer) return new Uint8Array(body);
  return new TextEncoder().encode(typeof body === "string" ? body : textOf(body));
}

function textOf(body: unknown): string {
  try {
    return JSON.stringify(body) ?? String(body);
  } catch {
    // A bigint, or what holds itself.
    return String(body);
  }
}

function isReadable(item: Item): item is Readable {
  return item.event !== null;
}

// --- what becomes of a message ------------------------------------------------------------------------------

/** The one place that acknowledges. */
async function settle(item: Item, round: Round): Promise<void> {
  const { message } = item;
  const fate = round.fates.get(item) ?? { kind: "unreadable" };
  const { retentionMs } = configOf(round.env);
  const knownForMs =
    message.timestamp.getTime() + (retentionMs ?? Number.POSITIVE_INFINITY) - Date.now();
  const { keep, retryAfter } = verdictOn(fate, message.attempts, knownForMs);
  // Nothing is kept of what was erased, and nobody is owed it.
  const isErased = item.event !== null && round.erased.has(item.event.id);
  if (keep !== null && !isErased && !(await kept(item, keep, round))) {
    message.retry({ delaySeconds: KEEP_AGAIN_SECONDS });
  } else if (retryAfter !== null) {
    message.retry({ delaySeconds: retryAfter });
  } else {
    message.ack();
  }
}

/** Whether the dead letter is durable. */
async function kept({ message, event, body }: Item, keep: Keep, round: Round): Promise<boolean> {
  const receivedAtMs = message.timestamp.getTime();
  const email = event === null ? null : factsOf(event).email;
  const letter = {
    id: `dl_${message.id}`,
    eventId: event?.id ?? null,
    event: event?.name ?? null,
    reason: keep.because,
    receivedAtMs,
    failedAtMs: Date.now(),
    webhookIds: keep.owed,
  };
  try {
    await inTime(
      deadLetters(round.env).keep({ letter: { ...letter, email }, body }),
      CALL_TIMEOUT_MS,
    );
  } catch (thrown) {
    logError("dead_letter.not_kept", { messageId: message.id, error: errorText(thrown) });
    alertNewerData(thrown, round);
    if (isFull(thrown)) addAlert(relayAlert("full DeadLetters"), round);
    return false;
  }
  round.letters.push(letter);
  const count = round.letters.filter(({ reason }) => reason === keep.because).length;
  for (const alert of alertsOf(keep, receivedAtMs, count)) addAlert(alert, round);
  return true;
}

// --- alerts -------------------------------------------------------------------------------------------------

/** @param count how many of the batch were kept for this reason. */
function alertsOf({ because, owed }: Keep, receivedAtMs: number, count: number): AlertText[] {
  if (because === "full") return (owed ?? []).map((id) => objectAlert("full", `Subscriber ${id}`));
  if (because === "journal_full")
    return [objectAlert("full", `Journal ${journalName(receivedAtMs)}`)];
  return [deadLetterAlert(count, because)];
}

/** One batch raises each cause once. */
function addAlert(alert: AlertText, { alerts }: Round): void {
  alerts.set(alert.cause, alert);
}

function alertNewerData(thrown: unknown, round: Round): void {
  if (thrown instanceof NewerDataError) addAlert(objectAlert("newer data", thrown.object), round);
}

/** Best effort: the dead letters themselves are safe, and stand on the dashboard. */
async function tell({ alerts, letters, env }: Round): Promise<void> {
  for (const alert of alerts.values()) {
    try {
      await inTime(registry(env).raise(alert), CALL_TIMEOUT_MS);
    } catch (thrown) {
      logError("alert.not_raised", { cause: alert.cause, error: errorText(thrown) });
    }
  }
  if (letters.length === 0) return;
  try {
    await inTime(registry(env).deadLettersAdded(letters), CALL_TIMEOUT_MS);
  } catch (thrown) {
    logError("dead_letter.not_told", { error: errorText(thrown) });
  }
}

// --- routing ------------------------------------------------------------------------------------------------

/** `names`: the events that any webhook asks for. */
type Table = ReturnType<typeof compileRoutes> & { names: ReadonlySet<string> };

const NO_TABLE: Table = { routes: [], broken: [], names: new Set() };

/** The table of this isolate; the Registry is asked with every batch whether it is still the current one. */
let known: { version: number; table: Table } | null = null;

/** The table, and which of the events were erased before they came. */
async function routingOf(items: readonly Readable[], env: Env) {
  // Batches run side by side: the answer is about the table that was asked with, whatever `known` is by then.
  const held = known;
  const ids = items.map(({ event }) => event.id);
  const receivedAtMs = Math.min(...items.map(({ message }) => message.timestamp.getTime()));
  const asked = registry(env).routing(held?.version ?? null, ids, receivedAtMs);
  const answer = await inTime(asked, CALL_TIMEOUT_MS);
  const erased = new Set(answer.erased);
  if (answer.routes === null) return { table: held?.table ?? NO_TABLE, erased };
  const names = new Set(answer.routes.flatMap(({ events }) => events));
  const table = { ...compileRoutes(answer.routes), names };
  known = { version: answer.version, table };
  return { table, erased };
}

async function route(items: readonly Readable[], round: Round): Promise<void> {
  let routing: Awaited<ReturnType<typeof routingOf>>;
  try {
    routing = await routingOf(items, round.env);
  } catch (thrown) {
    notRouted(items, { reason: "registry_unreachable", thrown }, round);
    return;
  }
  const { routes, broken } = routing.table;
  round.names = routing.table.names;
  round.erased = routing.erased;
  for (const { id } of broken) addAlert(brokenRouteAlert(id), round);
  const doubtful = items.filter(
    ({ event }) => !round.erased.has(event.id) && broken.some((each) => each.wants(event)),
  );
  const clear = items.filter((item) => !doubtful.includes(item));
  const halfRouted = doubtful.map((item) => ({
    item,
    webhookIds: wantedBy(routes, item),
    isUnrecorded: true,
  }));
  await handOver([...(await record(clear, routes, round)), ...halfRouted], round);
  // The Journal keeps the list that it gets first: such an event is recorded once all routes are understood.
  for (const item of doubtful) round.fates.set(item, { kind: "half_routed" });
}

function wantedBy(routes: readonly CompiledRoute[], { event }: Readable): WebhookId[] {
  return routes.filter((route) => route.wants(event)).map(({ id }) => id);
}

type Unrouted = Extract<Fate, { kind: "not_routed" }>["reason"];

function notRouted(
  items: readonly Item[],
  { reason, thrown }: { reason: Unrouted; thrown: unknown },
  round: Round,
): void {
  logWarning(`consumer.${reason}`, { messages: items.length, error: errorText(thrown) });
  for (const item of items) round.fates.set(item, { kind: "not_routed", reason });
  alertNewerData(thrown, round);
}

// --- Journal ------------------------------------------------------------------------------------------------

/** An event, and who gets it. `isUnrecorded`: no Journal has it, and perhaps none ever will. */
type Routed = { item: Readable; webhookIds: WebhookId[]; isUnrecorded?: boolean };

/** Settles who gets each event: whoever matched when the Journal first recorded it. */
async function record(items: readonly Readable[], routes: readonly CompiledRoute[], round: Round) {
  const wanting = items.map((item) => ({ item, webhookIds: wantedBy(routes, item) }));
  const days = Map.groupBy(wanting, ({ item }) => journalName(item.message.timestamp.getTime()));
  const routed = await Promise.all(
    [...days].map(async ([day, received]) => {
      const recorded: Routed[] = [];
      for (const part of inParts(received)) recorded.push(...(await recordPart(day, part, round)));
      return recorded;
    }),
  );
  return routed.flat();
}

async function recordPart(day: string, part: Routed[], round: Round): Promise<Routed[]> {
  const entries = part.map(({ item: { event, message, body }, webhookIds }) => ({
    ...factsOf(event),
    id: event.id,
    event: event.name,
    receivedAtMs: message.timestamp.getTime(),
    counted: countedAs(event.name, round.names),
    isAgain: message.attempts > 1,
    webhookIds,
    body,
    ...(round.erased.has(event.id) && NOTHING_KNOWN),
  }));
  const items = part.map(({ item }) => item);
  try {
    const recorded = journalOf(round.env, day).record({ entries, isAgain: false });
    const { webhookIds } = await inTime(recorded, CALL_TIMEOUT_MS);
    if (webhookIds !== null) {
      return items.map((item, index) => ({ item, webhookIds: webhookIds[index] ?? [] }));
    }
    notRouted(items, { reason: "journal_full", thrown: `Journal ${day} is full` }, round);
  } catch (thrown) {
    notRouted(items, { reason: "journal_unreachable", thrown }, round);
  }
  return [];
}

// --- Subscribers --------------------------------------------------------------------------------------------

type Share = { item: Readable; webhookId: WebhookId; isUnrecorded?: boolean };

async function handOver(routed: readonly Routed[], round: Round): Promise<void> {
  const fateOf = new Map<Item, Fate & { kind: "routed" }>();
  for (const { item } of routed) fateOf.set(item, { kind: "routed", owed: [], full: [] });
  // Whom a Journal names that has not heard of the erasure yet is owed nothing either.
  const owed = routed.filter(({ item }) => !round.erased.has(item.event.id));
  const shares = owed.flatMap(({ webhookIds, ...each }) =>
    webhookIds.map((webhookId) => ({ ...each, webhookId })),
  );
  const inTurn = sharedRoom(bytesOfItem, MAX_BYTES_ON_THEIR_WAY);
  await Promise.all(
    [...Map.groupBy(shares, ({ webhookId }) => webhookId)].map(async ([id, share]) => {
      let taken: Taken = "accepted";
      for (const part of inParts(share)) {
        if (taken !== "silent") taken = await inTurn(part, () => accepted(id, part, round));
        if (taken === "accepted") continue;
        for (const { item } of part) fateOf.get(item)?.[taken === "full" ? taken : "owed"].push(id);
      }
    }),
  );
  for (const [item, fate] of fateOf) round.fates.set(item, fate);
}

/**
 * `owed` is whatever else the object says: what a release does not understand is tried again. An object that is `silent`
 * is not asked again in this batch.
 */
type Taken = "accepted" | "owed" | "full" | "silent";

async function accepted(id: WebhookId, part: readonly Share[], round: Round): Promise<Taken> {
  const deliveries = part.map(({ item: { event, message, body }, isUnrecorded }) => ({
    id: event.id,
    event: event.name,
    body,
    receivedAtMs: isUnrecorded ? 0 : message.timestamp.getTime(),
  }));
  try {
    const accepting = subscriberOf(round.env, id).accept({ deliveries, sendNow: true });
    const { status } = await inTime(accepting, CALL_TIMEOUT_MS);
    if (status === "full") return "full";
    if (status === "accepted" || status === "deleted") return "accepted";
    throw new Error(`the object answered ${status}`);
  } catch (thrown) {
    logWarning("consumer.subscriber_unreachable", {
      webhookId: id,
      messages: part.length,
      error: errorText(thrown),
    });
    alertNewerData(thrown, round);
    return thrown instanceof LateError ? "silent" : "owed";
  }
}

const bytesOfItem = ({ item }: { item: Item }) => item.body.length;

/** Splits what goes into one call at 1 MB of bodies. */
function inParts<T extends { item: Item }>(shares: readonly T[]): T[][] {
  return portionsOf(shares, bytesOfItem, { maxBytes: MAX_CALL_BYTES });
}
