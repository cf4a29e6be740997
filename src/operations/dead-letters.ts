/** Dead letters: what could not be handed over, and doing it again for the webhooks that are still owed. */
import type { Caller } from "../access";
import type { DeadLetterReason } from "../domain/dead-letter";
import { fail, ok } from "../domain/failure";
import type { WebhookId } from "../domain/ids";
import { portionsOf } from "../domain/portions";
import { errorText, logWarning } from "../log";
import type {
  DeadLetter,
  DeadLetterPosition,
  HandedOver,
  KeptLetter,
} from "../storage/dead-letter-store";
import { addToAudit } from "./audit";
import { deadLetters, subscriberOf } from "./objects";

const MAX_REDRIVEN = 1_000;
/** Of all of them, by a page of those with one reason. */
const MAX_LOOKED = 1_000;
/** Bodies in one call to an object. */
const MAX_CALL_BYTES = 1024 * 1024;
/** https://developers.cloudflare.com/queues/platform/limits/, less what a message weighs beside its body. */
const MAX_QUEUED_TOGETHER = 100;
const MAX_QUEUED_BYTES = 200 * 1024;

/** Newest first. A page by reason may be short, or empty, while `next` goes on. @param reason null for all of them. */
export async function listDeadLetters(
  env: Env,
  asked: { before: DeadLetterPosition | null; limit: number; reason: DeadLetterReason | null },
): Promise<{ letters: DeadLetter[]; next: DeadLetterPosition | null }> {
  const { before, limit, reason } = asked;
  // The object itself would look at all of them where few are wanted.
  const most = reason === null ? limit : MAX_LOOKED;
  const found = await deadLetters(env).list(before, most + 1);
  const looked = found.slice(0, most);
  const wanted = looked.filter((each) => reason === null || each.reason === reason);
  const letters = wanted.slice(0, limit);
  const isCut = wanted.length > limit;
  const last = (isCut ? letters : looked).at(-1);
  if ((!isCut && found.length <= most) || last === undefined) return { letters, next: null };
  return { letters, next: { failedAtMs: last.failedAtMs, id: last.id } };
}

export async function countDeadLetters(env: Env): Promise<number> {
  return (await deadLetters(env).stats()).count;
}

/**
 * Hands a dead letter over again. One that was never routed goes back into the queue; the others straight to whom
 * they are owed.
 *
 * @returns `unavailable` when somebody could not take it: the letter stays, for those.
 */
export async function redriveDeadLetter(env: Env, { id, by }: { id: string; by: Caller }) {
  const kept = await deadLetters(env).get(id);
  if (kept === null) return fail({ code: "not_found" });
  if ((await redrive(env, [kept])) === 0) return fail({ code: "unavailable" });
  await addToAudit(env, by, "dead_letter.redriven", { id });
  return ok(kept.letter);
}

type BulkRedrive = {
  reason: DeadLetterReason | null;
  dryRun: boolean;
  cursor: DeadLetterPosition | null;
  by: Caller;
};

/**
 * Hands many dead letters over again, the newest first. Those that somebody could not take stay, for those.
 *
 * @returns how many are gone, or would be tried.
 */
export async function redriveDeadLetters(env: Env, { reason, dryRun, cursor, by }: BulkRedrive) {
  const page = await listDeadLetters(env, { before: cursor, limit: MAX_REDRIVEN, reason });
  if (dryRun) return { redriven: page.letters.length, next: page.next };
  let redriven = 0;
  for (let left = page.letters.map(({ id }) => id); left.length > 0; ) {
    const some = await deadLetters(env).getMany(left, MAX_CALL_BYTES);
    redriven += await redrive(env, some.found);
    left = some.left;
  }
  const after = { ...(reason !== null && { reason }), deadLetters: redriven };
  if (redriven > 0) await addToAudit(env, by, "dead_letter.redriven", after);
  return { redriven, next: page.next };
}

export async function deleteDeadLetter(env: Env, { id, by }: { id: string; by: Caller }) {
  const isThere = (await deadLetters(env).get(id)) !== null;
  if (!isThere || !(await deadLetters(env).delete(id, crypto.randomUUID()))) {
    return fail({ code: "not_found" });
  }
  await addToAudit(env, by, "dead_letter.deleted", { id });
  return ok(null);
}

/** @param kept 1 MB of them at most. @returns how many are handed over to all that they are owed to, and gone. */
async function redrive(env: Env, kept: readonly KeptLetter[]): Promise<number> {
  const isRouted = ({ letter }: KeptLetter) => letter.webhookIds !== null && letter.event !== null;
  const unrouted = kept.filter((each) => !isRouted(each));
  const done = [...(await enqueue(env, unrouted)), ...(await handOver(env, kept.filter(isRouted)))];
  return done.length === 0 ? 0 : deadLetters(env).handedOver(done);
}

/** Those that the queue took; they are received anew. A call for many of them: an invocation may make 50 on Free. */
async function enqueue(env: Env, kept: readonly KeptLetter[]): Promise<HandedOver[]> {
  const taken: HandedOver[] = [];
  const bounds = { maxBytes: MAX_QUEUED_BYTES, maxCount: MAX_QUEUED_TOGETHER };
  for (const together of portionsOf(kept, ({ body }) => body.byteLength, bounds)) {
    try {
      await env.EVENTS.sendBatch(
        together.map(({ body }) => ({ body: body.slice(), contentType: "bytes" })),
      );
      taken.push(...together.map(({ letter }) => ({ read: letter, owed: [] })));
    } catch (thrown) {
      notRedriven(together, { thrown });
    }
  }
  return taken;
}

/** Those that somebody took. */
async function handOver(env: Env, kept: readonly KeptLetter[]): Promise<HandedOver[]> {
  const shares = kept.flatMap((each) =>
    (each.letter.webhookIds ?? []).map((webhookId) => ({ each, webhookId })),
  );
  const owed = new Map<KeptLetter, WebhookId[]>();
  for (const [webhookId, share] of Map.groupBy(shares, (one) => one.webhookId)) {
    const letters = share.map(({ each }) => each);
    if (await isTaken(env, webhookId, letters)) continue;
    for (const each of letters) owed.set(each, [...(owed.get(each) ?? []), webhookId]);
  }
  return kept
    .map((each) => ({ read: each.letter, owed: owed.get(each) ?? [] }))
    .filter(
      ({ read, owed: left }) => left.length === 0 || left.length < (read.webhookIds ?? []).length,
    );
}

async function isTaken(env: Env, webhookId: WebhookId, letters: readonly KeptLetter[]) {
  const deliveries = letters.flatMap(({ letter: { eventId, event, receivedAtMs }, body }) =>
    eventId === null || event === null ? [] : [{ id: eventId, event, body, receivedAtMs }],
  );
  try {
    const { status } = await subscriberOf(env, webhookId).accept({ deliveries });
    return status === "accepted" || status === "deleted";
  } catch (thrown) {
    notRedriven(letters, { webhookId, thrown });
    return false;
  }
}

function notRedriven(
  letters: readonly KeptLetter[],
  { webhookId = null, thrown }: { webhookId?: WebhookId | null; thrown: unknown },
): void {
  const deadLetterIds = letters.map(({ letter }) => letter.id);
  logWarning("dead_letter.not_redriven", { deadLetterIds, webhookId, error: errorText(thrown) });
}
