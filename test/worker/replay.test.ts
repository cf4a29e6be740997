import { describe, expect } from "vitest";
import { eventually } from "../rig/eventually";
import {
  accept,
  deliverAll,
  deliveryOf,
  eventOf,
  newEvent,
  newEvents,
  newRoutingVersion,
  type Owed,
  register,
  ring,
  type ShownDelivery,
  subscriber,
  tally,
} from "../rig/worker/engine";
import {
  answering,
  clock,
  DAY,
  gate,
  HOUR,
  holding,
  it,
  MINUTE,
  SECOND,
  service,
} from "../rig/worker/fixture";
import { consume } from "../rig/worker/queue";
import { api, type Problem } from "../rig/worker/requests";

const UNKNOWN_EVENT = "evt_00000000000000000000000000";
const UNKNOWN_WEBHOOK = "wh_00000000000000000000000000";
const iso = (ms: number) => new Date(ms).toISOString();

/** A webhook that is owed this many events, which the journal has. */
async function owing(count: number, fields: Record<string, unknown> = {}) {
  const { id } = await register(fields);
  const events = await newEvents(count);
  await take(events);
  return { id, events, ids: events.map((event) => event.id) };
}

/** Through the queue, in batches. */
async function take(events: Owed[]): Promise<void> {
  for (let index = 0; index < events.length; index += 100) {
    await consume(events.slice(index, index + 100));
  }
}

const act = (id: string, eventId: string | undefined, call: "retry" | "cancel") =>
  api("POST", `/v1/webhooks/${id}/deliveries/${eventId}/${call}`);

async function answered(response: Promise<Response>, status: number): Promise<ShownDelivery> {
  expect((await response).status).toBe(status);
  return (await response).json();
}

async function refused(response: Promise<Response>, status: number, code: string): Promise<void> {
  expect((await response).status).toBe(status);
  expect((await (await response).json<Problem>()).code).toBe(code);
}

type Moved = { replayed: number; discarded: number; next: string | null };

async function move(id: string, call: "replay" | "discard", body: unknown): Promise<Moved> {
  const response = await api("POST", `/v1/webhooks/${id}/${call}`, body);
  expect(response.status).toBe(202);
  return response.json();
}

/** Follows the cursor; the numbers of each page. */
async function moveAll(
  id: string,
  call: "replay" | "discard",
  body: Record<string, unknown>,
): Promise<number[]> {
  const pages: number[] = [];
  for (let cursor: string | null = ""; cursor !== null; ) {
    const page: Moved = await move(id, call, cursor === "" ? body : { ...body, cursor });
    pages.push(call === "replay" ? page.replayed : page.discarded);
    cursor = page.next;
  }
  return pages;
}

const total = (pages: number[]) => pages.reduce((sum, page) => sum + page, 0);

describe("a retry", () => {
  it("of an undeliverable one begins a fresh schedule, attempt numbers going on", async () => {
    service.answer = answering(500);
    const { id, ids } = await owing(1, { retrySchedule: "1h" });
    const [eventId = ""] = ids;
    await deliverAll(id, clock);
    clock.advance(HOUR + 6 * MINUTE);
    await deliverAll(id, clock);
    expect(await deliveryOf(id, eventId)).toMatchObject({ status: "undeliverable", attempts: 2 });
    const retried = await answered(act(id, eventId, "retry"), 202);
    expect(retried).toMatchObject({ webhookId: id, eventId, status: "pending", attempts: 2 });
    expect(retried.completedAt).toBeNull();
    await deliverAll(id, clock);
    const third = await deliveryOf(id, eventId);
    expect(third).toMatchObject({ status: "pending", attempts: 3 });
    expect(Date.parse(third.nextAttemptAt ?? "")).toBeGreaterThan(clock.nowMs() + HOUR - MINUTE);
    clock.advance(HOUR + 6 * MINUTE);
    await deliverAll(id, clock);
    const ended = await deliveryOf(id, eventId);
    expect(ended).toMatchObject({ status: "undeliverable", attempts: 4 });
    expect(ended.attemptLog.map(({ number, trigger }) => [number, trigger])).toEqual([
      [1, "scheduled"],
      [2, "scheduled"],
      [3, "manual"],
      [4, "scheduled"],
    ]);
    expect(service.requests.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4]);
    expect(new Set(service.ids())).toEqual(new Set([eventId]));
  });

  it.each(["delivered", "cancelled"])("of a %s one sends the same bytes again", async (status) => {
    const { id, events } = await owing(1);
    const [event] = events as [Owed];
    if (status === "delivered") await deliverAll(id, clock);
    else await answered(act(id, event.id, "cancel"), 200);
    const attempts = status === "delivered" ? 1 : 0;
    const retried = await answered(act(id, event.id, "retry"), 202);
    expect(retried).toMatchObject({ status: "pending", attempts });
    await deliverAll(id, clock);
    expect(service.requests.at(-1)).toMatchObject({ eventId: event.id, attempt: attempts + 1 });
    expect(service.requests.at(-1)?.body).toEqual(event.body);
    expect(await tally(id)).toEqual({ delivered: 1 });
  });

  it("of a pending one makes it due now, and does not count twice", async () => {
    service.answer = answering(500);
    const { id, ids } = await owing(1);
    await deliverAll(id, clock);
    const retried = await answered(act(id, ids[0], "retry"), 202);
    expect(retried).toMatchObject({ nextAttemptAt: null, waitingFor: "turn" });
    await answered(act(id, ids[0], "retry"), 202);
    service.answer = answering(204);
    await deliverAll(id, clock);
    expect(service.requests.map(({ attempt }) => attempt)).toEqual([1, 2]);
    clock.advance(DAY);
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(2);
  });

  it("while its attempt is in flight is refused, and nothing is sent twice", async () => {
    const late = holding();
    const { id, ids } = await owing(1);
    const running = ring(subscriber(id));
    await eventually(() => expect(service.requests).toHaveLength(1));
    await refused(act(id, ids[0], "retry"), 409, "in_flight");
    late.open();
    await running;
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(1);
    expect(await tally(id)).toEqual({ delivered: 1 });
  });

  it("of one whose payload is gone is refused", async () => {
    const { id } = await register();
    const event = await newEvent();
    await accept(id, [event]);
    await deliverAll(id, clock);
    await refused(act(id, event.id, "retry"), 409, "payload_gone");
    expect(await deliveryOf(id, event.id)).toMatchObject({ status: "delivered", attempts: 1 });
  });

  it("of what is not there is 404", async () => {
    const { id, ids } = await owing(1);
    const other = await register();
    for (const call of ["retry", "cancel"] as const) {
      await refused(act(id, UNKNOWN_EVENT, call), 404, "not_found");
      await refused(act(id, "evt_x", call), 404, "not_found");
      await refused(act(UNKNOWN_WEBHOOK, ids[0], call), 404, "not_found");
      await refused(act(other.id, ids[0], call), 404, "not_found");
    }
    expect(await tally(other.id)).toEqual({});
  });
});

describe("a cancel", () => {
  it("gives up on a pending delivery, once", async () => {
    const { id, ids } = await owing(2);
    const cancelled = await answered(act(id, ids[0], "cancel"), 200);
    expect(cancelled).toMatchObject({ status: "cancelled", attempts: 0, nextAttemptAt: null });
    expect(cancelled.completedAt).not.toBeNull();
    await refused(act(id, ids[0], "cancel"), 409, "not_pending");
    await deliverAll(id, clock);
    expect(service.ids()).toEqual([ids[1]]);
    await refused(act(id, ids[1], "cancel"), 409, "not_pending");
  });

  it.each([204, 500])("while its attempt is in flight stands over a %i", async (status) => {
    const late = gate();
    service.answer = async () => {
      await late.opened;
      return answering(status)();
    };
    const { id, ids } = await owing(1);
    const running = ring(subscriber(id));
    await eventually(() => expect(service.requests).toHaveLength(1));
    await answered(act(id, ids[0], "cancel"), 200);
    late.open();
    await running;
    clock.advance(DAY);
    await deliverAll(id, clock);
    const delivery = await deliveryOf(id, ids[0] ?? "");
    expect(delivery).toMatchObject({ status: "cancelled", attempts: 1 });
    expect(delivery.attemptLog).toMatchObject([{ number: 1, statusCode: status }]);
    expect(service.requests).toHaveLength(1);
  });

  it("while its attempt is in flight refuses a retry, and the next one takes the next number", async () => {
    const late = holding();
    const { id, ids } = await owing(1);
    const running = ring(subscriber(id));
    await eventually(() => expect(service.requests).toHaveLength(1));
    await answered(act(id, ids[0], "cancel"), 200);
    await refused(act(id, ids[0], "retry"), 409, "in_flight");
    late.open();
    await running;
    await answered(act(id, ids[0], "retry"), 202);
    await deliverAll(id, clock);
    expect(service.requests.map(({ attempt }) => attempt)).toEqual([1, 2]);
    expect(await tally(id)).toEqual({ delivered: 1 });
  });
});

describe("a replay", () => {
  /** Two delivered, two undeliverable, one cancelled and one that waits, a minute apart. */
  async function mixed() {
    const { id } = await register({ retrySchedule: "1h" });
    const events = await newEvents(6);
    const startMs = clock.nowMs();
    service.answer = ({ eventId }) =>
      answering([2, 3, 5].some((index) => events[index]?.id === eventId) ? 500 : 204)();
    for (const [index, event] of events.entries()) {
      if (index === 5) clock.advance(HOUR + 6 * MINUTE);
      await take([event]);
      if (index === 4) await answered(act(id, event.id, "cancel"), 200);
      await deliverAll(id, clock);
      clock.advance(MINUTE);
    }
    expect(await tally(id)).toEqual({ delivered: 2, undeliverable: 2, cancelled: 1, pending: 1 });
    service.answer = answering(204);
    service.requests.length = 0;
    return { id, ids: events.map((event) => event.id), startMs };
  }

  it("of what is undeliverable sends that, and a dry run says the same", async () => {
    const { id, ids, startMs } = await mixed();
    const body = { since: iso(startMs), only: "undeliverable" };
    expect(await move(id, "replay", { ...body, dryRun: true })).toEqual({
      replayed: 2,
      next: null,
    });
    await deliverAll(id, clock);
    expect(service.requests).toEqual([]);
    expect(await move(id, "replay", body)).toEqual({ replayed: 2, next: null });
    expect(await move(id, "replay", body)).toEqual({ replayed: 0, next: null });
    await deliverAll(id, clock);
    expect(service.ids().sort()).toEqual([ids[2], ids[3]].sort());
    expect(service.requests.map(({ attempt }) => attempt)).toEqual([3, 3]);
    const { attemptLog } = await deliveryOf(id, ids[2] ?? "");
    expect(attemptLog.at(-1)).toMatchObject({ number: 3, trigger: "manual", error: null });
  });

  it("of all sends each once, and a dry run says the same", async () => {
    const { id, ids, startMs } = await mixed();
    const body = { since: iso(startMs), only: "all" };
    expect(await move(id, "replay", { ...body, dryRun: true })).toEqual({
      replayed: 6,
      next: null,
    });
    expect(await move(id, "replay", body)).toEqual({ replayed: 6, next: null });
    expect(await move(id, "replay", body)).toEqual({ replayed: 6, next: null });
    await deliverAll(id, clock);
    expect(service.ids().sort()).toEqual([...ids].sort());
    expect(await tally(id)).toEqual({ delivered: 6 });
  });

  it("leaves out what is under way, and a dry run too", async () => {
    const late = holding();
    const { id } = await owing(1);
    const running = ring(subscriber(id));
    await eventually(() => expect(service.requests).toHaveLength(1));
    const body = { since: iso(clock.nowMs() - MINUTE), only: "all" };
    for (const dryRun of [true, false]) {
      expect(await move(id, "replay", { ...body, dryRun })).toEqual({ replayed: 0, next: null });
    }
    late.open();
    await running;
  });

  it("keeps to since, until and the event's name", async () => {
    const { id, ids, startMs } = await mixed();
    const only = "all";
    const from = (ms: number) => iso(startMs + ms);
    const dry = async (body: Record<string, unknown>) =>
      (await move(id, "replay", { only, dryRun: true, ...body })).replayed;
    expect(await dry({ since: from(MINUTE - SECOND) })).toBe(5);
    expect(await dry({ since: from(0), until: from(90 * SECOND) })).toBe(2);
    expect(await dry({ since: from(MINUTE - SECOND), until: from(90 * SECOND) })).toBe(1);
    expect(await dry({ since: from(DAY) })).toBe(0);
    expect(await dry({ since: from(0), event: "reply.received" })).toBe(0);
    expect(await dry({ since: from(0), event: "message.sent" })).toBe(6);
    await move(id, "replay", { only, since: from(0), until: from(30 * SECOND) });
    await deliverAll(id, clock);
    expect(service.ids()).toEqual([ids[0]]);
  });

  it("of a held webhook waits for the resume", async () => {
    const { id, startMs } = await mixed();
    expect((await api("POST", `/v1/webhooks/${id}/pause`)).status).toBe(200);
    await move(id, "replay", { since: iso(startMs), only: "all" });
    await deliverAll(id, clock);
    expect(service.requests).toEqual([]);
    expect((await api("POST", `/v1/webhooks/${id}/resume`)).status).toBe(200);
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(6);
  });

  it("leaves a retry that waits what it is: no pause that the service asked for keeps it", async () => {
    const { id, ids } = await owing(2);
    service.answer = answering(503, { headers: { "retry-after": "3600" } });
    await deliverAll(id, clock);
    const asked = service.requests.length;
    await api("POST", `/v1/webhooks/${id}/pause`);
    await answered(act(id, ids[0], "retry"), 202);
    const all = { since: iso(clock.nowMs() - MINUTE), only: "all" };
    expect(await move(id, "replay", all)).toEqual({ replayed: 2, next: null });
    await api("POST", `/v1/webhooks/${id}/resume`);
    await deliverAll(id, clock);
    expect(service.ids().slice(asked)).toEqual([ids[0]]);
  });

  it("leaves out what has no payload any more, and a dry run too", async () => {
    const { id, ids } = await owing(3);
    await deliverAll(id, clock);
    expect((await api("DELETE", `/v1/events/${ids[1]}`)).status).toBe(204);
    const body = { since: iso(clock.nowMs() - HOUR), only: "all" };
    expect(await move(id, "replay", { ...body, dryRun: true })).toEqual({
      replayed: 2,
      next: null,
    });
    expect(await move(id, "replay", body)).toEqual({ replayed: 2, next: null });
  });

  it("goes on with its cursor over more than a thousand, each once, and not into what came later", async () => {
    const { id, ids } = await owing(1_050);
    await deliverAll(id, clock);
    expect(await tally(id)).toEqual({ delivered: 1_050 });
    const body = { since: iso(clock.nowMs() - HOUR), only: "all" };
    expect(total(await moveAll(id, "replay", { ...body, dryRun: true }))).toBe(1_050);
    service.requests.length = 0;
    const first = await move(id, "replay", body);
    expect(first.replayed).toBe(1_000);
    clock.advance(MINUTE);
    await take(await newEvents(7));
    await deliverAll(id, clock);
    const repeated = await move(id, "replay", { ...body, cursor: first.next });
    expect(repeated).toEqual({ replayed: 50, next: null });
    await deliverAll(id, clock);
    const again = service.requests.filter(({ attempt }) => attempt === 2);
    expect(again.map(({ eventId }) => eventId).sort()).toEqual([...ids].sort());
    expect(service.requests).toHaveLength(1_057);
  });

  it("keeps the end that its first call had", async () => {
    const { id } = await owing(1_010);
    await deliverAll(id, clock);
    const body = { since: iso(clock.nowMs() - HOUR), only: "all", dryRun: true };
    const { next } = await move(id, "replay", body);
    const later = { ...body, until: iso(clock.nowMs() - 30 * MINUTE), cursor: next };
    expect(await move(id, "replay", later)).toEqual({ replayed: 10, next: null });
  });

  it("of what is undeliverable goes on over more than a thousand", async () => {
    service.answer = answering(500);
    const { id } = await register({ retrySchedule: "1s", rateLimit: null });
    await take(await newEvents(1_020));
    // Cancelling does not make them undeliverable; a schedule that runs out does.
    for (let runs = 0; runs < 2; runs++) {
      service.answer = () => answering(service.requests.length % 9 === 0 ? 204 : 500)();
      await deliverAll(id, clock);
      clock.advance(10 * SECOND);
    }
    await deliverAll(id, clock);
    const { undeliverable = 0, pending } = await tally(id);
    expect(pending).toBeUndefined();
    const body = { since: iso(clock.nowMs() - HOUR), only: "undeliverable" };
    expect(total(await moveAll(id, "replay", { ...body, dryRun: true }))).toBe(undeliverable);
    expect(total(await moveAll(id, "replay", body))).toBe(undeliverable);
    service.answer = answering(204);
    await deliverAll(id, clock);
    expect(await tally(id)).toEqual({ delivered: 1_020 });
  });

  it.each([
    [{ only: "all" }],
    [{ since: "yesterday", only: "all" }],
    [{ since: "2026-11-01T00:00:00Z", only: "some" }],
    [{ since: "2026-11-01T00:00:00Z" }],
    [{ since: "2026-11-01T00:00:00Z", only: "all", dryRun: "yes" }],
    [{ since: "2026-11-01T00:00:00Z", only: "all", cursor: "x" }],
    [{ since: "2026-11-01T00:00:00Z", only: "missing", cursor: "1~2026-02-30~1.1" }],
    [{ since: "2026-11-01T00:00:00Z", only: "all", cursor: "1~2026-11-01~1.1" }],
    [{ since: "2026-11-01T00:00:00Z", only: "all", more: 1 }],
  ])("does not take %j", async (body) => {
    const { id } = await register();
    await refused(api("POST", `/v1/webhooks/${id}/replay`, body), 422, "invalid_request");
  });

  it("of an unknown webhook is 404", async () => {
    const body = { since: iso(clock.nowMs()), only: "all" };
    await refused(api("POST", `/v1/webhooks/${UNKNOWN_WEBHOOK}/replay`, body), 404, "not_found");
    await refused(api("POST", `/v1/webhooks/${UNKNOWN_WEBHOOK}/discard`, {}), 404, "not_found");
  });
});

describe("a backfill", () => {
  const bounced = (n: number, bounceType: string) =>
    eventOf("message.bounced", { messageId: `bounced_${n}`, bounceType, bounceReason: "no" });

  it("gives a webhook made later what it wants, as it wants it now, oldest first", async () => {
    const events: Owed[] = [];
    for (let n = 0; n < 5; n++) {
      const event = await bounced(n, n === 3 ? "soft" : "hard");
      events.push(event, await newEvent());
      await consume([event, events.at(-1) as Owed]);
      clock.advance(SECOND);
    }
    const { id } = await register({ events: ["reply.received"], ordered: true });
    const since = iso(clock.nowMs() - HOUR);
    const body = { since, only: "missing" };
    expect(await move(id, "replay", body)).toEqual({ replayed: 0, next: null });
    const changes = { events: ["message.bounced"], filter: { "data.bounceType": "hard" } };
    expect((await api("PATCH", `/v1/webhooks/${id}`, changes)).status).toBe(200);
    expect(await move(id, "replay", { ...body, dryRun: true })).toEqual({
      replayed: 4,
      next: null,
    });
    expect(await tally(id)).toEqual({});
    expect(await move(id, "replay", body)).toEqual({ replayed: 4, next: null });
    expect(await move(id, "replay", body)).toEqual({ replayed: 0, next: null });
    await deliverAll(id, clock);
    const wanted = [0, 2, 4, 8].map((index) => events[index] as Owed);
    expect(service.ids()).toEqual(wanted.map((event) => event.id));
    expect(service.requests.map(({ body: sent }) => sent)).toEqual(
      wanted.map((event) => event.body),
    );
    expect(service.requests.map(({ attempt }) => attempt)).toEqual([1, 1, 1, 1]);
    const { attemptLog } = await deliveryOf(id, wanted[0]?.id ?? "");
    expect(attemptLog).toMatchObject([{ number: 1, trigger: "manual" }]);
  });

  it("leaves alone what the webhook had, whatever came of it", async () => {
    const { id, ids } = await owing(3);
    await answered(act(id, ids[0], "cancel"), 200);
    const body = { since: iso(clock.nowMs() - HOUR), only: "missing" };
    expect(await move(id, "replay", { ...body, dryRun: true })).toEqual({
      replayed: 0,
      next: null,
    });
    expect(await move(id, "replay", body)).toEqual({ replayed: 0, next: null });
    expect(await tally(id)).toEqual({ cancelled: 1, pending: 2 });
  });

  it("keeps to the event's name, and leaves out what was erased", async () => {
    const hard = await bounced(10, "hard");
    const [first, second] = (await newEvents(2)) as [Owed, Owed];
    await consume([hard, first, second]);
    expect((await api("DELETE", `/v1/events/${second.id}`)).status).toBe(204);
    const { id } = await register();
    const body = { since: iso(clock.nowMs() - HOUR), only: "missing", event: "message.sent" };
    expect(await move(id, "replay", { ...body, dryRun: true })).toEqual({
      replayed: 1,
      next: null,
    });
    expect(await move(id, "replay", body)).toEqual({ replayed: 1, next: null });
    await deliverAll(id, clock);
    expect(service.ids()).toEqual([first.id]);
  });

  it("goes on with its cursor over days and more than a thousand events, each once", async () => {
    const nowMs = clock.nowMs();
    const events = await newEvents(1_230);
    const days = [events.slice(0, 40), events.slice(40, 70), events.slice(70)];
    for (const [index, day] of days.entries()) {
      for (let from = 0; from < day.length; from += 100) {
        await consume(day.slice(from, from + 100), { atMs: nowMs - (2 - index) * DAY });
      }
    }
    const { id } = await register();
    const body = { since: iso(nowMs - 3 * DAY), only: "missing" };
    const dry = await moveAll(id, "replay", { ...body, dryRun: true });
    expect(dry.every((page) => page <= 1_000)).toBe(true);
    expect(total(dry)).toBe(1_230);
    const first = await move(id, "replay", body);
    expect(first.replayed).toBe(dry[0]);
    clock.advance(SECOND);
    await newRoutingVersion();
    const untilNow = (await moveAll(id, "replay", { ...body, cursor: first.next })).slice(0);
    expect(first.replayed + total(untilNow)).toBe(1_230);
    for (let runs = 0; runs < 3; runs++) await deliverAll(id, clock);
    expect(new Set(service.ids()).size).toBe(1_230);
    expect(service.requests).toHaveLength(1_230);
  });

  it("repeats nothing that was delivered and is past its retention, though its Journal day lasts", async () => {
    clock.setTo((Math.floor(clock.nowMs() / DAY) + 1) * DAY + HOUR);
    const { id } = await owing(2);
    await deliverAll(id, clock);
    clock.advance(30 * DAY + 2 * HOUR);
    await subscriber(id).check();
    expect(await tally(id)).toEqual({});
    const late = await register();
    const since = iso(clock.nowMs() - 32 * DAY);
    expect(await listed()).toBe(2);
    expect(await move(id, "replay", { since, only: "missing" })).toMatchObject({ replayed: 0 });
    expect(await move(late.id, "replay", { since, only: "missing" })).toMatchObject({
      replayed: 0,
    });
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(2);
  });

  it("can be retried and replayed afterwards, though the event is of another day", async () => {
    const event = await newEvent();
    await consume([event], { atMs: clock.nowMs() - 3 * DAY });
    const { id } = await register();
    const since = iso(clock.nowMs() - 4 * DAY);
    expect((await move(id, "replay", { since, only: "missing" })).replayed).toBe(1);
    await deliverAll(id, clock);
    await answered(act(id, event.id, "retry"), 202);
    await deliverAll(id, clock);
    expect((await move(id, "replay", { since, only: "all", dryRun: true })).replayed).toBe(1);
    expect((await move(id, "replay", { since, only: "all" })).replayed).toBe(1);
    await deliverAll(id, clock);
    expect(service.requests.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
  });
});

/** How many events the journals show. */
async function listed(): Promise<number> {
  const response = await api("GET", "/v1/events");
  return (await response.json<{ data: unknown[] }>()).data.length;
}

describe("a discard", () => {
  it("gives up on what waits, and on nothing else; a dry run says the same", async () => {
    const { id, ids } = await owing(3);
    await deliverAll(id, clock);
    service.answer = answering(500);
    await take(await newEvents(2));
    await deliverAll(id, clock);
    expect((await api("POST", `/v1/webhooks/${id}/pause`)).status).toBe(200);
    await take(await newEvents(4));
    expect(await move(id, "discard", { dryRun: true })).toEqual({ discarded: 6, next: null });
    expect(await tally(id)).toEqual({ delivered: 3, pending: 6 });
    expect(await move(id, "discard", {})).toEqual({ discarded: 6, next: null });
    expect(await move(id, "discard", {})).toEqual({ discarded: 0, next: null });
    expect(await tally(id)).toEqual({ delivered: 3, cancelled: 6 });
    service.requests.length = 0;
    expect((await api("POST", `/v1/webhooks/${id}/resume`)).status).toBe(200);
    clock.advance(DAY);
    await deliverAll(id, clock);
    expect(service.requests).toEqual([]);
    expect(await deliveryOf(id, ids[0] ?? "")).toMatchObject({ status: "delivered" });
  });

  it("goes on with its cursor over more than a thousand", async () => {
    const { id } = await register();
    expect((await api("POST", `/v1/webhooks/${id}/pause`)).status).toBe(200);
    await take(await newEvents(1_050));
    expect(total(await moveAll(id, "discard", { dryRun: true }))).toBe(1_050);
    const pages = await moveAll(id, "discard", {});
    expect(pages[0]).toBe(1_000);
    expect(total(pages)).toBe(1_050);
    expect(await tally(id)).toEqual({ cancelled: 1_050 });
  });

  it("keeps to until and the event's name", async () => {
    const { id } = await register();
    expect((await api("POST", `/v1/webhooks/${id}/pause`)).status).toBe(200);
    await take(await newEvents(2));
    clock.advance(MINUTE);
    await take([await eventOf("campaign.started", { n: 1 }), await newEvent()]);
    const until = iso(clock.nowMs() - 30 * SECOND);
    expect(await move(id, "discard", { until, dryRun: true })).toMatchObject({ discarded: 2 });
    const event = "campaign.started";
    expect(await move(id, "discard", { event, until })).toMatchObject({ discarded: 0 });
    expect(await move(id, "discard", { event })).toMatchObject({ discarded: 1 });
    expect(await move(id, "discard", { until })).toMatchObject({ discarded: 2 });
    expect(await tally(id)).toEqual({ cancelled: 3, pending: 1 });
  });

  it("takes no body for everything, and no cursor that it did not give", async () => {
    const { id } = await owing(2);
    await refused(
      api("POST", `/v1/webhooks/${id}/discard`, { cursor: "x" }),
      422,
      "invalid_request",
    );
    await refused(api("POST", `/v1/webhooks/${id}/discard`, { all: true }), 422, "invalid_request");
    const response = await api("POST", `/v1/webhooks/${id}/discard`);
    expect(response.status).toBe(202);
    expect(await response.json()).toEqual({ discarded: 2, next: null });
  });
});

describe("a replay of one event", () => {
  const replayed = async (eventId: string, body?: unknown): Promise<number> => {
    const response = await api("POST", `/v1/events/${eventId}/replay`, body);
    expect(response.status).toBe(202);
    return (await response.json<{ replayed: number }>()).replayed;
  };

  it("goes to those that it matched, unless others are named", async () => {
    const [first, second] = [await register(), await register({ events: ["reply.received"] })];
    const event = await newEvent();
    await consume([event]);
    await deliverAll(first.id, clock);
    expect(await replayed(event.id)).toBe(1);
    await deliverAll(first.id, clock);
    expect(service.requests.map(({ attempt }) => attempt)).toEqual([1, 2]);
    expect(await tally(second.id)).toEqual({});
    expect(await replayed(event.id, { webhookIds: [second.id, second.id] })).toBe(1);
    await deliverAll(second.id, clock);
    await deliverAll(first.id, clock);
    expect(service.requests).toHaveLength(3);
    expect(service.requests[2]).toMatchObject({ eventId: event.id, attempt: 1 });
    expect(await tally(second.id)).toEqual({ delivered: 1 });
  });

  it("leaves out a webhook that was deleted meanwhile", async () => {
    const [first, second] = [await register(), await register()];
    const event = await newEvent();
    await consume([event]);
    expect((await api("DELETE", `/v1/webhooks/${second.id}`)).status).toBe(204);
    expect(await replayed(event.id)).toBe(1);
    await deliverAll(first.id, clock);
    expect(service.requests).toHaveLength(1);
  });

  it("to an unknown webhook is 422, and goes to none of the others", async () => {
    const { id, ids } = await owing(1);
    await deliverAll(id, clock);
    for (const unknown of [UNKNOWN_WEBHOOK, "wh_x"]) {
      const body = { webhookIds: [id, unknown] };
      const response = await api("POST", `/v1/events/${ids[0]}/replay`, body);
      expect(response.status).toBe(422);
      const { errors } = await response.json<Problem>();
      expect(errors).toMatchObject([{ path: "webhookIds.1" }]);
    }
    await refused(
      api("POST", `/v1/events/${ids[0]}/replay`, { webhookIds: [] }),
      422,
      "invalid_request",
    );
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(1);
  });

  it("of an unknown event is 404, of an erased one 409", async () => {
    const { id, ids } = await owing(1);
    await deliverAll(id, clock);
    await refused(api("POST", `/v1/events/${UNKNOWN_EVENT}/replay`), 404, "not_found");
    await refused(api("POST", "/v1/events/evt_x/replay"), 404, "not_found");
    expect((await api("DELETE", `/v1/events/${ids[0]}`)).status).toBe(204);
    await refused(api("POST", `/v1/events/${ids[0]}/replay`), 409, "payload_gone");
    await refused(act(id, ids[0], "retry"), 409, "payload_gone");
  });
});
