/** Webhooks with more than six attempts in flight: the Subscriber's own, and those that its Lanes make. */

import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, vi } from "vitest";
import { Lane } from "../../src/actors/lane";
import { Subscriber } from "../../src/actors/subscriber/subscriber";
import { newerData } from "../../src/domain/no-answer";
import { laneName } from "../../src/domain/placement";
import { eventually } from "../rig/eventually";
import {
  accept,
  alarmAt,
  deliverAll,
  deliveryOf,
  newEvents,
  type Owed,
  patch,
  pause,
  register,
  ring,
  subscriber,
  tally,
} from "../rig/worker/engine";
import { answering, clock, gate, holding, it, SECOND, service } from "../rig/worker/fixture";
import { failStatements, inObject, tablesOf } from "../rig/worker/objects";
import { consume } from "../rig/worker/queue";
import { API_KEY, api, callWith } from "../rig/worker/requests";

const lane = (id: string, number: number) => env.LANE.getByName(laneName(id, number));

/** A webhook whose attempts are in flight, as many as it may have, each Lane in its own alarm. */
async function busy(concurrency: number, events: number | Owed[]) {
  const { id } = await register({ concurrency });
  const owed = typeof events === "number" ? await newEvents(events) : events;
  await consume(owed);
  const running = [ring(subscriber(id))];
  for (let number = 0; 6 * (number + 1) < concurrency; number++) {
    const stub = lane(id, number);
    await eventually(async () => expect(await alarmAt(stub)).not.toBeNull());
    running.push(ring(stub));
  }
  await eventually(() => expect(service.requests).toHaveLength(concurrency));
  return { id, ids: owed.map((event) => event.id), running: Promise.all(running) };
}

const KB = 1024;

/** Bodies of what is leased, here and in Lanes. */
function leasedOf(id: string): Promise<number> {
  return inObject(subscriber(id), (state) => {
    const [row] = state.storage.sql.exec<{ state: string }>("SELECT state FROM run").toArray();
    const { lease, shares } = JSON.parse(row?.state ?? '{"lease":{"attempts":[]},"shares":[]}');
    return [lease, ...shares].reduce((sum, { attempts }) => sum + attempts.length, 0);
  });
}

/** Whatever Lanes still have is made, and everything else too. */
async function finish(id: string, lanes: number): Promise<void> {
  for (let round = 0; round < 5; round++) {
    await Promise.all([
      deliverAll(id, clock),
      ...Array.from({ length: lanes }, (_, number) => ring(lane(id, number))),
    ]);
  }
}

describe("a webhook with a concurrency of 24", () => {
  it("has 24 attempts in flight and no more, six in each object, and each delivery once", async () => {
    const late = holding();
    const { id, running } = await busy(24, 60);
    await accept(id, await newEvents(5));
    expect(service.requests).toHaveLength(24);
    expect(new Set(service.ids()).size).toBe(24);
    late.open();
    await running;
    await finish(id, 3);
    expect(service.peak).toBeLessThanOrEqual(24);
    expect(await tally(id)).toEqual({ delivered: 65 });
    expect(new Set(service.ids()).size).toBe(service.requests.length);
  });

  it.each([1, 3, 6])(
    "sends what is planned, though the disk does not take %s writes of what is leased next",
    async (times) => {
      const late = holding();
      const { id, running } = await busy(24, 60);
      await failStatements(subscriber(id), {
        start: "INSERT OR REPLACE INTO run",
        message: "database or disk is full: SQLITE_FULL",
        times,
      });
      late.open();
      await running;
      for (let round = 0; round < 5; round++) {
        clock.advance(5 * SECOND);
        await finish(id, 3);
      }
      expect(await tally(id)).toEqual({ delivered: 60 });
    },
  );

  it("leaves no alarm and no table in a Lane that rests", async () => {
    const late = holding();
    const { id, running } = await busy(12, 12);
    late.open();
    await running;
    await finish(id, 1);
    expect(await tally(id)).toEqual({ delivered: 12 });
    expect(await alarmAt(lane(id, 0))).toBeNull();
    expect(await tablesOf(lane(id, 0))).toEqual([]);
  });
});

describe("a rate limit of 10 a second, with answers that take longer", () => {
  /** So late a start may be (`MAX_LATE_MS`), and the next one is not. */
  const LATE_MS = 250;

  /** Between no two starts there are more than the limit lets start in that time. */
  function expectPaced(startsMs: readonly number[], rateLimit: number): void {
    const inOrder = startsMs.toSorted((a, b) => a - b);
    const early = inOrder.flatMap((toMs, last) =>
      inOrder
        .slice(0, last)
        .map((fromMs, first) => toMs - fromMs + LATE_MS - ((last - first) * SECOND) / rateLimit)
        .filter((spareMs) => spareMs < 0),
    );
    expect(early).toEqual([]);
  }

  it("holds over all objects together, after a Lane has crashed and when it is changed, too", async () => {
    service.answer = async () => {
      await scheduler.wait(1_500);
      return answering(204)();
    };
    const { id } = await register({ concurrency: 24, rateLimit: 10 });
    await accept(id, await newEvents(150));
    const lanes = [0, 1, 2].map((number) => lane(id, number));
    let isOver = false;
    const ringing = [subscriber(id), ...lanes].map(async (stub) => {
      while (!isOver) {
        await ring(stub).catch(() => false);
        await scheduler.wait(20);
      }
    });
    const starts = () => service.requests.map(({ atMs }) => atMs);
    const reach = (count: number) =>
      eventually(() => expect(service.requests.length).toBeGreaterThanOrEqual(count), {
        timeout: 60_000,
      });
    await reach(25);
    expect(service.peak).toBeGreaterThan(6);
    for (const stub of lanes.slice(0, 2)) {
      await inObject(stub, (state) => state.abort("a crash")).catch(() => null);
    }
    await reach(45);
    expectPaced(starts(), 10);
    expect((await patch(id, { rateLimit: 5 })).status).toBe(200);
    const changed = service.requests.length;
    await reach(changed + 8);
    expectPaced(starts().slice(changed), 5);
    expect((await patch(id, { rateLimit: 20 })).status).toBe(200);
    const raised = service.requests.length;
    await reach(raised + 20);
    expectPaced(starts().slice(raised), 20);
    await pause(id);
    isOver = true;
    await Promise.all(ringing);
  }, 300_000);
});

describe("a Lane that is asked when nothing of its share can be in flight any more", () => {
  /** What it answers, one time after the other; so many of its deliveries are interrupted then. */
  async function expectInterrupted(
    expected: number,
    answers: readonly ("nothing" | "unknown" | "known")[],
  ): Promise<void> {
    const { recall } = Lane.prototype;
    const late = holding();
    const { id, running } = await busy(12, 12);
    let asked = 0;
    const spy = vi.spyOn(Lane.prototype, "recall").mockImplementation(function (this: Lane, share) {
      const answer = answers[asked];
      asked += 1;
      if (answer === "nothing") throw new Error("no answer");
      return answer === "unknown" ? { isKnown: false, unsent: [] } : recall.call(this, share);
    });
    for (const times of answers.keys()) {
      clock.advance(20 * SECOND);
      await eventually(() => expect(asked).toBe(times + 1));
    }
    await eventually(async () => {
      const page = await api("GET", `/v1/webhooks/${id}/deliveries`);
      const { data } = await page.json<{ data: { lastError: string | null }[] }>();
      const interrupted = data.filter(({ lastError }) => lastError === "interrupted");
      expect(interrupted).toHaveLength(expected);
    });
    spy.mockRestore();
    late.open();
    await running;
  }

  it("keeps its share after one answer that was lost", async () => {
    await expectInterrupted(0, ["nothing", "known"]);
  });

  it("has lost it after two", async () => {
    await expectInterrupted(6, ["nothing", "nothing"]);
  });

  it("has lost it where it does not know it", async () => {
    await expectInterrupted(6, ["unknown"]);
  });
});

describe("a Lane whose Subscriber holds data of a newer release when it reports", () => {
  it("keeps what came of its attempts until its Subscriber can take it", async () => {
    const late = holding();
    const { id, ids, running } = await busy(12, 12);
    const refused = vi
      .spyOn(Subscriber.prototype, "report")
      .mockImplementationOnce(async () => newerData(`Subscriber ${id}`) as never);
    late.open();
    await running;
    await finish(id, 1);
    expect(refused.mock.calls.length).toBeGreaterThan(1);
    expect(await tally(id)).toEqual({ delivered: 12 });
    expect(service.ids().sort()).toEqual([...ids].sort());
  });
});

describe("what people do while 12 are in flight", () => {
  it("a pause stops what Lanes have not started, before it is answered", async () => {
    const late = holding();
    const { id, running } = await busy(12, 40);
    expect((await api("POST", `/v1/webhooks/${id}/pause`)).status).toBe(200);
    late.open();
    await running;
    await finish(id, 1);
    expect(service.requests).toHaveLength(12);
    expect(await tally(id)).toEqual({ delivered: 12, pending: 28 });
  });

  it("a pause holds a share that is on its way, though its Lane forgets that it was recalled", async () => {
    const { take, recall } = Lane.prototype;
    let [isRecalled, hasCome] = [false, false];
    vi.spyOn(Lane.prototype, "take").mockImplementation(async function (this: Lane, share) {
      while (!isRecalled) await scheduler.wait(20);
      const isTaken = await take.call(this, share);
      hasCome = true;
      return isTaken;
    });
    // As of a life of the Lane that ends with it.
    const forgotten = vi.spyOn(Lane.prototype, "recall").mockImplementationOnce(() => {
      isRecalled = true;
      return { isKnown: false, unsent: [] };
    });
    forgotten.mockImplementation(function (this: Lane, share) {
      return recall.call(this, share);
    });
    const late = holding();
    const { id } = await register({ concurrency: 12 });
    await consume(await newEvents(12));
    const running = ring(subscriber(id));
    await eventually(() => expect(service.requests).toHaveLength(6));
    await pause(id);
    const asked = service.requests.length;
    await eventually(() => expect(hasCome).toBe(true));
    late.open();
    await ring(lane(id, 0));
    await running;
    expect(service.requests).toHaveLength(asked);
    expect(await tally(id)).toEqual({ delivered: asked, pending: 12 - asked });
  });

  it("a cancelled delivery that a Lane had not started is not sent", async () => {
    const late = holding();
    const { id, ids, running } = await busy(12, 20);
    const asked = new Set<string>(service.ids());
    const waiting = ids.filter((each) => !asked.has(each));
    for (const each of waiting) {
      const path = `/v1/webhooks/${id}/deliveries/${each}/cancel`;
      expect((await api("POST", path)).status).toBe(200);
    }
    late.open();
    await running;
    await finish(id, 1);
    expect(service.requests).toHaveLength(12);
    expect(await tally(id)).toEqual({ delivered: 12, cancelled: 8 });
  });

  it("a dry run of a discard leaves what is on its way as it is", async () => {
    const recall = vi.spyOn(Lane.prototype, "recall");
    const late = holding();
    const { id, running } = await busy(12, 20);
    const dry = await api("POST", `/v1/webhooks/${id}/discard`, { dryRun: true });
    expect(await dry.json()).toEqual({ discarded: 20, next: null });
    expect(recall).not.toHaveBeenCalled();
    late.open();
    await running;
    await finish(id, 1);
    expect(await tally(id)).toEqual({ delivered: 20 });
  });

  it("an erasure keeps nothing of what a Lane is answered, also where the Subscriber is restarted meanwhile", async () => {
    const { opened, open } = gate();
    service.answer = async ({ body }) => {
      await opened;
      return new Response(body, { status: 500 });
    };
    const { id, ids, running } = await busy(12, 12);
    const run = running.catch(() => null);
    expect(await subscriber(id).eraseMany(ids)).toBe(12);
    await inObject(subscriber(id), (state) => state.abort("a deploy")).catch(() => null);
    expect(await tally(id)).toEqual({ cancelled: 12 });
    open();
    await run;
    await finish(id, 1);
    const logs = await Promise.all(
      ids.map(async (each) => (await deliveryOf(id, each)).attemptLog),
    );
    const answered = logs.flat().filter(({ statusCode }) => statusCode === 500);
    expect(answered).not.toEqual([]);
    for (const { responseBody } of answered) expect(responseBody).toBeNull();
  });

  it("a deleted webhook is sent nothing more", async () => {
    const late = holding();
    const { id, running } = await busy(12, 40);
    expect((await api("DELETE", `/v1/webhooks/${id}`)).status).toBe(204);
    late.open();
    await running;
    await finish(id, 1);
    expect(service.requests).toHaveLength(12);
  });
});

describe("what happens while 60 are in flight and 60 wait", () => {
  const CONCURRENCY = 60;
  const EVENTS = 120;

  type Case = {
    /** What is done; of the deliveries, `waiting` have not been asked for. */
    act: (id: string, waiting: string[]) => Promise<Response>;
    /** Requests that may follow when the answers come. */
    more: number;
    tally: Record<string, number>;
  };

  it.each<[string, Case]>([
    ["a pause", { act: pause, more: 0, tally: { delivered: 60, pending: 60 } }],
    [
      "a discard",
      {
        act: (id) => api("POST", `/v1/webhooks/${id}/discard`),
        more: 0,
        tally: { cancelled: 120 },
      },
    ],
    [
      "a cancel of two",
      {
        act: async (id, [first = "", second = ""]) => {
          await api("POST", `/v1/webhooks/${id}/deliveries/${first}/cancel`);
          return api("POST", `/v1/webhooks/${id}/deliveries/${second}/cancel`);
        },
        more: 58,
        tally: { delivered: 118, cancelled: 2 },
      },
    ],
    [
      "an erasure of one",
      {
        act: (_, [first = ""]) => api("DELETE", `/v1/events/${first}`),
        more: 59,
        tally: { delivered: 119, cancelled: 1 },
      },
    ],
    ["a deletion", { act: (id) => api("DELETE", `/v1/webhooks/${id}`), more: 0, tally: {} }],
  ])("%s is in force for all that starts after its answer", async (_, { act, more, ...then }) => {
    const late = holding();
    const { id, ids, running } = await busy(CONCURRENCY, EVENTS);
    const asked = new Set(service.ids());
    const waiting = ids.filter((each) => !asked.has(each));
    expect((await act(id, waiting)).ok).toBe(true);
    late.open();
    await running;
    await finish(id, CONCURRENCY / 6);
    expect(service.requests).toHaveLength(CONCURRENCY + more);
    expect(new Set(service.ids()).size).toBe(service.requests.length);
    expect(await tally(id)).toEqual(then.tally);
  });

  it("an erasure of a person is: nothing of theirs starts after its answer, and all else does", async () => {
    const [anna, berta] = ["anna@acme.example", "berta@acme.example"];
    const owed: (Owed & { email: string })[] = [];
    for (let each = 0; each < EVENTS; each++) {
      const email = each % 2 === 0 ? anna : berta;
      const [event] = await newEvents(1, { lead: { email } });
      if (event !== undefined) owed.push({ ...event, email });
    }
    const late = holding();
    const { id, running } = await busy(CONCURRENCY, owed);
    const erased = await api("POST", "/v1/events/erase", { email: anna });
    expect(erased.status).toBe(202);
    expect(await erased.json()).toMatchObject({ erased: EVENTS / 2, next: null });
    late.open();
    await running;
    await finish(id, CONCURRENCY / 6);
    const after = new Set(service.ids().slice(CONCURRENCY));
    expect(owed.filter((event) => event.email === anna && after.has(event.id))).toEqual([]);
    expect(new Set(service.ids()).size).toBe(service.requests.length);
    expect(await tally(id)).toEqual({ delivered: EVENTS / 2, cancelled: EVENTS / 2 });
  });

  it("a change of URL is: what starts after its answer goes there, signed anew", async () => {
    const late = holding();
    const { id, running } = await busy(CONCURRENCY, EVENTS);
    expect((await patch(id, { url: "https://new.example.com/in" })).status).toBe(200);
    late.open();
    await running;
    await finish(id, CONCURRENCY / 6);
    const to = (host: string) => service.requests.filter(({ url }) => url.includes(host)).length;
    expect([to("crm.example"), to("new.example")]).toEqual([60, 60]);
    expect(await tally(id)).toEqual({ delivered: 120 });
  });

  it("a rotation is: what starts after its answer is signed with both secrets", async () => {
    const late = holding();
    const { id, running } = await busy(CONCURRENCY, EVENTS);
    expect((await api("POST", `/v1/webhooks/${id}/rotate-secret`)).status).toBe(200);
    late.open();
    await running;
    await finish(id, CONCURRENCY / 6);
    const secrets = service.requests.map(
      ({ headers }) => headers.get("webhook-signature")?.split(" ").length,
    );
    expect(secrets).toEqual([...Array(60).fill(1), ...Array(60).fill(2)]);
  });

  it.each<[number, HeadersInit, Partial<Record<string, unknown>>]>([
    [410, {}, { waitingFor: "hold" }],
    [429, { "retry-after": "3600" }, { waitingFor: "retry_after" }],
    [503, { "retry-after": "3600" }, { waitingFor: "retry_after" }],
  ])("after one %i nothing starts once it is known", async (status, headers, expected) => {
    const late = gate();
    service.answer = async () => {
      const isLast = service.requests.length === CONCURRENCY;
      if (isLast) return answering(status, { headers })();
      await late.opened;
      return answering(204)();
    };
    const { id, ids, running } = await busy(CONCURRENCY, EVENTS);
    const asked = new Set(service.ids());
    const [waiting = ""] = ids.filter((each) => !asked.has(each));
    await eventually(async () => expect(await deliveryOf(id, waiting)).toMatchObject(expected));
    late.open();
    await running;
    expect(service.requests).toHaveLength(CONCURRENCY);
  });
});

describe("bodies of 120 KB at a concurrency of 300", () => {
  it("never have more than 32 MB leased at once", async () => {
    const bytes = 119 * KB;
    const { id } = await register({ concurrency: 300 });
    for (let call = 0; call < 38; call++) {
      await accept(id, await newEvents(8, { text: "x".repeat(bytes) }));
    }
    const late = holding();
    const running = [ring(subscriber(id))];
    let most = 0;
    await eventually(
      async () => {
        for (let number = 0; number < 49; number++) running.push(ring(lane(id, number)));
        most = Math.max(most, await leasedOf(id));
        expect(most * bytes).toBeGreaterThan(20 * KB * KB);
      },
      { timeout: 60_000, interval: 50 },
    );
    for (let look = 0; look < 20; look++) {
      most = Math.max(most, await leasedOf(id));
      await scheduler.wait(20);
    }
    await pause(id);
    late.open();
    await Promise.all(running);
    expect(most * bytes).toBeLessThanOrEqual(32 * KB * KB);
  }, 120_000);
});

describe("a test while six are in flight", () => {
  const urls: [string, { url?: string }][] = [
    ["over the network", {}],
    ["to a bound service", { url: "service:CRM/in" }],
  ];
  it.each(urls)("takes the connection that comes free next: %s", async (_, fields) => {
    const late = holding();
    const CRM = { fetch: (url: string, init: RequestInit) => fetch(url, init) };
    const headers = { authorization: `Bearer ${API_KEY}` };
    const body = JSON.stringify({ url: "https://crm.example.com/in", events: ["*"], ...fields });
    const bound: object = { CRM };
    const made = await callWith(bound, "/v1/webhooks", { method: "POST", headers, body });
    const { id } = (await made.json<{ webhook: { id: string } }>()).webhook;
    await runInDurableObject(subscriber(id), (object) => {
      Object.assign((object as unknown as { env: object }).env, bound);
    });
    await accept(id, await newEvents(8));
    const running = ring(subscriber(id));
    await eventually(() => expect(service.requests).toHaveLength(6));
    const test = api("POST", `/v1/webhooks/${id}/test`);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(service.requests).toHaveLength(6);
    late.open();
    expect(await (await test).json()).toMatchObject({ statusCode: 204, error: null });
    await running;
    expect(service.peak).toBe(6);
  });
});
