import { abortAllDurableObjects, evictDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect } from "vitest";
import { laneName } from "../../src/domain/placement";
import { sweep } from "../../src/sweep";
import { eventually } from "../rig/eventually";
import {
  accept,
  alarmAt,
  deliverAll,
  deliveryOf,
  newEvents,
  type Owed,
  pause,
  register,
  registry,
  resume,
  ring,
  subscriber,
  tally,
} from "../rig/worker/engine";
import { clock, holding, it, log, MINUTE, SECOND, service } from "../rig/worker/fixture";
import { failStatements, inObject, withVariables } from "../rig/worker/objects";
import { consume } from "../rig/worker/queue";

/** From now on the disk does not take what becomes of these deliveries, whoever writes it, over a restart too. */
async function breakRows(id: string, events: readonly Owed[]): Promise<void> {
  const ids = events.map((event) => `'${event.id}'`).join();
  await inObject(subscriber(id), ({ storage: { sql } }) => {
    const [table] = sql
      .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE name GLOB 'deliveries_*'")
      .toArray();
    sql.exec(
      `CREATE TRIGGER broken BEFORE UPDATE ON ${table?.name} WHEN new.id IN (${ids}) BEGIN SELECT raise(FAIL, 'disk I/O error'); END`,
    );
  });
}

async function mendRows(id: string): Promise<void> {
  await inObject(subscriber(id), ({ storage }) => void storage.sql.exec("DROP TRIGGER broken"));
}

const said = (happening: string) =>
  log.lines().filter((line) => line.happening === happening).length;

const sentFor = ({ id }: Owed) => service.ids().filter((each) => each === id).length;

describe("a table of which the disk does not take all, nor that it goes again", () => {
  it("is made with the next arrival, also after a restart", async () => {
    const { id } = await register();
    const [event] = (await newEvents(1)) as [Owed];
    const message = "disk I/O error: SQLITE_IOERR";
    await failStatements(subscriber(id), { start: "CREATE INDEX retry", message, times: 1 });
    await failStatements(subscriber(id), { start: "DROP TABLE", message, times: 1 });
    await consume([event.body]);
    expect(await tally(id)).toEqual({});
    await evictDurableObject(subscriber(id));
    await consume([event.body]);
    await deliverAll(id, clock);
    expect(await tally(id)).toEqual({ delivered: 1 });
  });
});

describe("an outcome that the disk does not take", () => {
  it("keeps no other delivery, is told, and is written as it was when the disk takes it", async () => {
    const { id } = await register();
    const [broken, ...others] = (await newEvents(30)) as [Owed, ...Owed[]];
    await accept(id, [broken, ...others]);
    await breakRows(id, [broken]);
    await deliverAll(id, clock);
    expect(await tally(id)).toEqual({ delivered: 29, pending: 1 });
    expect(said("outcome.not_written")).toBeGreaterThan(0);
    expect(await subscriber(id).check()).toMatchObject({ unwritten: 1 });
    await mendRows(id);
    clock.advance(MINUTE);
    await deliverAll(id, clock);
    expect(await tally(id)).toEqual({ delivered: 30 });
    expect((await deliveryOf(id, broken.id)).attemptLog).toMatchObject([
      { number: 1, error: null, statusCode: 204 },
    ]);
    expect(service.requests).toHaveLength(30);
    expect(await subscriber(id).check()).toMatchObject({ unwritten: 0 });
  });

  it("is written again after one second to a minute, and rings no alarm before", async () => {
    const { id } = await register();
    const events = await newEvents(1);
    await accept(id, events);
    await breakRows(id, events);
    const waits: number[] = [];
    for (let runs = 0; runs < 9; runs++) {
      await ring(subscriber(id));
      const ringsAtMs = (await alarmAt(subscriber(id))) ?? 0;
      waits.push(Math.round((ringsAtMs - clock.nowMs()) / SECOND));
      clock.setTo(ringsAtMs);
    }
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60]);
    expect(said("outcome.not_written")).toBe(9);
    expect(service.requests).toHaveLength(1);
  });

  it("is interrupted by a crash, before what has not started: it goes out again, and nothing else twice", async () => {
    const { id } = await register();
    const [broken, ...others] = (await newEvents(12)) as [Owed, ...Owed[]];
    await accept(id, [broken, ...others]);
    await breakRows(id, [broken]);
    await deliverAll(id, clock);
    await mendRows(id);
    await abortAllDurableObjects();
    await deliverAll(id, clock);
    expect(await tally(id)).toEqual({ delivered: 12 });
    expect((await deliveryOf(id, broken.id)).attemptLog).toMatchObject([
      { number: 1, error: "interrupted" },
      { number: 2, error: null },
    ]);
    expect(sentFor(broken)).toBe(2);
    expect(service.requests).toHaveLength(13);
  });

  it("is interrupted by a crash, also where the Lane that reported it was told that it is known", async () => {
    const { id } = await register({ concurrency: 12 });
    const lane = env.LANE.getByName(laneName(id, 0));
    const events = await newEvents(12);
    await accept(id, events);
    const late = holding();
    const running = [ring(subscriber(id))];
    await eventually(async () => expect(await alarmAt(lane)).not.toBeNull());
    running.push(ring(lane));
    await eventually(() => expect(service.requests).toHaveLength(12));
    // So that the Lane remembers the share when it has no more of it.
    expect((await pause(id)).status).toBe(200);
    await breakRows(id, events);
    late.open();
    await Promise.all(running);
    expect(await subscriber(id).check()).toMatchObject({ unwritten: 12 });
    await mendRows(id);
    await evictDurableObject(subscriber(id));
    expect((await resume(id)).status).toBe(200);
    await eventually(async () => {
      const going = Promise.all([deliverAll(id, clock), ring(lane)]);
      await Promise.race([going, scheduler.wait(SECOND)]);
      clock.advance(5 * SECOND);
      expect(await tally(id)).toEqual({ delivered: 12 });
    });
    for (const event of events) {
      expect((await deliveryOf(id, event.id)).attemptLog).toMatchObject([
        { number: 1, error: "interrupted" },
        { number: 2, error: null },
      ]);
    }
    expect(service.requests).toHaveLength(24);
  });

  it("keeps no object from starting, and the others go on", async () => {
    const { id } = await register();
    const [broken, ...others] = (await newEvents(12)) as [Owed, ...Owed[]];
    await accept(id, [broken, ...others]);
    await breakRows(id, [broken]);
    await deliverAll(id, clock);
    await abortAllDurableObjects();
    const more = await newEvents(5);
    await accept(id, more);
    await deliverAll(id, clock);
    expect(await tally(id)).toEqual({ delivered: 16, pending: 1 });
    expect(await subscriber(id).check()).toMatchObject({ unwritten: 1 });
    await mendRows(id);
    clock.advance(MINUTE);
    await deliverAll(id, clock);
    expect(await tally(id)).toEqual({ delivered: 17 });
    expect(sentFor(broken)).toBe(2);
  });

  it("holds what comes behind it where the order counts", async () => {
    const { id } = await register({ ordered: true });
    const events = await newEvents(3);
    const [first] = events as [Owed];
    await accept(id, events);
    await breakRows(id, [first]);
    await deliverAll(id, clock);
    expect(service.ids()).toEqual([first.id]);
    await mendRows(id);
    clock.advance(MINUTE);
    await deliverAll(id, clock);
    expect(service.ids()).toEqual(events.map((event) => event.id));
  });

  it("lets nothing start any more with more than ten, until the disk takes them", async () => {
    const { id } = await register();
    const broken = await newEvents(11);
    const others = await newEvents(20);
    await accept(id, [...broken, ...others]);
    await breakRows(id, broken);
    await deliverAll(id, clock);
    const sent = service.requests.length;
    expect(sent).toBeLessThan(31);
    expect(await subscriber(id).check()).toMatchObject({ unwritten: 11 });
    clock.advance(MINUTE);
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(sent);
    await mendRows(id);
    clock.advance(MINUTE);
    await deliverAll(id, clock);
    expect(await tally(id)).toEqual({ delivered: 31 });
    expect(service.requests).toHaveLength(31);
  });

  it("leaves no echo of what is erased before it is written", async () => {
    const { id } = await register();
    const events = await newEvents(1, { lead: { email: "ava@acmecorp.com" } });
    const [event] = events as [Owed];
    service.answer = async ({ body }) => new Response(body.slice(), { status: 500 });
    await accept(id, events);
    await breakRows(id, events);
    await ring(subscriber(id));
    await mendRows(id);
    expect(await subscriber(id).eraseMany([event.id])).toBe(1);
    clock.advance(MINUTE);
    await deliverAll(id, clock);
    const delivery = await subscriber(id).delivery(event.id);
    expect(delivery).toMatchObject({ status: "cancelled", lastError: "erased", attempts: 1 });
    expect(JSON.stringify(delivery)).not.toContain("ava@acmecorp.com");
  });

  it("is told by an alert of the sweep", async () => {
    const { id } = await register();
    const events = await newEvents(1);
    await accept(id, events);
    await breakRows(id, events);
    await ring(subscriber(id));
    await withVariables(registry(), { ALERT_URL: "https://alerts.example.com/hook" });
    await sweep({ ...env, SILENCE_ALERT: "off" });
    await registry().sendAlerts();
    const told = service.requests.filter(({ url }) => url.startsWith("https://alerts."));
    expect(told.map(({ body }) => new TextDecoder().decode(body))).toEqual([
      expect.stringContaining("cannot write down what came of an attempt"),
    ]);
  });
});
