/** The relay's own events: what happens to webhooks, deliveries and dead letters, told to whoever asks for it. */
import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, vi } from "vitest";
import type { Registry } from "../../src/actors/registry";
import { RELAY_EVENTS } from "../../src/domain/relay-events";
import { eventually } from "../rig/eventually";
import {
  accept,
  alarmAt,
  deliverAll,
  newEvents,
  patch,
  register,
  registry,
  resume,
  ring,
  settingsOf,
  subscriber,
} from "../rig/worker/engine";
import {
  answering,
  clock,
  gate,
  holding,
  it,
  MINUTE,
  SECOND,
  service,
} from "../rig/worker/fixture";
import { diverted, failStatements, withBindings } from "../rig/worker/objects";
import { consume } from "../rig/worker/queue";
import { api, bytesOf, type Problem, post } from "../rig/worker/requests";

type Told = { event: string; timestamp: string; data: Record<string, unknown> & { count: number } };

/** Of deliveries that end as undeliverable, over two minutes. */
const BATCHES = 100;
const PER_BATCH = 1_000;
/** A minute on a machine that does nothing else. */
const LONG_MS = 900_000;

const DOWN = "https://down.example.com/in";
const WATCHER = "https://watcher.example.com/in";

/** What the Registry puts into the queue, and has not been consumed yet. */
let queued: Uint8Array[] = [];
let sending: (body: Uint8Array) => Promise<void>;

async function intoTheQueue(): Promise<void> {
  queued = [];
  sending = async (body) => void queued.push(body);
  await rebind();
}

const rebind = () =>
  withBindings(registry(), () => ({ EVENTS: { send: (body: Uint8Array) => sending(body) } }));

const tellings = (bodies: readonly Uint8Array[]): Told[] =>
  bodies.map((body) => JSON.parse(new TextDecoder().decode(body)));

/** What came to the watcher's service. */
const told = () =>
  tellings(service.requests.filter(({ url }) => url === WATCHER).map(({ body }) => body));

/** Lets the queue and every webhook do what they have to do now. */
async function settle(...ids: string[]): Promise<void> {
  for (let rounds = 0; rounds < 5; rounds++) {
    for (const id of ids) await deliverAll(id, clock);
    const due = await alarmAt(registry());
    if (due !== null && due <= clock.nowMs() + 50) await ring(registry());
    const bodies = queued.splice(0);
    if (bodies.length > 0) await consume(bodies);
  }
}

/** Events that fail one after the other. */
async function fail(id: string, count: number): Promise<void> {
  for (const event of await newEvents(count)) {
    await accept(id, [event]);
    await deliverAll(id, clock);
  }
}

const downIs = (status: number) => {
  service.answer = ({ url }) => new Response(null, { status: url === DOWN ? status : 204 });
};

async function watched(events: string[], down: Record<string, unknown> = {}) {
  const failing = await register({ url: DOWN, name: "crm", events: ["message.sent"], ...down });
  const watcher = await register({ url: WATCHER, events });
  await intoTheQueue();
  downIs(500);
  return { failing, watcher };
}

describe("relay.webhook.failing and recovered", () => {
  it("come to a webhook that names them, once each, with the health of the one that failed", async () => {
    const { failing, watcher } = await watched([
      "relay.webhook.failing",
      "relay.webhook.recovered",
    ]);
    const everything = await register({ url: "https://all.example.com/in" });
    await fail(failing.id, 9);
    await settle(failing.id, watcher.id);
    expect(told()).toEqual([]);
    await fail(failing.id, 1);
    await settle(failing.id, watcher.id, everything.id);
    expect(told()).toEqual([
      {
        event: "relay.webhook.failing",
        timestamp: expect.any(String),
        data: { id: failing.id, name: "crm", health: expect.anything(), count: 1 },
      },
    ]);
    const health = told()[0]?.data.health as Record<string, Record<string, unknown>>;
    expect(health.state).toBe("probing");
    expect(health.lastFailure).toMatchObject({ statusCode: 500, error: "status" });
    expect(health.lastFailure).not.toHaveProperty("responseBody");

    downIs(204);
    clock.advance(2 * MINUTE);
    await settle(failing.id, watcher.id, everything.id);
    expect(told().map(({ event }) => event)).toEqual([
      "relay.webhook.failing",
      "relay.webhook.recovered",
    ]);
    const others = service.requests.filter(({ url }) => url === "https://all.example.com/in");
    expect(others).toEqual([]);
  });

  it("conform to the schemas that event-types shows, and stand in the journal", async () => {
    const { failing, watcher } = await watched(["relay.webhook.failing"]);
    await fail(failing.id, 10);
    await settle(failing.id, watcher.id);
    const { data } = await (await api("GET", "/v1/events?event=relay.webhook.failing")).json<{
      data: { event: string; conforms: boolean; webhookIds: string[] }[];
    }>();
    expect(data).toMatchObject([{ conforms: true, webhookIds: [watcher.id] }]);
  });

  it("are not told after a resume, nor of a webhook to itself", async () => {
    const { failing, watcher } = await watched(
      ["relay.webhook.failing", "relay.webhook.disabled"],
      {
        events: ["message.sent", "relay.webhook.failing"],
      },
    );
    downIs(410);
    await fail(failing.id, 1);
    await settle(failing.id, watcher.id);
    expect(told().map(({ event }) => event)).toEqual(["relay.webhook.disabled"]);
    expect(told()[0]?.data).toMatchObject({ id: failing.id, health: { state: "disabled" } });
    downIs(500);
    await resume(failing.id);
    for (let probes = 0; probes < 5; probes++) {
      await settle(failing.id, watcher.id);
      clock.advance(MINUTE);
    }
    expect(told()).toHaveLength(1);
    const own = service.requests.filter(({ url }) => url === DOWN);
    expect(own.every(({ headers }) => headers.get("x-leadterra-event") === "message.sent")).toBe(
      true,
    );
  });

  it("are made of no failures but those of Leadterra's events: ten minutes of failing on them make none", async () => {
    const names = Object.keys(RELAY_EVENTS);
    const { failing, watcher } = await watched(names);
    const second = await register({ url: "https://second.example.com/in", events: names });
    service.answer = answering(500);
    let sent = 0;
    const counting = sending;
    sending = async (body) => {
      sent += 1;
      await counting(body);
    };
    await fail(failing.id, 10);
    await settle(failing.id, watcher.id, second.id);
    expect(sent).toBe(1);
    for (let seconds = 0; seconds < 600; seconds += 15) {
      clock.advance(15 * SECOND);
      await settle(watcher.id, second.id);
    }
    expect(service.requests.filter(({ url }) => url === WATCHER).length).toBeGreaterThan(1);
    expect(sent).toBe(1);
  });
});

describe("relay.webhook.disabled", () => {
  it("is kept with the change that it tells of, before anything is waited for", async () => {
    const { failing } = await watched(["relay.webhook.disabled"]);
    const { version } = await settingsOf(failing.id);
    await runInDurableObject(registry() as DurableObjectStub, async (instance, { storage }) => {
      const { reportDisabled } = instance as unknown as Pick<Registry, "reportDisabled">;
      const answer = reportDisabled.call(instance as never, failing.id, {
        reason: "gone",
        version,
      });
      const kept = storage.sql.exec("SELECT event, subject FROM outbox").toArray();
      expect(kept).toEqual([{ event: "relay.webhook.disabled", subject: failing.id }]);
      await answer;
    });
  });
});

describe("a disable that the Registry's disk does not take whole", () => {
  it("is told all the same when it is reported again", async () => {
    const { failing, watcher } = await watched(["relay.webhook.disabled"]);
    const message = "disk I/O error: SQLITE_IOERR";
    await failStatements(registry(), { start: "INSERT OR REPLACE INTO outbox", message, times: 1 });
    downIs(410);
    await fail(failing.id, 1);
    await settle(failing.id, watcher.id);
    expect((await settingsOf(failing.id)).status).toBe("disabled");
    expect(told().map(({ event }) => event)).toEqual(["relay.webhook.disabled"]);
  });
});

describe("relay.delivery.undeliverable", () => {
  it("tells the first of many with how many there were, at most once a minute", async () => {
    const { failing, watcher } = await watched(["relay.delivery.undeliverable"], {
      giveUpOn: [404],
    });
    downIs(404);
    await fail(failing.id, 3);
    await settle(failing.id, watcher.id);
    for (let rounds = 0; rounds < 4; rounds++) {
      clock.advance(20 * SECOND);
      await fail(failing.id, 5);
      await settle(failing.id, watcher.id);
    }
    clock.advance(2 * MINUTE);
    await settle(failing.id, watcher.id);
    const counts = told().map(({ data }) => data.count);
    expect(counts.length).toBeLessThanOrEqual(4);
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(23);
    expect(told()[0]?.data).toMatchObject({
      id: failing.id,
      name: "crm",
      delivery: { webhookId: failing.id, status: "undeliverable", lastStatusCode: 404 },
    });
    expect(told()[0]?.data.delivery).not.toHaveProperty("attemptLog");
  });

  it(
    "makes some events of 100,000 that end one after the other",
    async () => {
      const { failing, watcher } = await watched(["relay.delivery.undeliverable"], {
        giveUpOn: [404],
      });
      downIs(404);
      const sinceMs = clock.nowMs();
      for (let batch = 0; batch < BATCHES; batch++) {
        await accept(failing.id, await newEvents(PER_BATCH));
        await deliverAll(failing.id, clock);
        await settle(watcher.id);
        clock.advance((2 * MINUTE) / BATCHES);
      }
      clock.advance(MINUTE);
      await settle(failing.id, watcher.id);
      clock.advance(MINUTE);
      await settle(failing.id, watcher.id);
      const counts = told().map(({ data }) => data.count);
      // One a minute, of time that a slow machine adds to.
      const minutes = Math.ceil((clock.nowMs() - sinceMs) / MINUTE);
      expect(counts.length).toBeLessThanOrEqual(minutes + 1);
      expect(counts.reduce((sum, count) => sum + count, 0)).toBe(BATCHES * PER_BATCH);
      const { health } = await (await api("GET", "/v1/stats"))
        .json<{
          webhooks: { id: string; health: { undeliverable: number } }[];
        }>()
        .then(({ webhooks }) => webhooks.find(({ id }) => id === failing.id) ?? { health: null });
      expect(health?.undeliverable).toBe(BATCHES * PER_BATCH);
    },
    LONG_MS,
  );

  it("is told by a Subscriber until the Registry has it, also over a restart", async () => {
    const { failing, watcher } = await watched(["relay.delivery.undeliverable"], {
      giveUpOn: [404],
    });
    downIs(404);
    const unreachable = () => Promise.reject(new Error("the Registry is unreachable"));
    await withBindings(subscriber(failing.id), () => ({
      REGISTRY: diverted(env.REGISTRY, { happened: unreachable }),
    }));
    await fail(failing.id, 2);
    await settle(watcher.id);
    expect(told()).toEqual([]);
    await evictDurableObject(subscriber(failing.id));
    clock.advance(MINUTE);
    await settle(failing.id, watcher.id);
    expect(told().map(({ data }) => data.count)).toEqual([2]);
    clock.advance(5 * MINUTE);
    await evictDurableObject(subscriber(failing.id));
    await settle(failing.id, watcher.id);
    expect(told()).toHaveLength(1);
  });
});

describe("an alarm that tells the Registry", () => {
  it("stands at most ten seconds ahead for what arrived meanwhile and is in flight", async () => {
    const { failing } = await watched(["relay.delivery.undeliverable"], { giveUpOn: [404] });
    downIs(404);
    const registryAnswers = gate();
    const happened = vi.fn(() => registryAnswers.opened.then(() => true));
    await withBindings(subscriber(failing.id), () => ({
      REGISTRY: diverted(env.REGISTRY, { happened }),
    }));
    await accept(failing.id, await newEvents(1));
    const ringing = ring(subscriber(failing.id));
    await eventually(() => expect(happened).toHaveBeenCalled());
    const late = holding();
    await subscriber(failing.id).accept({ deliveries: await newEvents(1), sendNow: true });
    await eventually(() => expect(service.requests).toHaveLength(2));
    // The alarm that was set for it is overdue, for the one before still runs.
    clock.advance(16_000);
    registryAnswers.open();
    await ringing;
    expect(await alarmAt(subscriber(failing.id))).toBeLessThanOrEqual(clock.nowMs() + 10_000);
    late.open();
    await settle(failing.id);
  });
});

describe("a Registry that does not answer", () => {
  it.each([
    ["what was undeliverable", "happened", 404],
    ["that the webhook is disabled", "reportDisabled", 410],
  ])("is told %s in vain, and the alarm goes on", async (_, method, status) => {
    const { failing } = await watched(["relay.delivery.undeliverable"], { giveUpOn: [404] });
    downIs(status);
    const unanswered = vi.fn(() => new Promise(() => {}));
    await withBindings(subscriber(failing.id), () => ({
      REGISTRY: diverted(env.REGISTRY, { [method]: unanswered }),
    }));
    await accept(failing.id, await newEvents(1));
    await ring(subscriber(failing.id));
    expect(unanswered).toHaveBeenCalled();
    expect(await alarmAt(subscriber(failing.id))).not.toBeNull();
  });
});

describe("a Registry that takes long", () => {
  it("hears of nothing twice, and of what happened meanwhile", async () => {
    const { failing, watcher } = await watched(["relay.delivery.undeliverable"], {
      giveUpOn: [404],
    });
    downIs(404);
    let calls = 0;
    const happened = async (...given: Parameters<Registry["happened"]>) => {
      const answer = await registry().happened(...given);
      calls += 1;
      return calls === 1 ? new Promise(() => {}) : answer;
    };
    await withBindings(subscriber(failing.id), () => ({
      REGISTRY: diverted(env.REGISTRY, { happened }),
    }));
    await fail(failing.id, 3);
    await settle(watcher.id);
    for (const _ of [1, 2, 3]) {
      clock.advance(2 * MINUTE);
      await settle(failing.id, watcher.id);
    }
    const sum = told().reduce((all, { data }) => all + data.count, 0);
    expect(sum).toBe(3);
    expect(calls).toBe(2);
  });

  it("counts once what it heard before a call that was long on its way", async () => {
    const { failing, watcher } = await watched(["relay.webhook.failing"]);
    const failed = { event: "relay.webhook.failing", count: 1, delivery: null } as const;
    const hear = (count: number) =>
      registry().happened({
        ...{ webhookId: failing.id, id: 0.5, health: null },
        told: Array.from({ length: count }, () => failed),
      });
    for (const count of [2, 1, 2]) await hear(count);
    await settle(watcher.id);
    clock.advance(2 * MINUTE);
    await settle(watcher.id);
    expect(told().reduce((all, { data }) => all + data.count, 0)).toBe(2);
  });

  it("forgets what it heard of a webhook with the webhook", async () => {
    const { failing } = await watched(["relay.webhook.failing"]);
    const settings = await settingsOf(failing.id);
    const failed = { event: "relay.webhook.failing", count: 1, delivery: null } as const;
    const hear = () =>
      registry().happened({ webhookId: failing.id, id: 0.5, health: null, told: [failed] });
    expect([await hear(), await hear()]).toEqual([true, false]);
    expect((await api("DELETE", `/v1/webhooks/${failing.id}`)).status).toBe(204);
    await registry().create({ ...settings, status: "active" }, null, { key: null });
    expect(await hear()).toBe(true);
  });
});

describe("a webhook's object of release 0.2.0", () => {
  it("is believed each time: it does not say what it told before", async () => {
    const { failing, watcher } = await watched(["relay.delivery.undeliverable"]);
    const event = "relay.delivery.undeliverable";
    for (const count of [1, 2, 3]) {
      const told = [{ event, count, delivery: null }] as const;
      await registry().happened({ webhookId: failing.id, health: null, told: [...told] });
      await settle(watcher.id);
      clock.advance(2 * MINUTE);
    }
    await settle(watcher.id);
    expect(told().map(({ data }) => data.count)).toEqual([1, 2, 3]);
  });
});

describe("relay.dead_letter.added", () => {
  it("tells what could not be handed over, and nothing of the relay's own events", async () => {
    const { failing, watcher } = await watched([
      "relay.dead_letter.added",
      "relay.webhook.failing",
    ]);
    const unreachable = () => Promise.reject(new Error("the object is unreachable"));
    const SUBSCRIBER = diverted(env.SUBSCRIBER, { accept: unreachable }, [failing.id, watcher.id]);
    const last = { attempts: 91, env: { ...env, SUBSCRIBER } };
    const events = await newEvents(2);
    await consume(events, { ...last, name: "lost" });
    const own = bytesOf({ event: "relay.webhook.failing", timestamp: "", data: { id: "wh_x" } });
    await consume([own], { ...last, name: "own" });
    expect((await (await api("GET", "/v1/dead-letters")).json<{ data: [] }>()).data).toHaveLength(
      3,
    );
    await settle(watcher.id);
    expect(told()).toMatchObject([
      {
        event: "relay.dead_letter.added",
        data: {
          deadLetter: { reason: "subscriber_unreachable", webhookIds: [failing.id] },
          count: 2,
        },
      },
    ]);
    expect(told()[0]?.data.deadLetter).not.toHaveProperty("email");
  });

  it("is told at most once a minute, with how many there were", async () => {
    const { watcher } = await watched(["relay.dead_letter.added"]);
    const seconds = async (count: number) => {
      clock.advance(count * SECOND);
      await settle(watcher.id);
      return told().map(({ data }) => data.count);
    };
    for (const name of ["first", "second", "third"]) {
      await consume([bytesOf("no event")], { name });
      expect(await seconds(10)).toEqual([1]);
    }
    expect(await seconds(60)).toEqual([1, 2]);
  });
});

describe("the outbox", () => {
  it("keeps what the queue does not take, over a restart, and sends it when it does", async () => {
    const { failing, watcher } = await watched(["relay.webhook.failing"]);
    sending = () => Promise.reject(new Error("the queue is down"));
    await fail(failing.id, 10);
    await settle(failing.id, watcher.id);
    await evictDurableObject(registry());
    sending = async (body) => void queued.push(body);
    await rebind();
    clock.advance(MINUTE);
    await ring(registry());
    await settle(watcher.id);
    expect(told().map(({ event }) => event)).toEqual(["relay.webhook.failing"]);
  });

  it("fails no alarm by what the disk does not take, and sends it later", async () => {
    const { failing, watcher } = await watched(["relay.webhook.failing"]);
    const message = "disk I/O error: SQLITE_IOERR";
    await failStatements(registry(), { start: "DELETE FROM outbox", message, times: 2 });
    await fail(failing.id, 10);
    await settle(failing.id, watcher.id);
    for (let times = 0; times < 3; times++) {
      await ring(registry());
      clock.advance(MINUTE);
    }
    await settle(watcher.id);
    expect(told().map(({ event }) => event)).toEqual(["relay.webhook.failing"]);
  });

  it("tells what happened while it sent as the first of the next", async () => {
    const { failing, watcher } = await watched(["relay.delivery.undeliverable"], {
      giveUpOn: [404],
    });
    downIs(404);
    const slow = gate();
    sending = async (body) => {
      await slow.opened;
      queued.push(body);
    };
    const ended: string[] = [];
    for (const event of await newEvents(3)) {
      await accept(failing.id, [event]);
      await deliverAll(failing.id, clock);
      ended.push(event.id);
      // Each is told by itself.
      clock.advance(MINUTE);
      await deliverAll(failing.id, clock);
    }
    slow.open();
    await settle(watcher.id);
    clock.advance(2 * MINUTE);
    await settle(watcher.id);
    const firsts = told().map(({ data }) => [
      (data.delivery as { eventId: string }).eventId,
      data.count,
    ]);
    expect(firsts).toEqual([
      [ended[0], 1],
      [ended[1], 2],
    ]);
  });

  it("tells of the first, when the queue did not take it while more happened", async () => {
    const { failing, watcher } = await watched(["relay.delivery.undeliverable"], {
      giveUpOn: [404],
    });
    downIs(404);
    const slow = gate();
    sending = async () => {
      await slow.opened;
      throw new Error("the queue is down");
    };
    await fail(failing.id, 1);
    const [first] = service.ids();
    clock.advance(MINUTE);
    await deliverAll(failing.id, clock);
    await fail(failing.id, 2);
    clock.advance(MINUTE);
    await deliverAll(failing.id, clock);
    slow.open();
    await ring(registry());
    sending = async (body) => void queued.push(body);
    clock.advance(2 * MINUTE);
    await settle(watcher.id);
    expect(told().map(({ data }) => [data.delivery, data.count])).toEqual([
      [expect.objectContaining({ eventId: first }), 3],
    ]);
  });

  it("keeps nothing that nobody asks for", async () => {
    const { failing, watcher } = await watched(["*"]);
    await fail(failing.id, 10);
    await settle(failing.id, watcher.id);
    await patch(watcher.id, { events: ["*", "relay.webhook.failing"] });
    await evictDurableObject(subscriber(failing.id));
    clock.advance(5 * MINUTE);
    await settle(failing.id, watcher.id);
    expect(told()).toEqual([]);
    expect((await settingsOf(watcher.id)).events).toEqual(["*", "relay.webhook.failing"]);
  });
});

describe("the names of the relay's own events", () => {
  it("may stand beside *, which does not mean them, and beside no other name", async () => {
    const draft = (events: string[]) => ({ url: WATCHER, events });
    const [name = ""] = Object.keys(RELAY_EVENTS);
    expect((await api("POST", "/v1/webhooks", draft(["*", name]))).status).toBe(201);
    for (const other of ["message.sent", "relay.nothing", "relay.webhook.failng"]) {
      const refused = await api("POST", "/v1/webhooks", draft(["*", other]));
      expect([other, refused.status]).toEqual([other, 422]);
      expect((await refused.json<Problem>()).errors?.[0]?.path).toBe("events");
    }
  });

  it("come from the relay alone", async () => {
    const refused = await post({ event: "relay.webhook.failing", timestamp: "", data: {} });
    expect(refused.status).toBe(422);
    expect(await refused.json<Problem>()).toMatchObject({ code: "invalid_event" });
  });

  it("are known to event-types and to the test of a webhook", async () => {
    const { data } = await (await api("GET", "/v1/event-types")).json<{
      data: { name: string; example: Told }[];
    }>();
    for (const name of Object.keys(RELAY_EVENTS)) {
      expect(data.find((type) => type.name === name)?.example.data.count).toBe(1);
    }
    const { id } = await register({ url: WATCHER, events: ["relay.webhook.failing"] });
    await api("POST", `/v1/webhooks/${id}/test`);
    expect(told()).toMatchObject([{ event: "relay.webhook.failing", data: { name: "crm" } }]);
  });
});
