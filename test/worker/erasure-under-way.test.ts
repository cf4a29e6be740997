/** An erasure beside calls that have read a body already: what they hand over afterwards goes nowhere. */
import { env } from "cloudflare:workers";
import { describe, expect } from "vitest";
import { redriveDeadLetter } from "../../src/operations/dead-letters";
import { erasePerson } from "../../src/operations/events";
import {
  deliverAll,
  deliveryOf,
  journal,
  newEvent,
  type Owed,
  register,
  registry,
  subscriber,
} from "../rig/worker/engine";
import { clock, it, MINUTE, service } from "../rig/worker/fixture";
import { diverted } from "../rig/worker/objects";
import { consume } from "../rig/worker/queue";
import { api } from "../rig/worker/requests";

const EMAIL = "zoe.quist@prospect.example";
const BY = { key: "0123abcd" };
const LEAD = { data: { lead: { email: EMAIL } } };

async function erase({ id }: Pick<Owed, "id">): Promise<void> {
  expect((await api("DELETE", `/v1/events/${id}`)).status).toBe(204);
}

/** The bindings with no journal that takes anything. */
function unwritable(): Env {
  const record = () => Promise.reject(new Error("the object is unreachable"));
  return { ...env, JOURNAL: diverted(env.JOURNAL, { record }) };
}

const store = () => env.DEAD_LETTER_STORE.getByName("dead-letters");

/** The bindings with a call to `method` of the journal that an erasure comes before, or after. */
function erasing(event: Owed, when: "before" | "after"): Env {
  const stub = journal(clock.nowMs());
  const record = async (entries: Parameters<typeof stub.record>[0]) => {
    if (when === "before") await erase(event);
    const recorded = await stub.record(entries);
    if (when === "after") await erase(event);
    return recorded;
  };
  return { ...env, JOURNAL: diverted(env.JOURNAL, { record }) };
}

describe("an event that is erased while a consumer has it", () => {
  it.each(["before", "after"] as const)("goes to nobody: %s it is recorded", async (when) => {
    const { id } = await register();
    const event = await newEvent(LEAD);
    const { acked } = await consume([event], { env: erasing(event, when) });
    expect(acked).toEqual(["m0"]);
    await deliverAll(id, clock);
    expect(service.requests).toEqual([]);
    const shown = await (await api("GET", `/v1/events/${event.id}`)).json();
    expect(shown).toMatchObject({ payload: null, deliveries: [] });
    const { found } = await journal(clock.nowMs()).bodies([event.id], 1_000);
    expect(found).toEqual([]);
  });
});

describe("a body that was read before an erasure", () => {
  const reopenings = ({ id, event, body }: Owed) => [{ id, event, body }];

  it("opens nothing again that was delivered", async () => {
    const { id } = await register();
    const event = await newEvent(LEAD);
    await consume([event]);
    await deliverAll(id, clock);
    await erase(event);
    for (const by of ["retry", "replay"] as const) {
      const opened = await subscriber(id).reopen({ deliveries: reopenings(event), by });
      expect(opened).toEqual(["needs_body"]);
    }
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(1);
    expect(await deliveryOf(id, event.id)).toMatchObject({ status: "delivered" });
  });

  it("is no backfill, but what is read long after it is", async () => {
    await register({ events: ["nothing.of.this"] });
    const { id } = await register({ events: ["nothing.of.this"] });
    const event = await newEvent(LEAD);
    await consume([event]);
    await erase(event);
    const replay = () => subscriber(id).reopen({ deliveries: reopenings(event), by: "replay" });
    expect(await replay()).toEqual(["unknown"]);
    // As long as a consumer of the queue may run, and hand over what it read at its start.
    clock.advance(14 * MINUTE);
    expect(await replay()).toEqual(["unknown"]);
    clock.advance(2 * MINUTE);
    expect(await replay()).toEqual(["added"]);
  });
});

describe("a dead letter that is erased while it is redriven", () => {
  async function kept() {
    const [first, second] = [await register(), await register()];
    const event = await newEvent(LEAD);
    const fail = () => Promise.reject(new Error("the object is unreachable"));
    const unreachable = diverted(env.SUBSCRIBER, { accept: fail }, [first.id, second.id]);
    await consume([event], { attempts: 91, env: { ...env, SUBSCRIBER: unreachable } });
    const [letter] = await store().list(null, 1);
    if (letter === undefined) throw new Error("there is no dead letter");
    return { event, letter, second, fail };
  }

  it.each([
    ["by its event", (event: Owed) => erase(event)],
    ["by a person's address", () => erasePerson(env, { email: EMAIL, cursor: null, by: BY })],
    ["by hand", async () => void (await api("DELETE", "/v1/dead-letters/dl_m0"))],
  ])("%s does not come back for those who could not take it", async (_, gone) => {
    const { event, letter, second, fail } = await kept();
    const accept = async () => {
      await gone(event);
      return fail();
    };
    const SUBSCRIBER = diverted(env.SUBSCRIBER, { accept }, [second.id]);
    await redriveDeadLetter({ ...env, SUBSCRIBER }, { id: letter.id, by: BY });
    expect(await store().list(null, 10)).toEqual([]);
  });
});

describe("an erasure of a person in pages", () => {
  it("says to the end that something was on its way when it began", async () => {
    const events = await Promise.all(Array.from({ length: 130 }, () => newEvent(LEAD)));
    for (let from = 0; from < events.length; from += 65) {
      await consume(events.slice(from, from + 65), { name: `m${from}-` });
    }
    const backlog = { count: 1 };
    const metrics = async () => ({ backlogCount: backlog.count, backlogBytes: 0 });
    const queue = { metrics } as unknown as Env["EVENTS"];
    const relay = { ...env, EVENTS: queue, DEAD_LETTERS: queue };
    const first = await erasePerson(relay, { email: EMAIL, cursor: null, by: BY });
    expect(first).toMatchObject({ erased: 100, queued: true });
    backlog.count = 0;
    const last = await erasePerson(relay, { email: EMAIL, cursor: first.next, by: BY });
    expect(last).toMatchObject({ erased: 30, next: null, queued: true });
    const again = await erasePerson(relay, { email: EMAIL, cursor: null, by: BY });
    expect(again).toMatchObject({ erased: 0, next: null, queued: false });
  });

  it("looks through the dead letters at its beginning and at its end, and not for each page", async () => {
    const events = await Promise.all(Array.from({ length: 230 }, () => newEvent(LEAD)));
    await consume(events.slice(0, 115));
    await consume(events.slice(115), { name: "n" });
    let walks = 0;
    const erasing = (...given: Parameters<ReturnType<typeof store>["erasePerson"]>) => {
      walks += 1;
      return store().erasePerson(...given);
    };
    const letters = diverted(env.DEAD_LETTER_STORE, { erasePerson: erasing });
    const relay = { ...env, DEAD_LETTER_STORE: letters };
    const page = (cursor: Parameters<typeof erasePerson>[1]["cursor"]) =>
      erasePerson(relay, { email: EMAIL, cursor, by: BY });
    const first = await page(null);
    expect(walks).toBe(2);
    const second = await page(first.next);
    expect([first.erased, second.erased, walks]).toEqual([100, 100, 2]);
    await consume([await newEvent(LEAD)], { attempts: 91, name: "late", env: unwritable() });
    expect(await store().list(null, 10)).toHaveLength(1);
    expect(await page(second.next)).toMatchObject({ erased: 31, next: null });
    expect(await store().list(null, 10)).toEqual([]);
  });

  it("looks at the queue once more when the dead letters are gone: one may have been redriven", async () => {
    const counts = [0, 0, 1, 0];
    const metrics = async () => ({ backlogCount: counts.shift() ?? 0, backlogBytes: 0 });
    const queue = { metrics } as unknown as Env["EVENTS"];
    const relay = { ...env, EVENTS: queue, DEAD_LETTERS: queue };
    const erased = await erasePerson(relay, { email: EMAIL, cursor: null, by: BY });
    expect(erased.queued).toBe(true);
  });

  it("gives a cursor that says so, and that no other list takes", async () => {
    const events = await Promise.all(Array.from({ length: 101 }, () => newEvent(LEAD)));
    await consume(events);
    const erasure = (cursor?: string) =>
      api("POST", "/v1/events/erase", { email: EMAIL, ...(cursor && { cursor }) });
    const { next, queued } = await (await erasure()).json<{ next: string; queued: boolean }>();
    expect(next.endsWith("~queued")).toBe(queued);
    const marked = `${next.replace("~queued", "")}~queued`;
    expect(await (await erasure(marked)).json()).toMatchObject({ next: null, queued: true });
    expect((await api("GET", `/v1/events?cursor=${marked}`)).status).toBe(422);
  });
});

describe("what was answered about an erased event", () => {
  it("is found behind many other answers, some at a time", async () => {
    const event = await newEvent(LEAD);
    const answer = (body: string) => ({ status: 200, type: "application/json", body });
    for (let number = 0; number < 250; number++) {
      const key = `key-${String(number).padStart(3, "0")}`;
      const about = number % 100 === 49 ? event.id : "evt_another";
      await registry().endCall("caller", key, "call", answer(`{"eventId":"${about}"}`));
    }
    const first = await registry().forgetAnswers([event.id], null);
    expect(first).toEqual(["caller", "key-099"]);
    await erase(event);
    for (const [key, isThere] of [
      ["key-049", false],
      ["key-149", false],
      ["key-249", false],
      ["key-248", true],
    ] as const) {
      const begun = await registry().beginCall("caller", key, "call");
      expect([key, begun.state === "answered"]).toEqual([key, isThere]);
    }
  });
});
