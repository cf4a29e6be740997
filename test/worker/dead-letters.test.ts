import { evictDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, vi } from "vitest";
import type { EventId } from "../../src/domain/ids";
import {
  deleteDeadLetter,
  redriveDeadLetter,
  redriveDeadLetters,
} from "../../src/operations/dead-letters";
import { sweep } from "../../src/sweep";
import {
  deliverAll,
  newEvent,
  newEvents,
  register,
  registry,
  subscriber,
  tally,
} from "../rig/worker/engine";
import { clock, DAY, HOUR, it, SECOND, service, startClock } from "../rig/worker/fixture";
import {
  diverted,
  failStatements,
  inObject,
  rowsReadBy,
  tablesOf,
  withVariables,
} from "../rig/worker/objects";
import { consume } from "../rig/worker/queue";
import { api, bytesOf, type Problem } from "../rig/worker/requests";

type ShownLetter = { id: string; eventId: string | null; webhookIds: string[]; failedAt: string };
type Page = { data: ShownLetter[]; next: string | null };

const letterStore = () => env.DEAD_LETTER_STORE.getByName("dead-letters");
const fail = () => Promise.reject(new Error("the object is unreachable"));
/** 90 retries are behind it. */
const LAST = 91;

async function page(query = ""): Promise<Page> {
  const response = await api("GET", `/v1/dead-letters${query}`);
  expect(response.status).toBe(200);
  return response.json();
}

/** Kept beside the one that made the table, the first of them longest ago. */
function manyLetters(count: number): Promise<unknown> {
  return inObject(letterStore(), ({ storage }) =>
    storage.sql.exec(
      `INSERT INTO dead_letters (id, event_id, reason, received_at, failed_at, body)
       WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
       SELECT 'dl_many' || i, printf('evt_%026d', i), 'full', i, i, x'7b' FROM n`,
      count,
    ),
  );
}

/** An event that these webhooks could not be given. */
async function owedTo(...only: string[]) {
  const event = await newEvent();
  const SUBSCRIBER = diverted(env.SUBSCRIBER, { accept: fail }, only);
  await consume([event], { attempts: LAST, env: { ...env, SUBSCRIBER }, name: event.id });
  const [letter] = (await page()).data.filter(({ eventId }) => eventId === event.id);
  if (letter === undefined) throw new Error("there is no dead letter");
  return { event, letter };
}

const BY = { key: "0123abcd" };

/** One that shows what it took: the local one would hand it on. */
function queue() {
  const batches: MessageSendRequest<Uint8Array>[][] = [];
  const sendBatch = async (batch: MessageSendRequest<Uint8Array>[]) => {
    batches.push(batch);
  };
  return { batches, EVENTS: { sendBatch } as never };
}

const redriven = (id: string) => api("POST", `/v1/dead-letters/${id}/redrive`);

describe("a redrive", () => {
  it("goes to those who are still owed, and only to them", async () => {
    const [fine, dead] = [await register(), await register()];
    const { event, letter } = await owedTo(dead.id);
    await deliverAll(fine.id, clock);
    const later = await register();
    const response = await redriven(letter.id);
    expect(response.status).toBe(202);
    for (const { id } of [fine, dead, later]) await deliverAll(id, clock);
    expect(service.ids()).toEqual([event.id, event.id]);
    expect(service.requests[1]?.body).toEqual(event.body);
    expect(await tally(dead.id)).toEqual({ delivered: 1 });
    expect(await tally(fine.id)).toEqual({ delivered: 1 });
    expect(await tally(later.id)).toEqual({});
    expect((await page()).data).toEqual([]);
  });

  it("twice, or of an event that came by another way, delivers once", async () => {
    const { id } = await register();
    const { event, letter } = await owedTo(id);
    await consume([event]);
    expect((await redriven(letter.id)).status).toBe(202);
    expect((await redriven(letter.id)).status).toBe(404);
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(1);
  });

  it("that some cannot take keeps the letter for those", async () => {
    const [first, second] = [await register(), await register()];
    const { letter } = await owedTo(first.id, second.id);
    const SUBSCRIBER = diverted(env.SUBSCRIBER, { accept: fail }, [second.id]);
    expect(
      await redriveDeadLetter({ ...env, SUBSCRIBER }, { id: letter.id, by: BY }),
    ).toMatchObject({ ok: false });
    expect((await page()).data).toMatchObject([{ id: letter.id, webhookIds: [second.id] }]);
    expect(await tally(first.id)).toEqual({ pending: 1 });
    expect((await redriven(letter.id)).status).toBe(202);
    expect(await tally(second.id)).toEqual({ pending: 1 });
    expect((await page()).data).toEqual([]);
  });

  it("to one that is full answers 503 and keeps the letter", async () => {
    const { id } = await register();
    const { letter } = await owedTo(id);
    await failStatements(subscriber(id), {
      start: "INSERT INTO arrivals_",
      message: "database or disk is full: SQLITE_FULL",
      times: 1,
    });
    const response = await redriven(letter.id);
    expect(response.status).toBe(503);
    expect((await response.json<Problem>()).code).toBe("unavailable");
    expect((await page()).data).toMatchObject([{ id: letter.id, webhookIds: [id] }]);
    expect((await redriven(letter.id)).status).toBe(202);
  });

  it("keeps what the same message is given up for while it is under way", async () => {
    const [slow, dead] = [await register(), await register()];
    const event = await newEvent();
    const giveUp = (ids: string[]) => {
      const SUBSCRIBER = diverted(env.SUBSCRIBER, { accept: fail }, ids);
      return consume([event], {
        attempts: LAST,
        name: event.id,
        env: { ...env, SUBSCRIBER },
      });
    };
    await giveUp([slow.id]);
    const accept = async () => {
      await giveUp([slow.id, dead.id]);
      return { status: "accepted", added: 1 };
    };
    const SUBSCRIBER = diverted(env.SUBSCRIBER, { accept }, [slow.id]);
    const id = (await page()).data[0]?.id ?? "";
    await redriveDeadLetter({ ...env, SUBSCRIBER }, { id, by: BY });
    const webhookIds = [slow.id, dead.id].sort();
    const [letter] = (await page()).data;
    expect({ ...letter, webhookIds: letter?.webhookIds?.toSorted() }).toMatchObject({ webhookIds });
  });

  it("to a webhook that was deleted owes nothing", async () => {
    const { id } = await register();
    const { letter } = await owedTo(id);
    expect((await api("DELETE", `/v1/webhooks/${id}`)).status).toBe(204);
    expect((await redriven(letter.id)).status).toBe(202);
    expect((await page()).data).toEqual([]);
  });

  it("of an event that was never routed goes through the queue, as the bytes that came", async () => {
    const event = await newEvent();
    const JOURNAL = diverted(env.JOURNAL, { record: fail });
    await consume([event], { attempts: LAST, env: { ...env, JOURNAL } });
    const { batches, EVENTS } = queue();
    expect(await redriveDeadLetter({ ...env, EVENTS }, { id: "dl_m0", by: BY })).toMatchObject({
      ok: true,
    });
    expect(batches).toEqual([[{ body: event.body, contentType: "bytes" }]]);
    expect((await page()).data).toEqual([]);
  });

  it("that the queue does not take keeps the letter", async () => {
    const event = await newEvent();
    const JOURNAL = diverted(env.JOURNAL, { record: fail });
    await consume([event], { attempts: LAST, env: { ...env, JOURNAL } });
    const faulty = { ...env, EVENTS: { sendBatch: fail } as never };
    const answer = await redriveDeadLetter(faulty, { id: "dl_m0", by: BY }).catch(
      (thrown: unknown) => ({
        ok: false,
        thrown,
      }),
    );
    expect(answer.ok).toBe(false);
    expect((await page()).data).toMatchObject([{ id: "dl_m0" }]);
  });
});

describe("a deleted dead letter", () => {
  it("is gone, and goes to nobody", async () => {
    const { id } = await register();
    const { letter } = await owedTo(id);
    expect((await api("DELETE", `/v1/dead-letters/${letter.id}`)).status).toBe(204);
    expect((await page()).data).toEqual([]);
    expect((await api("DELETE", `/v1/dead-letters/${letter.id}`)).status).toBe(404);
    expect((await redriven(letter.id)).status).toBe(404);
    expect(await tally(id)).toEqual({});
  });

  it("is deleted by one of two who ask for it at once, and the other does not find it", async () => {
    const { id } = await register();
    const { letter } = await owedTo(id);
    const both = [1, 2].map(() => api("DELETE", `/v1/dead-letters/${letter.id}`));
    const codes = (await Promise.all(both)).map(({ status }) => status);
    expect(codes.sort()).toEqual([204, 404]);
    const { data } = await (await api("GET", "/v1/audit")).json<{ data: { action: string }[] }>();
    expect(data.filter(({ action }) => action === "dead_letter.deleted")).toHaveLength(1);
  });

  it("that was never there is none for a Worker of release 0.2.0 either", async () => {
    expect(await letterStore().delete("dl_none")).toBe(false);
  });

  it("is deleted for who asks again since its object was restarted meanwhile", async () => {
    const { id } = await register();
    const { letter } = await owedTo(id);
    const remove = async (...given: [string, string]) => {
      await letterStore().delete(...given);
      await evictDurableObject(letterStore());
      return letterStore().delete(...given);
    };
    const DEAD_LETTER_STORE = diverted(env.DEAD_LETTER_STORE, { delete: remove });
    const deleted = await deleteDeadLetter(
      { ...env, DEAD_LETTER_STORE },
      { id: letter.id, by: BY },
    );
    expect(deleted).toEqual({ ok: true, value: null });
  });
});

describe("a dead letter that goes", () => {
  it.each([
    ["redriven", "POST", "/redrive", 202],
    ["deleted", "DELETE", "", 204],
  ])(
    "does not take with it, when it is %s, what its message is given up for a moment later",
    async (_, method, call, status) => {
      const [crowded, dead] = [await register(), await register()];
      const event = await newEvent();
      const full = () => Promise.resolve({ status: "full", added: 0 });
      const others = diverted(env.SUBSCRIBER, { accept: fail }, [dead.id]);
      const SUBSCRIBER = diverted(others, { accept: full }, [crowded.id]);
      await consume([event], { env: { ...env, SUBSCRIBER }, name: event.id });
      const [letter] = (await page()).data;
      expect(letter).toMatchObject({ eventId: event.id, webhookIds: [crowded.id] });
      expect((await api(method, `/v1/dead-letters/${letter?.id}${call}`)).status).toBe(status);
      await consume([event], {
        attempts: LAST,
        name: event.id,
        env: { ...env, SUBSCRIBER: others },
      });
      expect((await page()).data).toMatchObject([{ eventId: event.id, webhookIds: [dead.id] }]);
    },
  );
});

describe("the list of dead letters", () => {
  it("goes on with its cursor, newest first, each one once, also those of one moment", async () => {
    vi.spyOn(Date, "now").mockReturnValue(clock.nowMs());
    await consume(Array.from({ length: 4 }, (_, index) => bytesOf(`not JSON ${index}`)));
    startClock();
    for (let times = 0; times < 3; times++) {
      clock.advance(SECOND);
      await consume([bytesOf("neither")], { name: `later${times}` });
    }
    const ids: string[] = [];
    let cursor: string | null = null;
    do {
      const query: string = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
      const { data, next }: Page = await page(`?limit=2${query}`);
      expect(data.length).toBeLessThanOrEqual(2);
      ids.push(...data.map(({ id }) => id));
      cursor = next;
    } while (cursor !== null);
    expect(ids.slice(0, 3)).toEqual(["dl_later20", "dl_later10", "dl_later00"]);
    expect(ids.slice(3).sort()).toEqual(["dl_m0", "dl_m1", "dl_m2", "dl_m3"]);
  });

  it("says nothing of a next page when there is none", async () => {
    await consume([bytesOf("a"), bytesOf("b")]);
    expect(await page("?limit=2")).toMatchObject({ next: null });
  });

  it.each(["?limit=0", "?limit=251", "?limit=x", "?cursor=x", "?status=x", "?limit=1&limit=2"])(
    "answers 422 to %s",
    async (query) => {
      const response = await api("GET", `/v1/dead-letters${query}`);
      expect(response.status).toBe(422);
    },
  );

  it("creates nothing by being read", async () => {
    expect(await page()).toEqual({ data: [], next: null });
    expect((await redriven("dl_none")).status).toBe(404);
    expect(await tablesOf(env.DEAD_LETTER_STORE.getByName("dead-letters"))).toEqual([]);
  });

  it("has one for each message of a batch", async () => {
    const { id } = await register();
    const SUBSCRIBER = diverted(env.SUBSCRIBER, { accept: fail });
    await consume(await newEvents(100), { attempts: LAST, env: { ...env, SUBSCRIBER } });
    const { data, next } = await page("?limit=250");
    expect(data).toHaveLength(100);
    expect(data.every(({ webhookIds }) => webhookIds[0] === id)).toBe(true);
    expect(next).toBeNull();
  });
});

describe("a redrive of many", () => {
  const many = async (body?: unknown) => {
    const response = await api("POST", "/v1/dead-letters/redrive", body);
    expect(response.status).toBe(202);
    return response.json<{ redriven: number; next: string | null }>();
  };

  it("hands over what can be taken, by its reason, and keeps the rest for who could not", async () => {
    const { id } = await register();
    const { event, letter } = await owedTo(id);
    const other = await owedTo(id);
    await consume([bytesOf("no event")]);
    expect(await many({ reason: "full" })).toEqual({ redriven: 0, next: null });
    expect(await many({ reason: "subscriber_unreachable", dryRun: true })).toEqual({
      redriven: 2,
      next: null,
    });
    expect((await page()).data).toHaveLength(3);
    expect(await many({ reason: "subscriber_unreachable" })).toEqual({ redriven: 2, next: null });
    expect((await page()).data.map(({ eventId }) => eventId)).toEqual([null]);
    await deliverAll(id, clock);
    expect(service.ids().sort()).toEqual([event.id, other.event.id].sort());
    expect(letter.webhookIds).toEqual([id]);
    const [line] = (await (await api("GET", "/v1/audit?limit=1")).json<{ data: object[] }>()).data;
    expect(line).toMatchObject({
      action: "dead_letter.redriven",
      after: { reason: "subscriber_unreachable", deadLetters: 2 },
    });
  });

  it("needs few calls of the queue, each with what it takes at once", async () => {
    await consume([
      bytesOf("no event"),
      bytesOf("n".repeat(120_000)),
      bytesOf("o".repeat(120_000)),
    ]);
    await manyLetters(230);
    const { batches, EVENTS } = queue();
    const all = { reason: null, dryRun: false, cursor: null, by: BY };
    expect(await redriveDeadLetters({ ...env, EVENTS }, all)).toMatchObject({ redriven: 233 });
    expect(batches.length).toBeLessThan(6);
    expect(batches.flat()).toHaveLength(233);
    for (const batch of batches) {
      // https://developers.cloudflare.com/queues/platform/limits/
      expect(batch.length).toBeLessThanOrEqual(100);
      const bytes = batch.reduce((total, { body }) => total + body.byteLength, 0);
      expect(bytes).toBeLessThan(256_000 - 100 * 100);
    }
    expect((await page()).data).toEqual([]);
  });

  it("that some cannot take keeps each letter for those", async () => {
    const [fine, dead] = [await register(), await register()];
    const letters = [await owedTo(fine.id, dead.id), await owedTo(fine.id)];
    const SUBSCRIBER = diverted(env.SUBSCRIBER, { accept: fail }, [dead.id]);
    const all = { reason: null, dryRun: false, cursor: null, by: BY };
    expect(await redriveDeadLetters({ ...env, SUBSCRIBER }, all)).toMatchObject({ redriven: 1 });
    expect((await page()).data).toMatchObject([
      { id: letters[0]?.letter.id, webhookIds: [dead.id] },
    ]);
    expect(await tally(fine.id)).toEqual({ pending: 2 });
    expect(await many()).toEqual({ redriven: 1, next: null });
    expect(await tally(dead.id)).toEqual({ pending: 2 });
  });

  it("reads what release 0.1.0 wrote as unreadable", async () => {
    await consume([bytesOf("no event")]);
    await inObject(letterStore(), ({ storage }) => {
      storage.sql.exec("UPDATE dead_letters SET reason = 'unreadable: invalid_json'");
    });
    expect((await page("?reason=unreadable")).data).toMatchObject([{ reason: "unreadable" }]);
    expect((await page("?reason=full")).data).toEqual([]);
    expect((await api("GET", "/v1/dead-letters?reason=given_up")).status).toBe(422);
  });
});

describe("the store of dead letters", () => {
  it("lets them go after RETENTION, with an alert a day before", async () => {
    await withVariables(registry(), { ALERT_URL: "https://alerts.example.com/hook" });
    await consume([bytesOf("no event")]);
    clock.advance(29 * DAY - HOUR);
    await sweep({ ...env, SILENCE_ALERT: "off" });
    clock.advance(2 * HOUR);
    await sweep({ ...env, SILENCE_ALERT: "off" });
    await registry().sendAlerts();
    const told = service.requests.map(({ body }) => new TextDecoder().decode(body));
    expect(told.filter((text) => text.includes("expire from"))).toHaveLength(1);
    expect((await page()).data).toHaveLength(1);
    clock.advance(DAY);
    await sweep({ ...env, SILENCE_ALERT: "off" });
    expect((await page()).data).toEqual([]);
  });

  it("reads what it shows, however many there are", async () => {
    await consume([bytesOf("no event")]);
    await manyLetters(20_000);
    const ids = [`evt_${"0".repeat(22)}7000`];
    const looks = {
      page: () => page(),
      "further page": async () => page(`?cursor=${encodeURIComponent((await page()).next ?? "")}`),
      "erasure by id": () => letterStore().erase({ eventIds: ids as EventId[] }),
    };
    // An object that starts counts its letters once, in the smallest of its indexes.
    const counting = await rowsReadBy(letterStore(), () => letterStore().stats());
    expect(counting).toBeLessThan(20_000 + 50);
    for (const [name, look] of Object.entries(looks)) {
      const rows = await rowsReadBy(letterStore(), look);
      expect(rows - counting, name).toBeLessThan(500);
    }
    const left = (await page("?limit=1")).data.length;
    expect(left).toBe(1);
  });

  it("by their reason are pages of 1,000 that were looked at, however few fit", async () => {
    await consume([bytesOf("no event")]);
    await manyLetters(2_500);
    await inObject(letterStore(), ({ storage }) =>
      storage.sql.exec(
        "UPDATE dead_letters SET reason = 'subscriber_unreachable' WHERE id = 'dl_many7'",
      ),
    );
    const found: string[] = [];
    let pages = 0;
    for (let next: string | null = ""; next !== null; pages++) {
      const cursor: string = next && `&cursor=${encodeURIComponent(next)}`;
      let shown: Page | undefined;
      const rows = await rowsReadBy(letterStore(), async () => {
        shown = await page(`?reason=subscriber_unreachable${cursor}`);
      });
      expect(rows).toBeLessThan(1_100);
      found.push(...(shown?.data ?? []).map(({ id }) => id));
      next = shown?.next ?? null;
    }
    expect([pages, found]).toEqual([3, ["dl_many7"]]);
    const first = await page("?reason=full&limit=2");
    const second = await page(
      `?reason=full&limit=2&cursor=${encodeURIComponent(first.next ?? "")}`,
    );
    expect([...first.data, ...second.data].map(({ id }) => id)).toEqual(
      [2_500, 2_499, 2_498, 2_497].map((each) => `dl_many${each}`),
    );
  });

  it("indexes what release 0.1.0 kept once it is little", async () => {
    const indexes = () =>
      inObject(letterStore(), ({ storage }) =>
        storage.sql
          .exec(
            "SELECT name FROM sqlite_master WHERE type = 'index' AND sql NOT NULL ORDER BY name",
          )
          .toArray()
          .map(({ name }) => name),
      );
    await consume([bytesOf("no event")]);
    const all = await indexes();
    expect(all).toEqual(["dead_letters_by_event", "dead_letters_by_failure"]);
    await manyLetters(600);
    await inObject(letterStore(), ({ storage }) => {
      for (const name of all) storage.sql.exec(`DROP INDEX ${name}`);
    });
    await evictDurableObject(letterStore());
    await consume([bytesOf("too many to index in one turn")], { name: "more" });
    expect(await indexes()).toEqual([]);
    await inObject(letterStore(), ({ storage }) => {
      storage.sql.exec("DELETE FROM dead_letters WHERE id LIKE 'dl_many1%'");
    });
    await evictDurableObject(letterStore());
    await consume([bytesOf("few")], { name: "few" });
    expect(await indexes()).toEqual(all);
  });

  it("is full at 100,000: the message stays in the queue, and the alert says so", async () => {
    await withVariables(registry(), { ALERT_URL: "https://alerts.example.com/hook" });
    await consume([bytesOf("no event")]);
    await manyLetters(99_999);
    await evictDurableObject(letterStore());
    const { acked, retried } = await consume([bytesOf("another")], { name: "late" });
    expect([acked, retried]).toEqual([[], { late0: 12_600 }]);
    await registry().sendAlerts();
    const told = service.requests.map(({ body }) => new TextDecoder().decode(body));
    expect(told.some((text) => text.includes("too many dead letters"))).toBe(true);
    expect((await api("DELETE", "/v1/dead-letters/dl_many1")).status).toBe(204);
    expect((await consume([bytesOf("another")], { name: "late" })).acked).toEqual(["late0"]);
  });

  it("is full at 5 GB, however few they are", async () => {
    await consume([bytesOf("no event")]);
    // The real ones take minutes to write.
    const takes = (value: number) =>
      inObject(letterStore(), ({ storage: { sql } }) => {
        Object.defineProperty(sql, "databaseSize", { value, configurable: true });
      });
    await takes(5 * 1024 ** 3 - 1);
    expect((await consume([bytesOf("the last")], { name: "last" })).acked).toEqual(["last0"]);
    await takes(5 * 1024 ** 3);
    const { acked, retried } = await consume([bytesOf("another")], { name: "late" });
    expect([acked, retried]).toEqual([[], { late0: 12_600 }]);
  });
});
