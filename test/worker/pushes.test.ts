import { abortAllDurableObjects, evictDurableObject } from "cloudflare:test";
import { describe, expect } from "vitest";
import operations from "../../docs/operations.md?raw";
import { eventually } from "../rig/eventually";
import {
  accept,
  alarmAt,
  deliverAll,
  newEvents,
  patch,
  register,
  registry,
  ring,
  type ShownWebhook,
  settingsOf,
  subscriber,
  tally,
} from "../rig/worker/engine";
import { clock, gate, holding, it, MINUTE, SECOND, service } from "../rig/worker/fixture";
import { failStatements, inObject, type Stub, tablesOf, withBindings } from "../rig/worker/objects";
import { api, type Problem } from "../rig/worker/requests";

const fail = () => Promise.reject(new Error("the object is unreachable"));

/** Whether pushes arrive; switched by the test. */
async function breakPushes(): Promise<{ broken: boolean; pushes: number }> {
  const state = { broken: true, pushes: 0 };
  await withBindings(registry(), ({ SUBSCRIBER }) => {
    const through =
      (method: "configure" | "remove") =>
      (id: string) =>
      (...given: never[]): unknown => {
        state.pushes += 1;
        const stub = SUBSCRIBER.getByName(id) as unknown as Record<
          string,
          (...of: never[]) => unknown
        >;
        return state.broken ? fail() : stub[method]?.(...given);
      };
    const getByName = (id: string) => ({
      configure: through("configure")(id),
      remove: through("remove")(id),
    });
    return { SUBSCRIBER: { getByName } };
  });
  return state;
}

async function expectNotYetInForce(response: Response): Promise<void> {
  expect(response.status).toBe(503);
  expect((await response.json<Problem>()).code).toBe("not_yet_in_force");
}

async function shown(id: string): Promise<ShownWebhook> {
  const response = await api("GET", `/v1/webhooks/${id}`);
  expect(response.status).toBe(200);
  return (await response.json<{ webhook: ShownWebhook }>()).webhook;
}

describe("a change whose push fails", () => {
  it("answers 503, is stored, and is repeated by alarm until it arrives", async () => {
    const { id } = await register();
    const pushing = await breakPushes();
    const url = "https://crm.example.com/new";
    await expectNotYetInForce(await patch(id, { url }));
    expect((await shown(id)).url).toBe(url);
    await accept(id, await newEvents(1));
    await deliverAll(id, clock);
    expect(service.requests.at(-1)?.url).toBe("https://crm.example.com/in");
    for (let times = 0; times < 10; times++) {
      const ringsAtMs = await alarmAt(registry());
      expect(ringsAtMs).not.toBeNull();
      expect(ringsAtMs ?? 0).toBeLessThanOrEqual(clock.nowMs() + MINUTE);
      expect(pushing.pushes).toBe(1 + times);
      await ring(registry());
    }
    pushing.broken = false;
    await ring(registry());
    expect(await alarmAt(registry())).toBeNull();
    await accept(id, await newEvents(1));
    await deliverAll(id, clock);
    expect(service.requests.at(-1)?.url).toBe(url);
  });

  it.each([
    ["pause", "paused"],
    ["resume", "active"],
    ["rotate-secret", "active"],
  ])("being a %s answers 503 too, and stands", async (call, status) => {
    const { id } = await register();
    // A resume of what is active would change nothing.
    if (call === "resume") await api("POST", `/v1/webhooks/${id}/pause`);
    await breakPushes();
    await expectNotYetInForce(await api("POST", `/v1/webhooks/${id}/${call}`));
    expect((await shown(id)).status).toBe(status);
  });

  it("being a resume answers 503 as often as it is asked for, until it has arrived", async () => {
    const { id } = await register();
    await api("POST", `/v1/webhooks/${id}/pause`);
    const pushing = await breakPushes();
    const resume = () => api("POST", `/v1/webhooks/${id}/resume`);
    for (let times = 0; times < 2; times++) await expectNotYetInForce(await resume());
    pushing.broken = false;
    expect((await resume()).status).toBe(200);
    await accept(id, await newEvents(1));
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(1);
  });

  it("that makes a new secret answers with it: it is shown nowhere else", async () => {
    const { id } = await register({ name: "crm" });
    const state = await breakPushes();
    const put = { url: "https://again.example.com/in", events: ["*"] };
    for (const asked of [
      () => api("POST", `/v1/webhooks/${id}/rotate-secret`, { gracePeriodSeconds: 0 }),
      () => patch(id, { url: "https://elsewhere.example.com/in" }),
      () => api("PUT", "/v1/webhooks/crm", put),
    ]) {
      const response = await asked();
      expect(response.status).toBe(503);
      const { code, signingSecret } = await response.json<Problem & { signingSecret: string }>();
      expect(code).toBe("not_yet_in_force");
      expect((await registry().get(id))?.secrets.map(({ value }) => value)).toEqual([
        signingSecret,
      ]);
    }
    const answer = await (await patch(id, { description: "no secret" })).json<object>();
    expect(answer).not.toHaveProperty("signingSecret");
    state.broken = false;
  });

  it("arrives after a crash of the Registry too, and after a lost alarm by the sweep", async () => {
    const { id } = await register();
    await breakPushes();
    await expectNotYetInForce(await patch(id, { url: "https://crm.example.com/new" }));
    await abortAllDurableObjects();
    await registry().check();
    expect(await alarmAt(registry())).not.toBeNull();
    await ring(registry());
    await accept(id, await newEvents(1));
    await deliverAll(id, clock);
    expect(service.requests.at(-1)?.url).toBe("https://crm.example.com/new");
  });

  it("is repeated soon after a restart of the Registry", async () => {
    const { id } = await register();
    await breakPushes();
    await expectNotYetInForce(await patch(id, { url: "https://crm.example.com/new" }));
    expect(await alarmAt(registry())).toBeGreaterThan(clock.nowMs() + SECOND);
    await abortAllDurableObjects();
    await shown(id);
    expect(await alarmAt(registry())).toBeLessThanOrEqual(clock.nowMs() + SECOND);
  });

  it("is repeated in its time, however often others are changed meanwhile", async () => {
    const [late, busy] = [await register(), await register()];
    const pushing = await breakPushes();
    await expectNotYetInForce(await patch(late.id, { url: "https://crm.example.com/new" }));
    const dueAtMs = await alarmAt(registry());
    pushing.broken = false;
    for (let seconds = 0; seconds < 5; seconds++) {
      clock.advance(SECOND);
      expect((await patch(busy.id, { description: `${seconds}` })).status).toBe(200);
    }
    expect(await alarmAt(registry())).toBe(dueAtMs);
  });

  it("is the last of several that is in force in the end", async () => {
    const { id } = await register();
    const pushing = await breakPushes();
    for (const name of ["a", "b", "c"]) {
      await expectNotYetInForce(await patch(id, { url: `https://crm.example.com/${name}` }));
    }
    pushing.broken = false;
    await ring(registry());
    await accept(id, await newEvents(1));
    await deliverAll(id, clock);
    expect(service.requests.map(({ url }) => url)).toEqual(["https://crm.example.com/c"]);
    expect(await alarmAt(registry())).toBeNull();
  });
});

describe("a change whose push arrives", () => {
  it("is in force for every attempt that starts after the answer", async () => {
    const { id } = await register();
    const late = holding();
    await accept(id, await newEvents(20));
    const running = ring(subscriber(id));
    await eventually(() => expect(service.requests).toHaveLength(6));
    expect((await patch(id, { url: "https://crm.example.com/new" })).status).toBe(200);
    late.open();
    await running;
    await deliverAll(id, clock);
    const urls = service.requests.map(({ url }) => url);
    expect(urls.slice(0, 6).every((url) => url.endsWith("/in"))).toBe(true);
    expect(urls.slice(6)).toHaveLength(14);
    expect(urls.slice(6).every((url) => url.endsWith("/new"))).toBe(true);
  });

  it("being a pause lets nothing start any more", async () => {
    const { id } = await register();
    const late = holding();
    await accept(id, await newEvents(20));
    const running = ring(subscriber(id));
    await eventually(() => expect(service.requests).toHaveLength(6));
    expect((await api("POST", `/v1/webhooks/${id}/pause`)).status).toBe(200);
    late.open();
    await running;
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(6);
    expect(await tally(id)).toEqual({ delivered: 6, pending: 14 });
  });

  it("is not pushed again by the alarm that stood by", async () => {
    await register();
    const pushing = await breakPushes();
    clock.advance(MINUTE);
    await ring(registry());
    expect(pushing.pushes).toBe(0);
    expect(await alarmAt(registry())).toBeNull();
  });
});

describe("a creation whose push fails", () => {
  it("is answered 201, and its events are delivered: the object asks for its settings", async () => {
    const pushing = await breakPushes();
    const { id, signingSecret } = await register();
    expect(signingSecret).toMatch(/^whsec_/);
    expect(pushing.pushes).toBe(1);
    await accept(id, await newEvents(3));
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(3);
    expect(await alarmAt(registry())).not.toBeNull();
    pushing.broken = false;
    await ring(registry());
    expect(await alarmAt(registry())).toBeNull();
    expect(await tally(id)).toEqual({ delivered: 3 });
  });
});

describe("a deletion whose push fails", () => {
  it("answers 503, and the object is emptied when the push arrives", async () => {
    const { id } = await register();
    await accept(id, await newEvents(3));
    const pushing = await breakPushes();
    await expectNotYetInForce(await api("DELETE", `/v1/webhooks/${id}`));
    expect((await api("GET", `/v1/webhooks/${id}`)).status).toBe(404);
    expect(await alarmAt(registry())).not.toBeNull();
    pushing.broken = false;
    await ring(registry());
    expect(await tablesOf(subscriber(id))).toEqual(["settings"]);
    expect(await alarmAt(registry())).toBeNull();
    await deliverAll(id, clock);
    expect(service.requests).toEqual([]);
  });

  it("is repeated after a crash of the Registry", async () => {
    const { id } = await register();
    await breakPushes();
    await expectNotYetInForce(await api("DELETE", `/v1/webhooks/${id}`));
    await abortAllDurableObjects();
    await ring(registry());
    expect(await tablesOf(subscriber(id))).toEqual(["settings"]);
  });
});

describe("an old version", () => {
  it("never replaces a newer one, however late it comes", async () => {
    const { id } = await register();
    const first = await settingsOf(id);
    expect((await patch(id, { url: "https://crm.example.com/new" })).status).toBe(200);
    const second = await settingsOf(id);
    expect(second.version).toBe(first.version + 1);
    expect(await subscriber(id).configure(first)).toBe(second.version);
    expect(
      await subscriber(id).configure({ ...second, url: "https://crm.example.com/same-version" }),
    ).toBe(second.version);
    await accept(id, await newEvents(1));
    await deliverAll(id, clock);
    expect(service.requests[0]?.url).toBe("https://crm.example.com/new");
  });

  it("does not revive a deleted webhook", async () => {
    const { id } = await register();
    const settings = await settingsOf(id);
    expect((await api("DELETE", `/v1/webhooks/${id}`)).status).toBe(204);
    await subscriber(id).configure(settings);
    await subscriber(id).configure({ ...settings, version: settings.version + 10 });
    const [event] = await newEvents(1);
    expect(await subscriber(id).accept({ deliveries: event ? [event] : [] })).toMatchObject({
      status: "deleted",
    });
    await abortAllDurableObjects();
    await subscriber(id).configure(settings);
    expect(await tablesOf(subscriber(id))).toEqual(["settings"]);
  });

  it("that is overtaken by a newer one leaves that in force, and acknowledged", async () => {
    const { id } = await register();
    const held = gate();
    let pushes = 0;
    await withBindings(registry(), ({ SUBSCRIBER }) => ({
      SUBSCRIBER: {
        getByName: (name: string) => ({
          configure: async (webhook: never) => {
            pushes += 1;
            if (pushes === 1) await held.opened;
            return SUBSCRIBER.getByName(name).configure(webhook);
          },
        }),
      },
    }));
    const older = patch(id, { url: "https://crm.example.com/older" });
    await eventually(() => expect(pushes).toBe(1));
    expect((await patch(id, { url: "https://crm.example.com/newer" })).status).toBe(200);
    held.open();
    expect((await older).status).toBe(200);
    await ring(registry());
    expect(await alarmAt(registry())).toBeNull();
    await accept(id, await newEvents(1));
    await deliverAll(id, clock);
    expect(service.requests[0]?.url).toBe("https://crm.example.com/newer");
  });
});

describe("a change that the disk does not take whole", () => {
  it.each(["INSERT INTO routing", "INSERT OR REPLACE INTO audit"])(
    "is not made at all, now or after a restart: %s",
    async (start) => {
      const { id } = await register();
      const message = "database or disk is full: SQLITE_FULL";
      await failStatements(registry(), { start, message, times: 1 });
      const removed = await api("DELETE", `/v1/webhooks/${id}`);
      expect(removed.status).toBe(503);
      await evictDurableObject(registry());
      expect((await shown(id)).status).toBe("active");
      expect((await api("DELETE", `/v1/webhooks/${id}`)).status).toBe(204);
    },
  );
});

describe("a deletion of which the webhook's disk does not take all", () => {
  it("leaves its object as it is, until it is pushed again", async () => {
    const { id } = await register();
    const events = await newEvents(2);
    await accept(id, events);
    await deliverAll(id, clock);
    const tables = await tablesOf(subscriber(id));
    const message = "disk I/O error: SQLITE_IOERR";
    await failStatements(subscriber(id), { start: 'DROP TABLE "run"', message, times: 1 });
    await expectNotYetInForce(await api("DELETE", `/v1/webhooks/${id}`));
    expect(await tablesOf(subscriber(id))).toEqual(tables);
    expect(await tally(id)).toEqual({ delivered: 2 });
    await ring(registry());
    expect(await tablesOf(subscriber(id))).toEqual(["settings"]);
  });
});

describe("an acknowledgement that the disk does not take", () => {
  const message = "disk I/O error: SQLITE_IOERR";

  it("is asked for again by alarm, which does not fail by it", async () => {
    const { id } = await register();
    const start = "UPDATE webhooks SET acknowledged";
    await failStatements(registry(), { start, message, times: 2 });
    await expectNotYetInForce(await patch(id, { description: "new" }));
    await ring(registry());
    expect(await unacknowledged()).toEqual([id]);
    expect(await alarmAt(registry())).not.toBeNull();
    await ring(registry());
    expect(await unacknowledged()).toEqual([]);
    expect(await alarmAt(registry())).toBeNull();
  });

  it("is asked for again also of a deletion: the last that is stored of the webhook goes", async () => {
    const { id } = await register();
    await failStatements(registry(), { start: "DELETE FROM webhooks", message, times: 1 });
    await expectNotYetInForce(await api("DELETE", `/v1/webhooks/${id}`));
    expect(await unacknowledged()).toEqual([id]);
    await ring(registry());
    expect(await unacknowledged()).toEqual([]);
  });

  /** The webhooks whose last change the Registry does not know to be in force, as stored. */
  function unacknowledged(): Promise<unknown[]> {
    const query = "SELECT id FROM webhooks WHERE acknowledged < version";
    return inObject(registry(), ({ storage }) =>
      storage.sql
        .exec(query)
        .toArray()
        .map(({ id }) => id),
    );
  }
});

describe("an object that was taken back to a point in time", () => {
  /** What docs/operations.md has the object do as it starts with its data of then. */
  async function startAsOfThen(stub: Stub, table: string): Promise<void> {
    const [statement] = new RegExp(`UPDATE ${table} [^"]+`).exec(operations) ?? [];
    await inObject(stub, ({ storage }) => void storage.sql.exec(statement ?? ""));
    await evictDurableObject(stub as DurableObjectStub);
  }

  it("holds what is its webhook's until it is resumed, then goes by the settings of now", async () => {
    const { id } = await register();
    const { webhook } = await inObject(subscriber(id), ({ storage: { sql } }) =>
      sql.exec<{ webhook: string }>("SELECT webhook FROM settings").one(),
    );
    await patch(id, { url: "https://new.example.com/in" });
    await api("POST", `/v1/webhooks/${id}/pause`);
    await accept(id, await newEvents(1));
    await inObject(subscriber(id), ({ storage: { sql } }) => {
      sql.exec("UPDATE settings SET version = 1, webhook = ?", webhook);
    });
    await startAsOfThen(subscriber(id), "settings");
    await deliverAll(id, clock);
    expect(service.requests).toEqual([]);
    await api("POST", `/v1/webhooks/${id}/resume`);
    await deliverAll(id, clock);
    expect(service.requests.map(({ url }) => url)).toEqual(["https://new.example.com/in"]);
  });

  it("as the Registry has every webhook go by its settings of then", async () => {
    const { id } = await register();
    const { data } = await inObject(registry(), ({ storage: { sql } }) =>
      sql.exec<{ data: string }>("SELECT data FROM webhooks").one(),
    );
    await api("POST", `/v1/webhooks/${id}/pause`);
    await accept(id, await newEvents(1));
    await inObject(registry(), ({ storage: { sql } }) => {
      sql.exec("UPDATE webhooks SET version = 1, acknowledged = 1, data = ?", data);
    });
    await startAsOfThen(registry(), "webhooks");
    expect((await shown(id)).status).toBe("active");
    await ring(registry());
    await deliverAll(id, clock);
    expect(await tally(id)).toEqual({ delivered: 1 });
    expect((await api("POST", `/v1/webhooks/${id}/pause`)).status).toBe(200);
    await accept(id, await newEvents(1));
    await deliverAll(id, clock);
    expect(await tally(id)).toEqual({ delivered: 1, pending: 1 });
  });
});
