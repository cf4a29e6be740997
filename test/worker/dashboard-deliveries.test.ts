/** /dashboard/deliveries and the page of one delivery. */
import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { describe, expect, vi } from "vitest";
import { Subscriber } from "../../src/actors/subscriber/subscriber";
import { configOf } from "../../src/config";
import { parseLocalTime } from "../../src/dashboard/ui/time-range";
import { eventually } from "../rig/eventually";
import {
  it,
  lastAudited,
  leadsTo,
  rowsOf,
  signedIn,
  textOf,
  visitor,
} from "../rig/worker/dashboard";
import {
  deliverAll,
  deliveryOf,
  eventOf,
  newEvent,
  newEvents,
  type Owed,
  register,
  ring,
  type ShownWebhook,
  subscriber,
} from "../rig/worker/engine";
import { answering, clock, DAY, HOUR, holding, MINUTE, service } from "../rig/worker/fixture";
import { inObject } from "../rig/worker/objects";
import { consume } from "../rig/worker/queue";
import { api, READ_ONLY_API_KEY } from "../rig/worker/requests";

const LIST = "/dashboard/deliveries";
const MARKUP = '<img src=x onerror="alert(1)">';
const ESCAPED = "&lt;img src=x onerror=&quot;alert(1)&quot;&gt;";

const listed = async (query = "", path = LIST) => rowsOf(await textOf(path + query));

const pathOf = (webhook: { id: string }, event: { id: string }) =>
  `/dashboard/webhooks/${webhook.id}/deliveries/${event.id}`;

/** A delivery that failed for good. */
async function undeliverable(
  fields: Record<string, unknown> = {},
): Promise<{ webhook: ShownWebhook; event: Owed }> {
  const webhook = await register({ retrySchedule: "1s", ...fields });
  const event = await newEvent();
  service.answer = () => new Response(`<b>no</b> ${MARKUP}`, { status: 503 });
  await consume([event]);
  await deliverAll(webhook.id, clock);
  clock.advance(MINUTE);
  await deliverAll(webhook.id, clock);
  return { webhook, event };
}

describe("the list of deliveries", () => {
  it("says what to do next where there is none yet", async () => {
    expect(await textOf(LIST)).toContain('href="/dashboard/webhooks/new"');
    const { id } = await register();
    expect(await textOf(LIST)).toContain("No delivery yet");
    expect(await textOf(`${LIST}?webhook=${id}`)).toContain(`href="/dashboard/webhooks/${id}"`);
    expect(await textOf(`${LIST}?status=pending`)).toContain("No delivery is like that");
    const gone = await textOf(`${LIST}?webhook=wh_00000000000000000000000000`);
    expect(gone).toContain("There is no such webhook");
  });

  it("is narrowed by a webhook's name as by its id", async () => {
    const { id } = await register({ name: "crm" });
    await register();
    const event = await newEvent();
    await consume([event]);
    const page = await textOf(`${LIST}?webhook=crm`);
    expect(rowsOf(page)).toEqual([`${id}/${event.id}`]);
    expect(page).toContain(`<option value="${id}" selected`);
  });

  it("tells webhooks apart that are called alike, where one is chosen", async () => {
    const [one, two] = [await register(), await register()];
    const named = await register({ name: "crm" });
    const page = await textOf(LIST);
    for (const { id } of [one, two]) {
      expect(page).toMatch(new RegExp(`<option value="${id}"[^>]*>[^<]+: ${id}</option>`));
    }
    expect(page).toMatch(new RegExp(`<option value="${named.id}"[^>]*>crm</option>`));
  });

  it("shows the newest over all webhooks, and with one chosen its own, page by page", async () => {
    const [first, second] = [await register(), await register({ events: ["campaign.started"] })];
    const old = await newEvents(51);
    await consume(old);
    clock.advance(MINUTE);
    const event = await eventOf("campaign.started", { n: 1 });
    await consume([event]);
    const page = await textOf(LIST);
    const newest = [`${first.id}/${event.id}`, `${second.id}/${event.id}`];
    expect(rowsOf(page)).toHaveLength(50);
    expect(rowsOf(page).slice(0, 2).sort()).toEqual([...newest].sort());
    const [, older = ""] = /rel="next" href="([^"]+)"/.exec(page) ?? [];
    expect(rowsOf(await textOf(older.replaceAll("&amp;", "&")))).toHaveLength(3);
    expect(await listed(`?webhook=${second.id}`)).toEqual([newest[1]]);

    const one = await textOf(`${LIST}?webhook=${first.id}&event=message.sent`);
    const [, next = ""] = /rel="next" href="([^"]+)"/.exec(one) ?? [];
    const rest = await textOf(next.replaceAll("&amp;", "&"));
    expect(rowsOf(one)).toHaveLength(50);
    expect(rowsOf(rest)).toEqual([`${first.id}/${old[0]?.id}`]);
    expect(one).toContain("data-follows");
    expect(rest).not.toContain("data-follows");
  });

  it("narrows by webhook, status, event and time; what makes no sense counts as not asked", async () => {
    const { webhook, event: failed } = await undeliverable();
    service.answer = answering(204);
    clock.advance(2 * HOUR);
    const started = await eventOf("campaign.started", { n: 2 });
    await consume([started]);
    await deliverAll(webhook.id, clock);
    const [old, fresh] = [`${webhook.id}/${failed.id}`, `${webhook.id}/${started.id}`];
    for (const chosen of ["", `&webhook=${webhook.id}`]) {
      const of = (query: string) => listed(`?${query}${chosen}`);
      expect(await of("status=undeliverable")).toEqual([old]);
      expect(await of("status=delivered")).toEqual([fresh]);
      expect(await of("event=campaign.started")).toEqual([fresh]);
      expect(await of("within=hour")).toEqual([fresh]);
      expect(await of("within=day")).toEqual([fresh, old]);
      expect(await of("statusCode=503&error=status")).toEqual([old]);
      expect(await of("statusCode=503&error=timeout")).toEqual([]);
      expect(await of("attempted=true")).toEqual([fresh, old]);
      expect(await of("attempted=false&statusCode=x&error=x")).toEqual([]);
      const minute = new Date(clock.nowMs() - HOUR).toISOString().slice(0, 16);
      expect(await of(`until=${minute}`)).toEqual([old]);
      expect(await of(`since=${minute}`)).toEqual([fresh]);
      expect(await of("status=x&event=a%20b&within=x&since=x&until=x&more=x")).toEqual([
        fresh,
        old,
      ]);
    }
    const bad = await visitor.get(`${LIST}?webhook=${webhook.id}&cursor=x`);
    expect(bad.status).toBe(422);
  });

  it("says what of a search it does not look for: the list is longer than was asked for, and can be ticked", async () => {
    await undeliverable();
    const page = await textOf(`${LIST}?statusCode=5xx&event=a%20b&status=undeliverable`);
    expect(rowsOf(page)).toHaveLength(1);
    expect(page).toMatch(
      /role="alert"><bdi>5xx<\/bdi> is not looked for: <code>statusCode<\/code> must be a status/,
    );
    expect(page).toMatch(
      /role="alert"><bdi>a b<\/bdi> is not looked for: <code>event<\/code> must be 1 to 128/,
    );
    expect(await textOf(`${LIST}?statusCode=503&status=undeliverable`)).not.toContain(
      "not looked for",
    );
  });

  it.each(["opened", "ended", "since", "until"])(
    "says so of `%s` that is no time",
    async (name) => {
      await undeliverable();
      const page = await textOf(`${LIST}?${name}=2026-02-30T10:00`);
      expect(rowsOf(page)).toHaveLength(1);
      expect(page).toContain(
        `role="alert"><bdi>2026-02-30T10:00</bdi> is not looked for: <code>${name}</code> must be a date`,
      );
      expect(await textOf(`${LIST}?${name}=2026-02-28T10:00`)).not.toContain("not looked for");
    },
  );

  it("takes a time and a span with blanks around them, and says of a span that there is not", async () => {
    await undeliverable();
    expect(rowsOf(await textOf(`${LIST}?since=%202999-01-01T10:00`))).toEqual([]);
    expect(rowsOf(await textOf(`${LIST}?until=2001-01-01T10:00%20`))).toEqual([]);
    clock.advance(2 * HOUR);
    expect(rowsOf(await textOf(`${LIST}?within=%20hour`))).toEqual([]);
    expect(await textOf(`${LIST}?within=year`)).toContain(
      "<bdi>year</bdi> is not looked for: <code>within</code> must be hour or day or week or month",
    );
  });

  it("shows the attempts of a webhook, the newest first, with the way to each delivery", async () => {
    const { webhook, event } = await undeliverable();
    const path = `/dashboard/webhooks/${webhook.id}/attempts`;
    const { attempts } = (await deliveryOf(webhook.id, event.id)) as { attempts: number };
    const numbers = Array.from({ length: attempts }, (_, index) => attempts - index);
    expect(await listed("", path)).toEqual(numbers.map((number) => `${event.id}/${number}`));
    expect(await textOf(path)).toContain(`/webhooks/${webhook.id}/deliveries/${event.id}"`);
    expect((await visitor.get(`${path}?cursor=x`)).status).toBe(422);
    expect((await visitor.get("/dashboard/webhooks/wh_1/attempts")).status).toBe(404);
  });

  it("lists what was tried again among what was received since, by when each attempt started", async () => {
    const webhook = await register({ retrySchedule: "1h 1h" });
    const [old, fresh] = [await newEvent(), await newEvent()];
    const send = async (status: number, events: Owed[]) => {
      service.answer = answering(status);
      await consume(events);
      await ring(subscriber(webhook.id));
    };
    await send(503, [old]);
    clock.advance(30 * MINUTE);
    await send(200, [fresh]);
    clock.advance(40 * MINUTE);
    await send(503, []);
    const newest = await newEvent();
    clock.advance(MINUTE);
    await send(200, [newest]);
    const path = `/dashboard/webhooks/${webhook.id}/attempts`;
    expect(await listed("", path)).toEqual([
      `${newest.id}/1`,
      `${old.id}/2`,
      `${fresh.id}/1`,
      `${old.id}/1`,
    ]);
  });

  it("lists all attempts at a delivery where it was received in a period that 0.2.0 began", async () => {
    const { webhook, event } = await undeliverable();
    await inObject(subscriber(webhook.id), ({ storage: { sql } }) => {
      const like = "SELECT name FROM sqlite_master WHERE name GLOB 'attempts_*'";
      for (const { name } of sql.exec<{ name: string }>(like).toArray())
        sql.exec(`DROP TABLE ${name}`);
    });
    await evictDurableObject(subscriber(webhook.id));
    service.answer = answering(200);
    const path = `/dashboard/webhooks/${webhook.id}`;
    await api("POST", `/v1/webhooks/${webhook.id}/deliveries/${event.id}/retry`);
    await deliverAll(webhook.id, clock);
    const [third, second, first] = [3, 2, 1].map((number) => `${event.id}/${number}`);
    expect(await listed("", `${path}/attempts`)).toEqual([third, second, first]);
  });

  it("lists all attempts where their delivery was received once 0.2.0, rolled back to, has made some", async () => {
    const { webhook, event } = await undeliverable();
    await api("POST", `/v1/webhooks/${webhook.id}/deliveries/${event.id}/retry`);
    await deliverAll(webhook.id, clock);
    await inObject(subscriber(webhook.id), ({ storage: { sql } }) => {
      const like = "SELECT name FROM sqlite_master WHERE name GLOB 'attempts_*'";
      const [{ name } = { name: "" }] = sql.exec<{ name: string }>(like).toArray();
      // It does not write down what it tries, and keeps of the row what it does not know.
      sql.exec(`DELETE FROM ${name} WHERE seq = (SELECT max(seq) FROM ${name})`);
      for (const field of ["$.saved", "$.endedAsOf"])
        sql.exec(
          "UPDATE run SET state = json_set(state, ?, json_extract(state, ?) + 1)",
          field,
          field,
        );
    });
    await evictDurableObject(subscriber(webhook.id));
    const all = [3, 2, 1].map((number) => `${event.id}/${number}`);
    expect(await listed("", `/dashboard/webhooks/${webhook.id}/attempts`)).toEqual(all);
  });

  it("lists attempts before a backlog that nobody has tried yet, however long it is", async () => {
    const webhook = await register();
    const tried = await newEvent();
    await consume([tried]);
    await ring(subscriber(webhook.id));
    await api("POST", `/v1/webhooks/${webhook.id}/pause`);
    for (let batch = 0; batch < 11; batch++) await consume(await newEvents(100));
    expect(await listed("", `/dashboard/webhooks/${webhook.id}/attempts`)).toEqual([
      `${tried.id}/1`,
    ]);
  });

  it("leads from the last attempts to the last failure on another page", async () => {
    const webhook = await register({ retrySchedule: "1h" });
    const old = await newEvent();
    service.answer = answering(503);
    await consume([old]);
    await ring(subscriber(webhook.id));
    service.answer = answering(200);
    await consume(await newEvents(50));
    await ring(subscriber(webhook.id));
    const path = `/dashboard/webhooks/${webhook.id}/attempts`;
    const first = await textOf(path);
    expect(rowsOf(first)).toHaveLength(50);
    expect(first).toMatch(
      new RegExp(
        `The last failure, <time[^>]*>[^<]*</time>, was of <a href="${pathOf(webhook, old)}"`,
      ),
    );
    const [, next = ""] = /rel="next" href="([^"]+)"/.exec(first) ?? [];
    const second = await textOf(next.replaceAll("&amp;", "&"));
    expect(rowsOf(second)).toEqual([`${old.id}/1`]);
    expect(second).not.toContain("The last failure");
  });

  it("leads to the last failure behind however many successes, one of the same delivery among them", async () => {
    const webhook = await register({ retrySchedule: "1h" });
    const old = await newEvent();
    service.answer = answering(503);
    await consume([old]);
    await ring(subscriber(webhook.id));
    clock.advance(MINUTE);
    service.answer = answering(200);
    await consume(await newEvents(50));
    await ring(subscriber(webhook.id));
    clock.advance(MINUTE);
    await visitor.post(`${pathOf(webhook, old)}/retry`);
    const first = await textOf(`/dashboard/webhooks/${webhook.id}/attempts`);
    expect(rowsOf(first)[0]).toBe(`${old.id}/2`);
    expect(rowsOf(first)).not.toContain(`${old.id}/1`);
    expect(first).toContain(`was of <a href="${pathOf(webhook, old)}"`);
  });

  it("shows nothing of a URL's query, and markup as text", async () => {
    const { webhook } = await undeliverable({
      url: "https://crm.example.com/in?token=very-secret",
      description: MARKUP,
    });
    await consume([await newEvent()]);
    const page = await textOf(LIST);
    expect(page).toContain(ESCAPED);
    expect(page).not.toContain("<img src=x");
    await api("PATCH", `/v1/webhooks/${webhook.id}`, { description: null });
    const unnamed = await textOf(LIST);
    expect(unnamed).toContain("crm.example.com/in?…");
    expect(unnamed).not.toContain("very-secret");
  });
});

describe("those that are selected", () => {
  it.each([{ ordered: false }, { ordered: true }])(
    "are not said to go now where nothing goes: %o",
    async ({ ordered }) => {
      const { id } = await register({ ordered });
      service.answer = answering(500);
      if (!ordered) await api("POST", `/v1/webhooks/${id}/pause`);
      const events = await newEvents(3);
      await consume(events);
      await deliverAll(id, clock);
      const made = service.requests.length;
      const delivery = `${id}/${events[2]?.id}`;
      const back = leadsTo(await visitor.post(`${LIST}/retry`, { delivery, back: LIST }));
      expect(back).toContain("done=retried&count=1");
      const said = /role="status">([^<]+)/.exec(await textOf(LIST))?.[1]?.trim();
      expect(said).toBe(
        "1 delivery retried: each goes out as soon as no hold, order or rate limit keeps it.",
      );
      await deliverAll(id, clock);
      expect(service.requests).toHaveLength(made);
    },
  );

  it("are retried, whatever their status, and each webhook's are written down", async () => {
    const { webhook, event } = await undeliverable();
    service.answer = answering(204);
    const other = await register({ url: "https://b.example.com/in" });
    const pending = await newEvent();
    await api("POST", `/v1/webhooks/${other.id}/pause`);
    await consume([pending]);
    await deliverAll(webhook.id, clock);
    const keys = [event, pending].map(({ id }) => `${webhook.id}/${id}`);
    const back = `${LIST}?status=undeliverable`;
    const answer = await visitor.post(`${LIST}/retry`, {
      delivery: [...keys, `${other.id}/${pending.id}`],
      back,
    });
    expect(answer.status).toBe(303);
    expect(leadsTo(answer)).toBe(`${back}&done=retried&count=3`);
    expect(await textOf(back)).toContain("3 deliveries retried: ");
    const { data } = await (await api("GET", "/v1/audit?limit=2")).json<{
      data: { action: string; webhookId: string; after: { eventIds: string[] } }[];
    }>();
    expect(new Map(data.map(({ webhookId, after }) => [webhookId, after.eventIds]))).toEqual(
      new Map([
        [webhook.id, expect.arrayContaining([event.id, pending.id])],
        [other.id, [pending.id]],
      ]),
    );
    expect(data.every(({ action }) => action === "delivery.retried")).toBe(true);
    await deliverAll(webhook.id, clock);
    expect(await deliveryOf(webhook.id, event.id)).toMatchObject({
      status: "delivered",
      attempts: 3,
    });
    expect(await deliveryOf(webhook.id, pending.id)).toMatchObject({ attempts: 2 });
  });

  it("are found in the journals of their days, and a payload that is gone is told", async () => {
    const { webhook, event } = await undeliverable();
    const erased = await newEvent();
    await consume([erased], { atMs: clock.nowMs() - 3 * DAY });
    await deliverAll(webhook.id, clock);
    await api("DELETE", `/v1/events/${erased.id}`);
    const retry = (...events: Owed[]) =>
      visitor.post(`${LIST}/retry`, { delivery: events.map(({ id }) => `${webhook.id}/${id}`) });
    const part = await retry(event, erased);
    expect(leadsTo(part)).toBe(`${LIST}?done=retried_in_part&count=1`);
    const none = await retry(erased);
    expect(leadsTo(none)).toBe(`${LIST}?failed=payload_gone`);
    expect(await deliveryOf(webhook.id, event.id)).toMatchObject({ status: "pending" });
  });

  it("are none when nothing is ticked, or nothing that could be", async () => {
    const { webhook } = await undeliverable();
    const before = await lastAudited();
    for (const delivery of [[], ["x"], [`${webhook.id}/x`], ["wh_x/evt_x"]]) {
      const answer = await visitor.post(`${LIST}/retry`, {
        delivery,
        back: "https://evil.example",
      });
      expect(leadsTo(answer)).toBe(`${LIST}?done=nothing_selected`);
    }
    const unknown = `wh_00000000000000000000000000/evt_00000000000000000000000000`;
    expect((await visitor.post(`${LIST}/retry`, { delivery: unknown })).status).toBe(404);
    expect(await lastAudited()).toEqual(before);
  });

  it.each([
    "//evil.example",
    "/dashboard/events",
    "/dashboard/deliveries/../audit",
    "/dashboard/deliveriesx",
  ])("do not lead back to %s", async (back) => {
    const answer = await visitor.post(`${LIST}/retry`, { back });
    expect(leadsTo(answer)).toBe(`${LIST}?done=nothing_selected`);
  });
});

describe("the page of a delivery", () => {
  it("shows each attempt with its answer as text, and what to do", async () => {
    const { webhook, event } = await undeliverable();
    const page = await textOf(pathOf(webhook, event));
    expect(page).toContain("The last attempt failed, and no other follows by itself");
    expect(page).toContain("put the service right, then retry");
    expect(page).toMatch(/Newest first\..*Attempt 2.*Attempt 1/s);
    expect(page).toContain("It answered 503");
    expect(page).toContain(`&lt;b&gt;no&lt;/b&gt; ${ESCAPED}`);
    expect(page).not.toContain("<img src=x");
    expect(page).not.toContain("data-follows");
  });

  it("says why one waits", async () => {
    const webhook = await register();
    const event = await newEvent();
    service.answer = answering(500);
    await consume([event]);
    await deliverAll(webhook.id, clock);
    const retried = await textOf(pathOf(webhook, event));
    expect(retried).toContain("The next attempt is");
    expect(retried).toContain("It is retried by itself; a retry by hand does not wait for that.");
    await api("POST", `/v1/webhooks/${webhook.id}/pause`);
    expect(await textOf(pathOf(webhook, event))).toContain("It waits: the webhook is paused");
    await api("POST", `/v1/webhooks/${webhook.id}/resume`);
    service.answer = answering(410);
    await api("POST", `/v1/webhooks/${webhook.id}/deliveries/${event.id}/retry`);
    await ring(subscriber(webhook.id));
    const page = await textOf(pathOf(webhook, event));
    expect(page).toContain("It waits: the webhook is disabled");
    expect(page).toContain("data-follows");
  });

  it("says nothing of its attempts that is over: a 410 before a success, a success before a failure", async () => {
    const webhook = await register({ giveUpOn: [422] });
    const event = await newEvent();
    service.answer = answering(410);
    await consume([event]);
    await deliverAll(webhook.id, clock);
    service.answer = answering(204);
    await api("POST", `/v1/webhooks/${webhook.id}/resume`);
    await deliverAll(webhook.id, clock);
    const page = await textOf(pathOf(webhook, event));
    expect(page).toContain("The service has it, since");
    expect(page).toContain("a delivery that is answered so disables its webhook");
    expect(page).not.toContain("the delivery waits");
    service.answer = answering(422);
    await api("POST", `/v1/webhooks/${webhook.id}/deliveries/${event.id}/retry`, { wait: true });
    const replayed = await textOf(pathOf(webhook, event));
    expect(replayed).toContain("undeliverable since");
    expect(replayed).not.toContain("Every attempt failed");
  });

  it("names no time for an answer that did not come in time: the webhook's may have changed", async () => {
    const webhook = await register({ timeout: "1s" });
    const event = await newEvent();
    service.answer = async () => {
      clock.advance(1_000);
      await scheduler.wait(1_500);
      throw new Error("it was given up");
    };
    await consume([event]);
    await deliverAll(webhook.id, clock);
    await api("PATCH", `/v1/webhooks/${webhook.id}`, { timeout: "30s" });
    const page = await textOf(pathOf(webhook, event));
    expect(page).toContain("No answer came in time. The service may have the event all the same.");
    expect(page).not.toContain("within 30 seconds");
  });

  it("blames a variable, and promises no resume, where the variable is what holds it", async () => {
    const webhook = await register();
    const event = await newEvent();
    service.answer = answering(500);
    await consume([event]);
    await deliverAll(webhook.id, clock);
    await runInDurableObject(subscriber(webhook.id), (object) => {
      vi.spyOn(
        configOf((object as unknown as { env: Env }).env),
        "delivery",
        "get",
      ).mockReturnValue(null);
    });
    const page = await textOf(pathOf(webhook, event));
    expect(page).toContain("or a variable of the relay has no usable value");
    expect(page).not.toContain("resumed");
  });

  it("puts the request together as it was sent, without what is secret", async () => {
    const webhook = await register({
      url: "https://crm.example.com/in?token=very-secret",
      headers: { Authorization: "Bearer very-secret-too" },
    });
    const event = await newEvent({ note: "it's <b>", big: 1 });
    await consume([event]);
    await deliverAll(webhook.id, clock);
    const [asked] = service.requests;
    const page = await textOf(pathOf(webhook, event));
    for (const [name, value] of asked?.headers ?? []) {
      const isSecret = name === "authorization" || name.endsWith("signature");
      expect(page).toContain(isSecret ? `${name}: ` : `${name}: ${value}\n`.trimEnd());
      if (isSecret) expect(page).not.toContain(value);
    }
    expect(page).toContain("POST https://crm.example.com/in?…");
    expect(page).toContain("&quot;note&quot;: &quot;it&#39;s &lt;b&gt;&quot;");
    expect(page).toContain("it&#39;\\&#39;&#39;s");
    expect(page).not.toContain("very-secret");
    expect(page).not.toContain(webhook.signingSecret);
  });

  it("offers nothing that could not reach it: a listener that is away has no address, and no attempt starts", async () => {
    const webhook = await register({ url: "listener:" });
    const event = await newEvent();
    await consume([event]);
    const page = await textOf(pathOf(webhook, event));
    expect(page).toContain("POST listener:");
    expect(page).not.toContain("curl");
    expect(page).not.toContain("Try now");
    expect(page).toContain("says why it is held; once that is over, this goes out.");
  });

  it("is tried at once, and its page shows what came of it", async () => {
    const { webhook, event } = await undeliverable();
    service.answer = () => new Response("not yet", { status: 503, headers: { "x-node": "7" } });
    const answer = await visitor.post(`${pathOf(webhook, event)}/retry`);
    expect(leadsTo(answer)).toBe(`${pathOf(webhook, event)}?done=attempt_failed`);
    const page = await textOf(pathOf(webhook, event));
    expect(page).toContain("It was tried, and failed: what came of it stands below.");
    expect(page).toContain("x-node: 7");
    expect(page).toContain("not yet");
    expect(await lastAudited()).toMatchObject({
      action: "delivery.retried",
      webhookId: webhook.id,
      after: { eventId: event.id },
    });
    expect(await deliveryOf(webhook.id, event.id)).toMatchObject({ status: "pending" });
    service.answer = answering(204);
    const again = await visitor.post(`${pathOf(webhook, event)}/retry`);
    expect(leadsTo(again)).toBe(`${pathOf(webhook, event)}?done=attempt_worked&count=0`);
    expect(await deliveryOf(webhook.id, event.id)).toMatchObject({ status: "delivered" });
  });

  it("cancels one that waits; on one that is finished there is nothing to cancel", async () => {
    const webhook = await register();
    const event = await newEvent();
    await api("POST", `/v1/webhooks/${webhook.id}/pause`);
    await consume([event]);
    const path = pathOf(webhook, event);
    expect(await textOf(path)).toContain(`action="${path}/cancel"`);
    expect(await textOf(path)).toContain("As the first attempt will make it, by");
    // A retry would not make what is held leave.
    expect(await textOf(path)).not.toContain(`action="${path}/retry"`);
    const answer = await visitor.post(`${path}/cancel`);
    expect(leadsTo(answer)).toBe(`${path}?done=cancelled`);
    expect(await lastAudited()).toMatchObject({
      action: "delivery.cancelled",
      webhookId: webhook.id,
    });
    expect(await deliveryOf(webhook.id, event.id)).toMatchObject({ status: "cancelled" });
    const again = await visitor.post(`${path}/cancel`);
    expect(leadsTo(again)).toBe(`${path}?failed=not_pending`);
    expect(await textOf(path)).toContain("there is nothing to cancel");
    expect(await textOf(path)).toContain("As an attempt would make it, by");
    expect(await textOf(path)).not.toContain(`action="${path}/cancel"`);
  });

  it("says of one behind another that it waits for its turn, and not that it is held", async () => {
    service.answer = answering(503);
    const webhook = await register({ ordered: true });
    const [first, second] = [await newEvent(), await newEvent()];
    await consume([first]);
    await consume([second]);
    await deliverAll(webhook.id, clock);
    expect(await textOf(pathOf(webhook, first))).toContain("The next attempt is <time");
    const page = await textOf(pathOf(webhook, second));
    expect(page).toContain("It waits for the one before it, in order.");
    expect(page).toContain("<dd>behind another</dd>");
    expect(page).not.toMatch(/held|disabled/);
    expect(await textOf(LIST)).toContain(">behind another</td>");
  });

  it("says of one behind another what lets it go, and offers no attempt that could not start", async () => {
    service.answer = answering(503);
    const webhook = await register({ ordered: true });
    const [first, second] = [await newEvent(), await newEvent()];
    await consume([first, second]);
    await deliverAll(webhook.id, clock);
    const [before, behind] = [pathOf(webhook, first), pathOf(webhook, second)];
    expect(await textOf(before)).toContain("cancelling it lets them go");
    expect(await textOf(before)).toContain(`action="${before}/retry"`);
    const page = await textOf(behind);
    expect(page).not.toContain("cancelling it lets them go");
    expect(page).toContain("It goes out by itself once those before it have ended");
    expect(page).not.toContain(`action="${behind}/retry"`);
    expect(page).toContain(`action="${behind}/cancel"`);
  });

  it("says of an attempt that is about to come that it comes now, not that it just was", async () => {
    service.answer = answering(503);
    const webhook = await register();
    const event = await newEvent();
    await consume([event]);
    await deliverAll(webhook.id, clock);
    const { nextAttemptAt } = await deliveryOf(webhook.id, event.id);
    clock.advance(Date.parse(nextAttemptAt ?? "") - clock.nowMs() - 1_000);
    const page = await textOf(pathOf(webhook, event));
    expect(page).toMatch(/The next attempt is <time [^>]*data-ahead[^>]*>now \(\d\d:\d\d\)/);
  });

  it("waits for the attempt that is on its way, and retries nothing", async () => {
    const webhook = await register();
    const event = await newEvent();
    const late = holding();
    using waiting = vi.spyOn(Subscriber.prototype, "attemptOf");
    await consume([event]);
    const running = ring(subscriber(webhook.id));
    await eventually(() => expect(service.requests).toHaveLength(1));
    const page = await textOf(pathOf(webhook, event));
    expect(page).toContain("An attempt is under way.");
    expect(page).toContain("What comes of it shows up here by itself.");
    const answer = visitor.post(`${pathOf(webhook, event)}/retry`);
    await eventually(() => expect(waiting).toHaveBeenCalled());
    late.open();
    await running;
    expect(leadsTo(await answer)).toBe(`${pathOf(webhook, event)}?done=attempt_worked&count=0`);
    expect(service.requests).toHaveLength(1);
    expect(await lastAudited()).toMatchObject({ action: "webhook.created" });
  });

  it("is 404 for what is not there", async () => {
    const webhook = await register();
    const event = await newEvent();
    for (const [id, eventId] of [
      [webhook.id, event.id],
      [webhook.id, "x"],
      ["x", event.id],
      ["wh_00000000000000000000000000", event.id],
    ]) {
      const path = `/dashboard/webhooks/${id}/deliveries/${eventId}`;
      expect((await visitor.get(path)).status).toBe(404);
      expect((await visitor.post(`${path}/retry`)).status).toBe(404);
      expect((await visitor.post(`${path}/cancel`)).status).toBe(404);
    }
  });
});

describe("a key that only reads", () => {
  it("sees deliveries, no form that changes any, and changes none", async () => {
    const { webhook, event } = await undeliverable();
    const reader = await signedIn(READ_ONLY_API_KEY);
    const path = pathOf(webhook, event);
    for (const page of [await textOf(LIST, reader), await textOf(path, reader)]) {
      expect(page.match(/<form method="post" action="(?!\/dashboard\/sign-out)/g)).toBeNull();
      expect(page).not.toContain("checkbox");
    }
    expect(rowsOf(await textOf(LIST, reader))).toHaveLength(1);
    const key = `${webhook.id}/${event.id}`;
    for (const answer of [
      await reader.post(`${LIST}/retry`, { delivery: key }),
      await reader.post(`${path}/retry`),
      await reader.post(`${path}/cancel`),
    ]) {
      expect(answer.status).toBe(403);
    }
    expect(await deliveryOf(webhook.id, event.id)).toMatchObject({ status: "undeliverable" });
  });
});

describe("a time as a zone's clocks show it", () => {
  it.each([
    ["2026-01-15T12:00", "UTC", "2026-01-15T12:00:00Z"],
    ["2026-01-15T12:00", "Europe/Berlin", "2026-01-15T11:00:00Z"],
    ["2026-07-15T12:00:30", "Europe/Berlin", "2026-07-15T10:00:30Z"],
    ["2026-07-15T12:00", "Asia/Kathmandu", "2026-07-15T06:15:00Z"],
    // The clocks go forward at 2:00 on 29 March 2026: half past two does not exist.
    ["2026-03-29T01:59", "Europe/Berlin", "2026-03-29T00:59:00Z"],
    ["2026-03-29T02:30", "Europe/Berlin", "2026-03-29T01:30:00Z"],
    ["2026-03-29T03:00", "Europe/Berlin", "2026-03-29T01:00:00Z"],
    // And back at 3:00 on 25 October: half past two is there twice.
    ["2026-10-25T02:30", "Europe/Berlin", "2026-10-25T00:30:00Z"],
    ["2026-10-25T03:00", "Europe/Berlin", "2026-10-25T02:00:00Z"],
    ["2026-11-01T01:30", "America/Los_Angeles", "2026-11-01T08:30:00Z"],
    ["9999-12-31T23:59", "UTC", "9999-12-31T23:59:00Z"],
    ["9999-12-31T23:59", "Pacific/Honolulu", "+010000-01-01T09:59:00Z"],
    ["0000-01-01T00:00", "UTC", "0000-01-01T00:00:00Z"],
    ["0202-11-29T12:00", "UTC", "0202-11-29T12:00:00Z"],
  ])("%s in %s is %s", (text, zone, utc) => {
    expect(parseLocalTime(text, zone)).toBe(Date.parse(utc));
  });

  it.each([
    "",
    "x",
    "2026-01-15",
    "2026-02-30T12:00",
    "2026-01-15T25:00",
    "2026-13-01T00:00",
    "0000-00-00T00:00",
  ])("%j is none", (text) => {
    expect(parseLocalTime(text, "UTC")).toBeNull();
  });
});
