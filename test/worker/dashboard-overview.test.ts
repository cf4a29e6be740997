/** /dashboard: whether everything is all right, and what is not, the most urgent first. */
import { env, exports } from "cloudflare:workers";
import { beforeEach, describe, expect, vi } from "vitest";
import { remedyFor } from "../../src/dashboard/webhooks/late";
import {
  type AlertText,
  brokenRouteAlert,
  objectAlert,
  relayAlert,
  waitingLettersAlert,
  webhookAlert,
} from "../../src/domain/alert";
import { DEAD_LETTERS_NAME } from "../../src/domain/placement";
import type { Webhook } from "../../src/domain/webhook";
import type { WebhookStats } from "../../src/operations/stats";
import { sweep } from "../../src/sweep";
import { signedIn } from "../rig/worker/dashboard";
import {
  accept,
  deliverAll,
  eventOf,
  journal,
  newEvent,
  newEvents,
  newRoutingVersion,
  register,
  registry,
  ring,
  subscriber,
} from "../rig/worker/engine";
import { answering, clock, DAY, HOUR, it, MINUTE, SECOND, service } from "../rig/worker/fixture";
import { diverted, withVariables } from "../rig/worker/objects";
import { consume } from "../rig/worker/queue";
import { API_KEY, api, callWith, READ_ONLY_API_KEY } from "../rig/worker/requests";

const MARKUP = '"><svg onload=alert(1)>';

/** The way of an event through the relay, up to what it is answered. */
async function arrive(data: Record<string, unknown> = { name: "Autumn" }): Promise<string> {
  await newRoutingVersion();
  const event = await eventOf("campaign.started", data);
  await consume([event], { atMs: clock.nowMs() });
  return event.id;
}

async function overview(query = "", bindings?: object): Promise<string> {
  const { cookie, get } = await signedIn();
  const answer =
    bindings === undefined
      ? await get(`/dashboard${query}`)
      : await callWith(bindings, `/dashboard${query}`, { headers: { cookie } });
  expect(answer.status).toBe(200);
  return answer.text();
}

/** What stands in a region of the page, without its tags. */
function textOf(page: string, id: string): string {
  const start = page.indexOf(`id="${id}"`);
  expect(start, id).toBeGreaterThan(-1);
  const end = page.indexOf("data-live", start + id.length + 20);
  return page
    .slice(page.indexOf(">", start) + 1, end === -1 ? undefined : end)
    .replace(/<[^>]*>/g, " ")
    .replace(/\s+/g, " ");
}

type Shape = Record<"x" | "y" | "width" | "height" | "x1" | "y1", number>;

/** What the chart is drawn of, by the name of its class, in its order; and the numbers beside it. */
function drawnOn(page: string) {
  const shapes = new Map<string, Shape[]>();
  for (const [, name = "", attributes = ""] of page.matchAll(
    /<(?:rect|line) class="(\w+)"([^>]*)>/g,
  )) {
    const numbers = [...attributes.matchAll(/(\w+)="(-?[\d.]+)"/g)];
    const shape = Object.fromEntries(numbers.map(([, key, n]) => [key, Number(n)])) as Shape;
    shapes.set(name, [...(shapes.get(name) ?? []), shape]);
  }
  const numbers = [...page.matchAll(/<text class="tick"[^>]*>(\d+)</g)].map(([, n]) => Number(n));
  return { named: (name: string) => shapes.get(name) ?? [], numbers };
}

const bottom = ({ y, height }: Shape) => y + height;
const right = ({ x, width }: Shape) => x + width;

// At noon: a time of another day is told with its date.
beforeEach(() => clock.setTo(Math.floor(clock.nowMs() / DAY) * DAY + DAY + 12 * HOUR));

describe("the overview of a new relay", () => {
  it("leads with the three steps to the first event, and ticks what is done", async () => {
    const empty = await overview();
    expect(textOf(empty, "first-steps")).toContain("https://relay.example/webhooks/leadterra");
    expect(empty).toContain('href="/dashboard/webhooks/new"');
    expect(empty.match(/badge good">done/g)).toBeNull();
    expect(empty).not.toContain("All is well");
    await register();
    expect((await overview()).match(/badge good">done/g)).toHaveLength(1);
    await arrive();
    expect(await overview()).not.toContain("To the first event");
  });

  it("does not take a sample for an event of Leadterra's", async () => {
    const sent: Uint8Array[] = [];
    vi.spyOn(env.EVENTS, "send").mockImplementation(async (body) => {
      sent.push((body as Uint8Array).slice());
      return { metadata: { metrics: { backlogCount: 0, backlogBytes: 0 } } };
    });
    const visitor = await signedIn();
    await visitor.post("/dashboard/events/sample");
    await register();
    await consume(sent);
    const steps = textOf(await overview(), "first-steps");
    expect(steps).toMatch(/Connect Leadterra At Leadterra/);
    expect(steps).toMatch(/See the first event arrive done/);
    await arrive();
    expect(await overview()).not.toContain("To the first event");
  });

  it.each([
    ["campaign.started", { name: "Autumn" }],
    ["reply.received", { reply: { id: "rpl_1" } }],
  ])(
    "is connected for good by one event of Leadterra's, whatever samples come after it: %s",
    async (name, data) => {
      const sent: Uint8Array[] = [];
      vi.spyOn(env.EVENTS, "send").mockImplementation(async (body) => {
        sent.push((body as Uint8Array).slice());
        return { metadata: { metrics: { backlogCount: 0, backlogBytes: 0 } } };
      });
      const webhook = await register();
      await consume([await eventOf(name, data)], { atMs: clock.nowMs() });
      const visitor = await signedIn();
      for (let sample = 0; sample < 9; sample++) await visitor.post("/dashboard/events/sample");
      clock.advance(SECOND);
      await consume(sent, { atMs: clock.nowMs() });
      await deliverAll(webhook.id, clock);
      const page = await overview();
      expect(page).not.toContain("To the first event");
      expect(page).toContain("All is well");
    },
  );

  it("says on a laptop what is so there", async () => {
    const origin = "http://127.0.0.1:8787";
    const ask = (path: string, init: RequestInit) =>
      exports.default.fetch(new Request(`${origin}${path}`, { redirect: "manual", ...init }));
    const body = new URLSearchParams({ key: API_KEY });
    const answer = await ask("/dashboard/sign-in", { method: "POST", headers: { origin }, body });
    const cookie = (answer.headers.get("set-cookie") ?? "").split(";")[0] ?? "";
    const page = await (await ask("/dashboard", { headers: { cookie } })).text();
    const steps = textOf(page, "first-steps");
    expect(steps).toContain("LEADTERRA_SIGNING_SECRETS in .dev.vars");
    expect(steps).toMatch(/npm start prints request failed /);
    for (const not of ["Leadterra answered", "Connect Leadterra", "request.failed"]) {
      expect(steps).not.toContain(not);
    }
  });

  it("says that the signing secret is missing", async () => {
    const page = await overview("", { LEADTERRA_SIGNING_SECRETS: "" });
    expect(textOf(page, "condition")).toContain("LEADTERRA_SIGNING_SECRETS is missing");
    expect(textOf(page, "first-steps")).toContain("LEADTERRA_SIGNING_SECRETS");
  });

  it("offers a key that only reads no way to register", async () => {
    const page = await (await (await signedIn(READ_ONLY_API_KEY)).get("/dashboard")).text();
    expect(page).not.toContain('href="/dashboard/webhooks/new"');
  });
});

describe("an alert", () => {
  /** A relay that is well. */
  async function well() {
    const webhook = await register({ name: "crm" });
    await arrive();
    await deliverAll(webhook.id, clock);
    expect(await overview()).toContain("All is well");
    const registered = await registry().get(webhook.id);
    return registered as NonNullable<typeof registered>;
  }

  it("is a line of the overview until it is over, with its time and its webhook's page", async () => {
    const webhook = await well();
    const { id } = webhook;
    const soonMs = clock.nowMs() + 3 * HOUR;
    const said: [AlertText, string][] = [
      [webhookAlert(webhook, "unwritten", 2), "It cannot write down what came of 2 attempts."],
      [webhookAlert(webhook, "retention"), "It cannot drop what is past RETENTION."],
      [
        webhookAlert(webhook, "expiring", soonMs),
        "It has deliveries that are held and expire from in 2 hours",
      ],
      [brokenRouteAlert(id), `the filter of webhook ${id} is not understood`],
      [objectAlert("unreachable", `Subscriber ${id}`), `Subscriber ${id} does not answer.`],
      [
        objectAlert("unreachable", "DeadLetters dead-letters"),
        "DeadLetters dead-letters does not answer.",
      ],
      [objectAlert("unreachable", "Journal 2026-10-29"), "Journal 2026-10-29 does not answer."],
      [objectAlert("full", `Subscriber ${id}`), `Subscriber ${id} is full`],
      [objectAlert("full", "Journal 2026-11-29"), "Journal 2026-11-29 is full"],
      [relayAlert("full Registry"), "the Registry is nearly full"],
      [objectAlert("newer data", "Journal 2026-11-29"), "holds data of a newer release"],
    ];
    for (const [alert, text] of said) {
      await registry().report({ raised: [alert], looked: [], sinceMs: clock.nowMs() });
      const page = await overview();
      expect(textOf(page, "condition"), alert.cause).toContain(text);
      expect(textOf(page, "condition"), alert.cause).toMatch(/Found (just now|\d+ seconds? ago) /);
      expect(page, alert.cause).not.toContain("All is well");
      if (alert.cause.endsWith(id)) {
        const [, line] = page.split('aria-label="What needs somebody, worst first"');
        expect(line?.split("</ul>")[0], alert.cause).toContain(`"/dashboard/webhooks/${id}"`);
      }
      const stats = await (await api("GET", "/v1/stats")).json();
      expect(stats, alert.cause).toMatchObject({
        openAlerts: [{ ...alert, foundAt: expect.stringMatching(/Z$/) }],
      });
      clock.advance(11 * MINUTE);
      await registry().report({ raised: [], looked: [alert.cause], sinceMs: clock.nowMs() });
      expect(await overview(), alert.cause).toContain("All is well");
    }
  });

  it("that the page knows better of this moment is no line", async () => {
    const webhook = await well();
    const raised = [
      webhookAlert(webhook, "disabled", "gone"),
      webhookAlert(webhook, "failing", clock.nowMs()),
      webhookAlert(webhook, "overdue", clock.nowMs()),
      webhookAlert(webhook, "undeliverable", 2),
      waitingLettersAlert(1),
      relayAlert("expiring dead letters", clock.nowMs()),
      relayAlert("full DeadLetters"),
      relayAlert("misconfigured", ["RETENTION"]),
      relayAlert("silence", clock.nowMs()),
    ];
    await registry().report({ raised, looked: [], sinceMs: clock.nowMs() });
    expect(await overview()).toContain("All is well");
  });

  it("of a failure that is no state yet is a line: with waits of its own it is the first of its kind for long", async () => {
    const webhook = await register({ name: "slow", retrySchedule: "5h" });
    await arrive();
    await deliverAll(webhook.id, clock);
    service.answer = answering(500);
    await arrive();
    await deliverAll(webhook.id, clock);
    clock.advance(16 * MINUTE);
    await sweep(env);
    const said = textOf(await overview(), "condition");
    expect(said).toMatch(/ slow It is failing: its first failure was at 1[56] minutes ago/);
  });

  it("C5: carries no long description of its webhook, also where that was changed or its object does not answer", async () => {
    const long = (word: string) => `${`${word} (x) is `.repeat(100)}end`.slice(0, 1_000);
    const webhook = await register({ description: long("before") });
    const registered = await registry().get(webhook.id);
    if (registered === null) throw new Error("there is no webhook");
    const raised = [webhookAlert(registered, "expiring", clock.nowMs() + 3 * HOUR)];
    await registry().report({ raised, looked: [], sinceMs: clock.nowMs() });
    await arrive();
    await deliverAll(webhook.id, clock);
    const dead = diverted(env.SUBSCRIBER, { stats: () => Promise.reject(new Error("gone")) });
    const change = { description: long("after") };
    for (const look of [
      () => overview("", { SUBSCRIBER: dead }),
      async () => {
        expect((await api("PATCH", `/v1/webhooks/${webhook.id}`, change)).status).toBe(200);
        return overview();
      },
    ]) {
      const said = textOf(await look(), "condition");
      expect(said).toContain("has deliveries that are held and expire from");
      expect(said).not.toContain("before (x) is ".repeat(8));
      expect(said).not.toContain("after (x) is ".repeat(8));
    }
  });

  it("about dead letters that expire stands with them", async () => {
    await well();
    await consume([{ ...(await newEvent()), body: new TextEncoder().encode("no JSON") }], {
      atMs: clock.nowMs(),
    });
    const raised = [relayAlert("expiring dead letters", clock.nowMs() + HOUR)];
    await registry().report({ raised, looked: [], sinceMs: clock.nowMs() });
    expect(textOf(await overview(), "condition")).toMatch(
      / 1 dead letter could not be handed over: redrive or delete it\. dead letters expire from /,
    );
  });
});

describe("an object that does not answer", () => {
  it("is a line, while all the others are shown", async () => {
    await register({ name: "good" });
    const { id } = await register({ name: "dead" });
    const newer = await register({ name: "newer" });
    await arrive();
    const said = { failure: { code: "newer_data", object: `Subscriber ${newer.id}` } };
    const dead = diverted(env.SUBSCRIBER, { stats: () => Promise.reject(new Error("gone")) }, [id]);
    const page = await overview("", {
      SUBSCRIBER: diverted(dead, { stats: () => said }, [newer.id]),
    });
    expect(textOf(page, "condition")).toMatch(/ dead : The object does not answer\. See /);
    expect(textOf(page, "condition")).toContain(
      `newer : Subscriber ${newer.id} holds data of a newer release`,
    );
    expect(page).not.toContain("All is well");
    expect(textOf(page, "webhooks")).toContain("good");
  });

  it("has what its alerts say beside it", async () => {
    const { id } = await register({ name: "dead" });
    const webhook = await registry().get(id);
    if (webhook === null) throw new Error("there is no webhook");
    const raised = [webhookAlert(webhook, "expiring", clock.nowMs() + 3 * HOUR)];
    await registry().report({ raised, looked: [], sinceMs: clock.nowMs() });
    const dead = diverted(env.SUBSCRIBER, { stats: () => Promise.reject(new Error("gone")) }, [id]);
    const page = await overview("", { SUBSCRIBER: dead });
    expect(textOf(page, "condition")).toContain("has deliveries that are held and expire from");
  });

  it("is one line with what its webhook's alerts say", async () => {
    const { id } = await register({ name: "dead" });
    const webhook = await registry().get(id);
    if (webhook === null) throw new Error("there is no webhook");
    const raised = [webhookAlert(webhook, "expiring", clock.nowMs() + 3 * HOUR)];
    await registry().report({ raised, looked: [], sinceMs: clock.nowMs() });
    const dead = diverted(env.SUBSCRIBER, { stats: () => Promise.reject(new Error("gone")) }, [id]);
    const page = await overview("", { SUBSCRIBER: dead });
    expect(page.match(/<li class="notice/g)).toHaveLength(1);
    expect(textOf(page, "condition")).toMatch(
      / dead : The object does not answer\. .* It has deliveries that are held and expire from /,
    );
  });

  it("is a line where it is that of the dead letters", async () => {
    const webhook = await register();
    await arrive();
    await deliverAll(webhook.id, clock);
    const count = () => Promise.reject(new Error("gone"));
    const page = await overview("", {
      DEAD_LETTER_STORE: diverted(env.DEAD_LETTER_STORE, { stats: count }),
    });
    expect(textOf(page, "condition")).toMatch(/ Dead letters : The object does not answer\. See /);
    expect(textOf(page, "tiles")).toMatch(/Dead letters – look at them/);
  });
});

describe("a queue", () => {
  it("in which messages stay is a line, one through which they pass is none", async () => {
    const webhook = await register();
    await arrive();
    await deliverAll(webhook.id, clock);
    const queued = (oldestMs: number) => ({
      EVENTS: {
        metrics: async () => ({ backlogCount: 7, oldestMessageTimestamp: new Date(oldestMs) }),
      },
    });
    expect(await overview("", queued(clock.nowMs() - SECOND))).toContain("All is well");
    const page = await overview("", queued(clock.nowMs() - 3 * MINUTE));
    expect(textOf(page, "condition")).toMatch(
      / 7 messages wait in the queue of events, the oldest since \d\d:\d\d \(3 minutes ago\)/,
    );
    expect(textOf(page, "tiles")).toContain("7 in the queue");
  });
});

describe("a variable without a usable value", () => {
  it("is a line that says how many deliveries it holds", async () => {
    const webhook = await register({ description: "The CRM" });
    await accept(webhook.id, [await newEvent(), await newEvent()]);
    const stats = async (sinceMs: number) => {
      const said = await subscriber(webhook.id).stats(sinceMs);
      return { ...said, health: { ...said.health, state: "misconfigured" } };
    };
    const bad = { RETRY_SCHEDULE: "whenever", SILENCE_ALERT: "soon" };
    const page = await overview("", { ...bad, SUBSCRIBER: diverted(env.SUBSCRIBER, { stats }) });
    expect(textOf(page, "condition")).toMatch(
      /Configuration: RETRY_SCHEDULE must be [^.]*\. 2 deliveries of 1 webhook are held until then, and go out by themselves\. Configuration: SILENCE_ALERT must be [^.]*\. In and out/,
    );
  });
});

describe("the overview", () => {
  it("says that all is well, with the figures", async () => {
    const webhook = await register({ description: "The CRM" });
    const eventId = await arrive();
    await deliverAll(webhook.id, clock);
    for (const over of ["", "?over=hour", "?over=week", "?over=nonsense&x=1"]) {
      const page = await overview(over);
      expect(textOf(page, "condition")).toContain("All is well. 1 delivery in");
      expect(textOf(page, "tiles")).toMatch(/Events in 1 /);
      expect(textOf(page, "tiles")).toMatch(/Delivered 1 0 failed attempts/);
      expect(textOf(page, "tiles")).toMatch(/Success rate 100 %/);
      expect(page).toContain(". 1 event in, 1 delivered, 0 failed attempts");
      expect(page).toContain('href="/dashboard/deliveries?status=pending"');
      expect(page).toContain(`href="/dashboard/events/${eventId}"`);
      expect(textOf(page, "webhooks")).toContain("The CRM");
    }
  });

  it("says of one that is well by its state what failed last, with its delivery, until a success", async () => {
    const webhook = await register({ description: "The CRM" });
    const other = await register({ description: "Another", events: ["campaign.started"] });
    await arrive();
    for (const { id } of [webhook, other]) await deliverAll(id, clock);
    service.answer = () => new Response("no <b>postgres</b>", { status: 500 });
    const eventId = await arrive({ name: "Winter" });
    clock.advance(SECOND);
    await deliverAll(webhook.id, clock);
    const page = await overview();
    expect(page).toContain('class="notice good"');
    expect(textOf(page, "condition")).toMatch(
      / All is well, but the last attempt of The CRM failed: 500 refused, “ no &lt;b&gt;postgres&lt;\/b&gt; ”\. 2 deliveries in the last day, and nothing is stuck\./,
    );
    expect(page).toContain(
      `<a href="/dashboard/webhooks/${webhook.id}/deliveries/${eventId}">last attempt</a>`,
    );
    expect(textOf(page, "webhooks")).toMatch(
      /Another \S+ healthy 1 .* The CRM \S+ healthy last attempt failed 1 /,
    );
    clock.advance(SECOND);
    await deliverAll(other.id, clock);
    expect(textOf(await overview(), "condition")).toMatch(
      /the last attempt of Another failed: 500 refused, “ .* ”\. So did that of 1 other webhook\. 2 deliveries in/,
    );
    service.answer = answering(204);
    clock.advance(10 * MINUTE);
    for (const { id } of [webhook, other]) await deliverAll(id, clock);
    const after = await overview();
    expect(textOf(after, "condition")).toContain(" All is well. 4 deliveries in");
    expect(after).not.toContain("last attempt");
  });

  it("says of one that refuses some, and takes what comes between, how many, what is at stake and what comes of it", async () => {
    // Without jitter the first of them waits for less than a minute.
    vi.spyOn(Math, "random").mockReturnValue(0);
    const webhook = await register({ description: "The CRM" });
    const answers = async (status: number) => {
      service.answer = answering(status);
      await arrive({ name: crypto.randomUUID() });
      clock.advance(SECOND);
      await deliverAll(webhook.id, clock);
    };
    for (const status of [500, 500, 500, 204, 500, 204]) await answers(status);
    const page = await overview();
    const told =
      /The CRM Healthy, but 4 of 6 attempts since 11:55 \(5 minutes ago\) failed, the last [\w ]+ \(12:00\) : 500 refused\. 4 deliveries wait\. Each is tried again by its schedule, next in \d+ seconds \(12:01\) ; nothing has to be done here once the service takes them\. Try now/;
    expect(textOf(page, "condition")).toMatch(told);
    expect(page).not.toContain("All is well");
    expect(textOf(page, "webhooks")).toMatch(/healthy 4 of 6 failed lately 4 /);
    clock.advance(10 * MINUTE);
    service.answer = answering(204);
    await deliverAll(webhook.id, clock);
    expect(textOf(await overview(), "condition")).toContain("All is well. 6 deliveries in");
  });

  it("says what failed last of one that is well also where another has a problem", async () => {
    const webhook = await register({ description: "The CRM" });
    await arrive();
    await deliverAll(webhook.id, clock);
    service.answer = answering(500);
    clock.advance(SECOND);
    const eventId = await arrive({ name: "Winter" });
    await deliverAll(webhook.id, clock);
    const other = await register({ description: "Another", status: "paused" });
    await accept(other.id, await newEvents(1));
    const page = await overview();
    expect(textOf(page, "condition")).toMatch(
      /^ Another Paused .* 1 delivery is held\. .* The last attempt of The CRM failed: 500 refused\. In and/,
    );
    expect(page).toContain(`/deliveries/${eventId}">last attempt</a>`);
  });

  it("leads to no delivery that is not kept any more", async () => {
    const { id } = await register({ events: ["campaign.started"] });
    await arrive();
    await deliverAll(id, clock);
    service.answer = answering(500);
    await arrive({ name: "Winter" });
    clock.advance(SECOND);
    await deliverAll(id, clock);
    await api("POST", `/v1/webhooks/${id}/discard`, {});
    const linked = async () => {
      const { get } = await signedIn();
      const pages = ["", `/webhooks/${id}`, `/webhooks/${id}/attempts`].map(async (path) => {
        const text = await (await get(`/dashboard${path}`)).text();
        return /last attempt|last failure/i.test(text) ? /deliveries\/evt_\w+"/.test(text) : null;
      });
      return Promise.all(pages);
    };
    expect(await linked()).toEqual([true, true, null]);
    clock.advance(45 * DAY);
    await subscriber(id).check();
    await consume([await newEvent()], { atMs: clock.nowMs() });
    expect(await linked()).toEqual([false, false, false]);
  });

  it("has 12 bars for an hour, 24 for a day and 42 for a week", async () => {
    await register();
    await arrive();
    const bars = async (over: string) =>
      (await overview(`?over=${over}`)).match(/<rect class="events"/g)?.length;
    expect(await bars("hour")).toBe(12);
    expect(await bars("day")).toBe(24);
    expect(await bars("week")).toBe(42);
  });

  it("draws bars to the scale of the numbers beside them: what came in beside what went out, failures above what was delivered", async () => {
    const { id } = await register({ events: ["campaign.started"] });
    for (const name of ["a", "b", "c", "d"]) await arrive({ name });
    service.answer = ({ headers }) =>
      new Response(null, { status: headers.get("webhook-id") === last ? 500 : 204 });
    const last = await arrive({ name: "e" });
    await deliverAll(id, clock);
    for (const over of ["hour", "day", "week"]) {
      const { named, numbers } = drawnOn(await overview(`?over=${over}`));
      expect(numbers, over).toEqual([0, 3, 6]);
      const [foot = Number.NaN] = named("axis").map(({ y1 }) => y1);
      const [three = Number.NaN, six = Number.NaN] = named("grid").map(({ y1 }) => foot - y1);
      expect(six, over).toBeCloseTo(2 * three);
      expect(six, over).toBeGreaterThan(100);
      const tallest = (name: string) => Math.max(...named(name).map(({ height }) => height));
      expect(tallest("events"), over).toBeCloseTo((5 * six) / 6);
      expect(tallest("delivered"), over).toBeCloseTo((4 * six) / 6);
      expect(tallest("failedAttempts"), over).toBeCloseTo(six / 6);

      const [came, went, failed] = [named("events"), named("delivered"), named("failedAttempts")];
      expect([...came, ...went].map(bottom).every((y) => y === foot)).toBe(true);
      expect(failed.map(bottom), over).toEqual(went.map(({ y }) => expect.closeTo(y)));
      expect(went.map(({ x }) => x)).toEqual(came.map((bar) => expect.closeTo(right(bar))));
      expect(failed.map(({ x }) => x)).toEqual(went.map(({ x }) => x));
      const rooms = named("hit");
      expect(came.every(({ x }, index) => x > (rooms[index]?.x ?? x))).toBe(true);
      expect(rooms.every((room, index) => right(went[index] ?? room) < right(room))).toBe(true);
      expect(rooms.slice(-1).map(right)).toEqual(named("now").map(({ x1 }) => expect.closeTo(x1)));
    }
  });

  it("says that a webhook fails, with its cause, what waits, when it is tried next and the button that helps; it comes first", async () => {
    const failing = await register({ description: "The CRM" });
    await register({ description: "Another", events: ["nothing.else"] });
    service.answer = () => new Response("no <b>postgres</b>", { status: 503 });
    await arrive();
    await deliverAll(failing.id, clock);
    const soon = await overview();
    expect(soon).toContain('class="notice bad"');
    expect(textOf(soon, "condition")).toMatch(
      / The CRM Failing since \d\d:\d\d \(just now\) : 503 refused, “ no &lt;b&gt;postgres&lt;\/b&gt; ”. 1 delivery waits. It is tried again by its schedule, next in (1 minute|\d+ seconds) \(\d\d:\d\d\) ; nothing has to be done here once the service takes it\./,
    );
    expect(soon).toContain(`action="/dashboard/webhooks/${failing.id}/try"`);
    expect(soon).not.toContain("All is well");
    const rows = textOf(soon, "webhooks");
    expect(rows.indexOf("The CRM")).toBeLessThan(rows.indexOf("Another"));
  });

  it("C5: says of a long answer its beginning, of 160 characters", async () => {
    const webhook = await register({ name: "crm" });
    service.answer = () => new Response("x".repeat(5_000), { status: 500 });
    await arrive();
    await deliverAll(webhook.id, clock);
    const [, said = ""] = /“([^”]*)”/.exec(textOf(await overview(), "condition")) ?? [];
    expect(said.trim()).toBe(`${"x".repeat(159)}…`);
  });

  it("says of the response time of an hour since when it is: hours are counted whole", async () => {
    const webhook = await register();
    await arrive();
    await deliverAll(webhook.id, clock);
    expect(textOf(await overview("?over=hour"), "tiles")).toMatch(/p95: \d+ ms, since \d\d:00 /);
    expect(textOf(await overview(), "tiles")).not.toContain(", since");
    clock.advance(70 * MINUTE);
    const tiles = textOf(await overview("?over=hour"), "tiles");
    expect(tiles).toMatch(/Delivered 0 .* p95: \d+ ms, since \d\d:00 \(1 hour ago\)/);
  });

  it.each([
    "<style>p { margin: 0 }</style><title>Oops</title><!-- of 5 > 4 --><script>go(1)</script><h1>Out of order",
    `<title>Oops</title><h1>Out of order</h1><style>${"p { margin: 0 } ".repeat(100)}`,
    `<title>Oops</title><h1>Out of order</h1><!-- at <Store> (store.js) ${"at run ".repeat(200)}`,
    `<title>Oops</title><h1>Out of order</h1><a href="/${"x".repeat(2_000)}`,
  ])("says of a page of HTML what stands on it: %s", async (page) => {
    const webhook = await register({ name: "crm" });
    service.answer = () => new Response(page, { status: 500 });
    await arrive();
    await deliverAll(webhook.id, clock);
    const [, said = ""] = /“([^”]*)”/.exec(textOf(await overview(), "condition")) ?? [];
    expect(said.trim()).toBe("Oops Out of order");
  });

  it("is there while an object of the release before answers, which says less of itself", async () => {
    const webhook = await register({ description: "The CRM" });
    service.answer = answering(503);
    await arrive();
    await deliverAll(webhook.id, clock);
    const namespace = env.SUBSCRIBER;
    const now = () => namespace.get(namespace.idFromName(webhook.id));
    vi.spyOn(namespace, "getByName").mockReturnValue({
      stats: async (sinceMs: number) => ({ ...(await now().stats(sinceMs)), health: undefined }),
    } as unknown as ReturnType<typeof now>);
    expect(textOf(await overview(), "condition")).toMatch(
      /The CRM Failing since .* 1 delivery waits/,
    );
  });

  it("says that a webhook is disabled before it says that dead letters wait", async () => {
    const webhook = await register({ description: "The CRM" });
    service.answer = answering(410);
    const { id, event, body } = await newEvent();
    await accept(webhook.id, [{ id, event, body }]);
    await deliverAll(webhook.id, clock);
    const letter = {
      id: "dl_1",
      eventId: id,
      event,
      email: null,
      reason: "full" as const,
      receivedAtMs: clock.nowMs(),
      failedAtMs: clock.nowMs(),
      webhookIds: null,
    };
    await env.DEAD_LETTER_STORE.getByName(DEAD_LETTERS_NAME).keep({ letter, body });
    const page = await overview("", { RETRY_SCHEDULE: "whenever" });
    const said = textOf(page, "condition");
    const places = ["RETRY_SCHEDULE must be", "answered 410 Gone", "1 dead letter"].map((text) =>
      said.indexOf(text),
    );
    expect(places.every((place) => place >= 0)).toBe(true);
    expect([...places].sort((a, b) => a - b)).toEqual(places);
    expect(said).not.toContain("whenever");
  });

  it("gives no reason for a disable of which it has not heard the reason yet", async () => {
    const webhook = await register({ name: "crm" });
    await accept(webhook.id, [await newEvent()]);
    const stats = async (sinceMs: number) => {
      const said = await subscriber(webhook.id).stats(sinceMs);
      return { ...said, health: { ...said.health, state: "disabled", sinceMs: clock.nowMs() } };
    };
    const page = await overview("", { SUBSCRIBER: diverted(env.SUBSCRIBER, { stats }) });
    expect(textOf(page, "condition")).toMatch(
      / crm Disabled since \d\d:\d\d \(just now\) \. 1 delivery is held\./,
    );
  });

  it("says that deliveries are late, that one stopped retrying, and that a paused webhook holds", async () => {
    const webhook = await register({ description: "The CRM", retrySchedule: "1m" });
    service.answer = answering(500);
    await accept(webhook.id, [await newEvent()]);
    await deliverAll(webhook.id, clock);
    clock.advance(2 * MINUTE);
    await deliverAll(webhook.id, clock);
    expect(textOf(await overview(), "condition")).toContain("1 undeliverable: it stopped retrying");
    service.answer = answering(200);
    await accept(webhook.id, [await newEvent()]);
    await deliverAll(webhook.id, clock);
    await accept(webhook.id, [await newEvent()]);
    clock.advance(6 * MINUTE);
    expect(textOf(await overview(), "condition")).toMatch(
      /Late since \d\d:\d\d \([^)]*\) : the oldest delivery was due 6 minutes ago \(\d\d:\d\d\) . 1 delivery waits. It goes out in its turn, now; what comes meanwhile goes behind it. /,
    );
    await api("POST", `/v1/webhooks/${webhook.id}/pause`);
    expect(textOf(await overview(), "condition")).toMatch(
      /The CRM Paused since \d\d:\d\d \(just now\) . 1 delivery is held. 1 undeliverable: it stopped retrying. Resume/,
    );
  });

  it.each([
    [{ rateLimit: 0.0004 }, "rateLimit", "lets less than 0.001 a second through"],
    [{ ordered: true }, "ordered", "or giving up the order"],
    [{}, "concurrency", "Raise “at once” above 6"],
  ])("leads from a late webhook to what makes it so: %o", async (settings, field, said) => {
    const webhook = await register(settings);
    await accept(webhook.id, [await newEvent()]);
    clock.advance(6 * MINUTE);
    const page = await overview();
    expect(textOf(page, "condition")).toContain(said);
    const way = page.match(/href="([^"]*)">Change its pace/)?.[1] ?? "";
    expect(way).toMatch(new RegExp(`#${field}$`));
    const { get } = await signedIn();
    const form = await (await get(way.split("#")[0] as string)).text();
    const details = form.split(/<details/).find((part) => part.includes(`id="${field}"`));
    expect(details).toMatch(/^ open=""/);
    const plain = await (await get(`/dashboard/webhooks/${webhook.id}/edit`)).text();
    if (field === "concurrency") expect(plain).not.toContain("<details open");
  });

  it("asks nobody to change the pace of a late webhook whose backlog is gone within the minute", async () => {
    const webhook = await register();
    service.answer = answering(200);
    await accept(webhook.id, [await newEvent()]);
    await deliverAll(webhook.id, clock);
    await accept(webhook.id, [await newEvent()]);
    clock.advance(6 * MINUTE);
    const said = textOf(await overview(), "condition");
    expect(said).toMatch(/Late since .* what comes meanwhile goes behind it\./);
    expect(said).not.toMatch(/response time|Raise|Change its pace/);
  });

  it("has what stopped retrying above what is late, in its lines and in its table", async () => {
    const stopped = await register({ name: "stopped", giveUpOn: [422] });
    service.answer = answering(422);
    await accept(stopped.id, [await newEvent()]);
    await deliverAll(stopped.id, clock);
    const late = await register({ name: "late" });
    await accept(late.id, [await newEvent()]);
    clock.advance(6 * MINUTE);
    const page = await overview();
    for (const id of ["condition", "webhooks"]) {
      expect(textOf(page, id), id).toMatch(/ stopped .* late /);
    }
  });

  it("says that an attempt is under way where that is why no time is known for the next", async () => {
    const webhook = await register({ name: "crm" });
    service.answer = answering(500);
    await accept(webhook.id, [await newEvent()]);
    await deliverAll(webhook.id, clock);
    const during = (state: string, oldestDueAtMs: number | null) => async (sinceMs: number) => {
      const said = await subscriber(webhook.id).stats(sinceMs);
      return { ...said, health: { ...said.health, state, oldestDueAtMs, nextAttemptAtMs: null } };
    };
    for (const stats of [during("probing", clock.nowMs()), during("failing", null)]) {
      const page = await overview("", { SUBSCRIBER: diverted(env.SUBSCRIBER, { stats }) });
      expect(textOf(page, "condition")).toMatch(
        / It is (?:probed|tried again by its schedule), an attempt is under way; /,
      );
    }
  });

  it("names as what makes an ordered webhook late the refusal of the first in its order, and tries that again", async () => {
    const webhook = await register({ name: "crm", ordered: true, retrySchedule: "5m" });
    await accept(webhook.id, [await newEvent()]);
    await deliverAll(webhook.id, clock);
    service.answer = () => new Response("no postgres", { status: 500 });
    await accept(webhook.id, [await newEvent(), await newEvent()]);
    await deliverAll(webhook.id, clock);
    clock.advance(2 * MINUTE);
    const page = await overview();
    const said = textOf(page, "condition");
    expect(said).toMatch(
      / crm Late since \d\d:\d\d \([^)]*\) , because the order waits for one that failed: 500 refused, “ no postgres ”. 2 deliveries wait. It is tried again by its schedule, next in [23] minutes \(\d\d:\d\d\) ; the others go out behind it\. /,
    );
    expect(said).not.toMatch(/response time|faster answers|Change its pace/);
    expect(page).toContain(`action="/dashboard/webhooks/${webhook.id}/try"`);
  });

  it("goes by the last day for what helps a late webhook, whatever the page looks back over", async () => {
    const webhook = await register();
    await accept(webhook.id, [await newEvent()]);
    await deliverAll(webhook.id, clock);
    clock.advance(3 * HOUR);
    await accept(webhook.id, [await newEvent()]);
    clock.advance(6 * MINUTE);
    for (const over of ["", "?over=hour", "?over=week"]) {
      const said = textOf(await overview(over), "condition");
      expect(said, over).toMatch(/Late since .* what comes meanwhile goes behind it\./);
      expect(said, over).not.toMatch(/Raise|Change its pace/);
    }
  });

  it("says of a late webhook's pace no more digits than are known", () => {
    const webhook = { rateLimit: null, ordered: false, concurrency: 6 } as Webhook;
    const stats = { latencyMs: { p50: 2_178 }, health: { pending: 2_530 } } as WebhookStats;
    expect(remedyFor({ webhook, stats })).toBe(
      "Its response time is 2.2 s (p50), 6 at once: 2.8 a second, which takes 15 minutes for what waits. Raise “at once” above 6, or have it answer faster.",
    );
  });

  it("says since when it is postponed, and of what is undeliverable when and why the last ended, and when what waits goes out", async () => {
    const webhook = await register({ name: "crm", giveUpOn: [422], retrySchedule: "1h" });
    service.answer = answering(204);
    await accept(webhook.id, [await newEvent()]);
    await deliverAll(webhook.id, clock);
    service.answer = answering(500);
    await accept(webhook.id, [await newEvent()]);
    await deliverAll(webhook.id, clock);
    service.answer = () => new Response("no such lead", { status: 422 });
    await accept(webhook.id, [await newEvent()]);
    await deliverAll(webhook.id, clock);
    expect(textOf(await overview(), "condition")).toMatch(
      / crm Healthy, but 1 undeliverable, the last [\w ]+ \(\d\d:\d\d\) : 422 refused, “ no such lead ”. 1 delivery waits. It goes out by its schedule, next in [^;]* ; what stopped retrying waits for a replay. By its settings it gives up on 422/,
    );
    service.answer = () =>
      new Response("later", { status: 429, headers: { "retry-after": "600" } });
    await accept(webhook.id, [await newEvent()]);
    await deliverAll(webhook.id, clock);
    expect(textOf(await overview(), "condition")).toMatch(
      / crm Postponed since \d\d:\d\d \([^)]*\) , because the service asked for a pause: 429 refused, “ later ”. 2 deliveries wait. As it asked, next in /,
    );
  });

  it("says of what is undeliverable how that ended which ended last, not what was received last", async () => {
    const webhook = await register({ name: "crm", giveUpOn: [422], retrySchedule: "1h" });
    service.answer = () => new Response("down", { status: 500 });
    await accept(webhook.id, [await newEvent()]);
    await deliverAll(webhook.id, clock);
    service.answer = answering(422);
    await accept(webhook.id, [await newEvent()]);
    await deliverAll(webhook.id, clock);
    service.answer = () => new Response("down", { status: 500 });
    clock.advance(2 * HOUR);
    await deliverAll(webhook.id, clock);
    service.answer = answering(204);
    await accept(webhook.id, [await newEvent()]);
    await deliverAll(webhook.id, clock);
    expect(textOf(await overview(), "condition")).toMatch(
      / crm Healthy, but 2 undeliverable, the last just now \(\d\d:\d\d\) : 500 refused, “ down ”\. /,
    );
  });

  it("says that nothing came for long, from when SILENCE_ALERT says so on, else after a day", async () => {
    const webhook = await register();
    await arrive();
    await deliverAll(webhook.id, clock);
    clock.advance(3 * HOUR);
    expect(await overview()).not.toContain("No event was accepted for long");
    expect(await overview("", { SILENCE_ALERT: "2h" })).toContain("No event was accepted for long");
    clock.advance(DAY);
    expect(textOf(await overview(), "condition")).toMatch(
      /No event was accepted for long; the last came [^.]*\. If Leadterra signs with another secret by now, each is refused, and the log has request\.failed with invalid_signature : add that secret to LEADTERRA_SIGNING_SECRETS , behind a comma\. Leadterra sends again what was refused for some eleven hours; replay from its dashboard what is older\./,
    );
    expect((await api("DELETE", `/v1/webhooks/${webhook.id}`)).status).toBe(204);
    expect(await overview()).toContain("No event was accepted for long");
  });

  it("says that events came where none is kept any more", async () => {
    clock.setTo(Math.floor(clock.nowMs() / DAY) * DAY + DAY + 23 * HOUR);
    await register();
    const brief = { RETENTION: "12h", SILENCE_ALERT: "off" };
    await arrive();
    const day = journal(clock.nowMs());
    await withVariables(day, brief);
    clock.advance(3 * DAY);
    await ring(day);
    const { cookie } = await signedIn();
    for (const path of ["/dashboard", "/dashboard/events"]) {
      const page = await (await callWith(brief, path, { headers: { cookie } })).text();
      expect(page, path).toContain("No event is kept any more: the last came <time");
      expect(page, path).not.toContain("No event yet");
      expect(page, path).not.toContain("To the first event");
    }
  });

  it("is of one time zone: that of the page, for what becomes a part of it too", async () => {
    await register();
    const { cookie } = await signedIn();
    const zoned = async (headers: Record<string, string>) =>
      (await callWith({}, "/dashboard", { headers: { cookie, ...headers } })).text();
    const berlin = { cookie: `${cookie}; leadterra-relay-zone=Europe%2FBerlin` };
    expect(await zoned({})).toContain('data-zone="UTC"');
    expect(await zoned(berlin)).toContain('data-zone="Europe/Berlin"');
    const part = await zoned({ ...berlin, "leadterra-relay-zone": "UTC" });
    expect(part).toContain("Times are those of UTC");
  });

  it("shows what strangers wrote as text, and no query of a URL", async () => {
    const named = await register({ description: MARKUP });
    const unnamed = await register({ url: "https://crm.example.com/in?token=secret-token" });
    service.answer = answering(500);
    await arrive();
    for (const { id } of [named, unnamed]) await deliverAll(id, clock);
    const page = await overview();
    expect(page).not.toContain("<svg onload");
    expect(page).toContain("&lt;svg onload");
    expect(page).toContain("crm.example.com/in?…");
    expect(page).not.toContain("secret-token");
  });
});
