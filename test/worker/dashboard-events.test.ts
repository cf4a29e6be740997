/** /dashboard/events and the page of one event. */
import { env } from "cloudflare:workers";
import { describe, expect, vi } from "vitest";
import { parseEvent } from "../../src/domain/event";
import {
  goingOn,
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
  tally,
} from "../rig/worker/engine";
import { clock, DAY, HOUR, service } from "../rig/worker/fixture";
import { consume } from "../rig/worker/queue";
import {
  api,
  bytesOf,
  callWith,
  DOCUMENTED_REPLY,
  ORIGIN,
  READ_ONLY_API_KEY,
} from "../rig/worker/requests";

const LIST = "/dashboard/events";
const DOCUMENTED_ID = "evt_QNH783WW52FCCN914ZB1QAYTW0";
const MARKUP = "<img src=x onerror='alert(1)'>";
const ESCAPED = "&lt;img src=x onerror=&#39;alert(1)&#39;&gt;";

/** The text of a page, without its tags. */
function wordsOf(page: string): string {
  return page.replaceAll(/<[^>]*>/g, " ").replaceAll(/\s+/g, " ");
}

const listed = async (query = "") => rowsOf(await textOf(LIST + query));

/** An event of which every text that a stranger gives is markup. */
async function markedUp(): Promise<Owed> {
  const body = bytesOf({
    event: "reply.received",
    timestamp: MARKUP,
    data: { campaignId: MARKUP, lead: { email: MARKUP }, reply: { id: MARKUP, text: MARKUP } },
  });
  const parsed = await parseEvent(body);
  if (!parsed.ok) throw new Error("is no event");
  return { id: parsed.value.id, event: "reply.received", body };
}

describe("the list of events", () => {
  it("leads a new relay to its first event, and shows it without a reload", async () => {
    const empty = await textOf(LIST);
    expect(empty).toContain("https://relay.example/webhooks/leadterra");
    expect(empty).toContain(`action="${LIST}/sample"`);
    expect(empty).toContain("data-follows");
    expect(empty).toContain('id="events" data-live');
    await consume([bytesOf(DOCUMENTED_REPLY)]);
    const page = await textOf(LIST);
    expect(rowsOf(page)).toEqual([DOCUMENTED_ID]);
    expect(page).not.toContain(`${LIST}/sample`);
    expect(await textOf(`${LIST}?event=campaign.started`)).toContain("No event is like that");
  });

  it("sends a sample the whole way: signed, into the queue, once more each time, and writes that down", async () => {
    const sent: Uint8Array[] = [];
    vi.spyOn(env.EVENTS, "send").mockImplementation(async (body) => {
      sent.push((body as Uint8Array).slice());
      return { metadata: { metrics: { backlogCount: 0, backlogBytes: 0 } } };
    });
    for (let times = 1; times <= 2; times++) {
      const answer = await visitor.post(`${LIST}/sample`);
      expect(leadsTo(answer)).toBe(`${LIST}?done=sampled`);
      expect(sent).toHaveLength(times);
      expect(await lastAudited()).toMatchObject({ action: "event.sampled" });
    }
    const webhook = await register({ events: ["reply.received"] });
    await consume(sent);
    expect(rowsOf(await textOf(LIST))).toHaveLength(2);
    await deliverAll(webhook.id, clock);
    expect(service.requests).toHaveLength(2);
  });

  it("makes an event that no webhook asked for stand out", async () => {
    await consume([bytesOf(DOCUMENTED_REPLY)]);
    expect(await textOf(LIST)).toContain('<span class="badge warn">matched no webhook</span>');
    await register();
    await consume([await newEvent()]);
    expect(await textOf(LIST)).toContain('data-label="Goes to">1 webhook</td>');
  });

  it("tells replies by their classification and bounces by their kind, beside the lead", async () => {
    const bounced = await eventOf("message.bounced", { messageId: "m", bounceType: "so\u202eft" });
    await consume([bytesOf(DOCUMENTED_REPLY), bounced]);
    await consume([await eventOf("constructor", { reply: { classification: "no" } })]);
    const page = wordsOf(await textOf(LIST));
    expect(page).toMatch(/reply\.received evt_\w+ ava@acmecorp\.com interested just now/);
    expect(page).toMatch(/message\.bounced evt_\w+ – so\\u202eft does not match schema just now/);
    expect(page).toMatch(/constructor evt_\w+ – – just now/);
  });

  it("goes on page by page, each event once", async () => {
    const events = await newEvents(60);
    await consume(events.slice(0, 30), { atMs: clock.nowMs() - DAY });
    await consume(events.slice(30));
    const page = await textOf(LIST);
    const [, next = ""] = /rel="next" href="([^"]+)"/.exec(page) ?? [];
    const rest = await textOf(next.replaceAll("&amp;", "&"));
    const newestFirst = events.map(({ id }) => id).reverse();
    expect([...rowsOf(page), ...rowsOf(rest)]).toEqual(newestFirst);
    expect(rest).not.toContain("data-follows");
    expect((await visitor.get(`${LIST}?cursor=x`)).status).toBe(422);
  });

  it("tells times in the zone of whoever looks, and makes as many formats for 20 events and a search as for one", async () => {
    const { cookie } = await signedIn();
    const formats = vi.spyOn(Intl, "DateTimeFormat");
    const look = async (zone: string, query = "") => {
      const before = formats.mock.calls.length;
      const headers = { cookie, "leadterra-relay-zone": zone };
      const page = await (await callWith({}, LIST + query, { headers })).text();
      const isUtc = /<time [^>]* title="[^"]* UTC"/.test(page);
      return { isUtc, rows: rowsOf(page).length, formats: formats.mock.calls.length - before };
    };
    await consume(await newEvents(1));
    await look("UTC");
    const one = await look("Europe/Berlin");
    expect(one).toMatchObject({ isUtc: false, rows: 1 });
    await consume(await newEvents(19));
    expect(await look("UTC")).toEqual({ ...one, isUtc: true, rows: 20 });
    const search = await look("Europe/Berlin", "?since=2020-01-01T00:00&until=2100-01-01T00:00");
    expect(search).toEqual({ ...one, rows: 20, formats: one.formats + 1 });
  });

  it("is searched by event, lead, campaign and time; what makes no sense counts as not asked", async () => {
    const sent = await newEvent({ campaignId: "camp_1", lead: { email: "a+b@c.co" } });
    await consume([sent], { atMs: clock.nowMs() - 3 * HOUR });
    await consume([bytesOf(DOCUMENTED_REPLY)]);
    expect(await listed("?event=message.sent")).toEqual([sent.id]);
    expect(await listed("?email=A%2Bb@c.co")).toEqual([sent.id]);
    expect(await listed("?campaignId=camp_1")).toEqual([sent.id]);
    expect(await listed("?email=ava@acmecorp.com&within=hour")).toEqual([DOCUMENTED_ID]);
    expect(await listed("?event=&email=&campaignId=&since=&until=")).toHaveLength(2);
    expect(await listed(`?event=a%20b&email=${"x".repeat(600)}&since=x&more=x`)).toHaveLength(2);
  });

  it("C7: leads straight to an event by its id or by Leadterra's own", async () => {
    const sent = await newEvent({ messageId: "msg_own" });
    const { id } = await eventOf("message.sent", { messageId: "msg_own", sequenceStep: 1 });
    const bounced = await eventOf("message.bounced", { messageId: "msg_own", bounceType: "soft" });
    await consume([bytesOf(DOCUMENTED_REPLY), { body: sent.body }], { atMs: clock.nowMs() - DAY });
    const leads = async (text: string) =>
      (await visitor.get(`${LIST}?id=${text}`)).headers.get("location");
    expect(await leads(DOCUMENTED_ID)).toBe(`${LIST}/${DOCUMENTED_ID}`);
    expect(await leads("rpl_01HZB3MNPW6XT8QA")).toBe(`${LIST}/${DOCUMENTED_ID}`);
    expect(await leads("%20msg_own%20")).toBe(`${LIST}/${id}`);
    await consume([bounced]);
    const both = await textOf(`${LIST}?id=msg_own`);
    for (const each of [id, bounced.id]) expect(both).toContain(`href="${LIST}/${each}"`);
    expect(await textOf(`${LIST}?id=msg_own&event=message.sent`)).not.toContain(bounced.id);
    for (const wrong of ["rpl_unknown", "evt_x", encodeURIComponent(MARKUP), "x".repeat(2_000)]) {
      const page = await visitor.get(`${LIST}?id=${wrong}`);
      expect(page.status).toBe(404);
      const text = await page.text();
      expect(text).toContain("There is no event with this id");
      expect(text).not.toContain("<img src=x");
    }
  });
});

describe("C7: an event whose own id does not give its name here", () => {
  it.each([
    ["a bounce of no known type", "message.bounced", { bounceType: "blocked" }],
    ["a bounce without a type", "message.bounced", {}],
    ["an event of no known name", "message.opened", {}],
  ])("is found by its message all the same: %s", async (_, name, data) => {
    const event = await eventOf(name, { messageId: "msg own/1", ...data });
    await consume([event], { atMs: clock.nowMs() - DAY });
    await consume(await newEvents(2));
    const answer = await visitor.get(`${LIST}?id=${encodeURIComponent("msg own/1")}`);
    expect(answer.headers.get("location")).toBe(`${LIST}/${event.id}`);
  });

  it("is listed beside what else is about the message, page by page", async () => {
    const messageId = "msg_many";
    const known = await eventOf("message.sent", { messageId, sequenceStep: 1 });
    const opened = await Promise.all(
      Array.from({ length: 60 }, (_, step) => eventOf("message.opened", { messageId, step })),
    );
    await consume([known, ...opened], { atMs: clock.nowMs() - DAY });
    const first = await textOf(`${LIST}?id=${messageId}`);
    const [, next = ""] = /rel="next" href="([^"]+)"/.exec(first) ?? [];
    const ids = [...rowsOf(first), ...rowsOf(await textOf(next.replaceAll("&amp;", "&")))];
    expect([...new Set(ids)].sort()).toEqual([known, ...opened].map(({ id }) => id).sort());
  });
});

describe("the page of an event", () => {
  it("shows what it says with every digit, as text", async () => {
    const event = await markedUp();
    await consume([event]);
    const big = `{"event":"click","data":{"n":12345678901234567890,"s":"\\u003cb>"}}`;
    const parsed = await parseEvent(bytesOf(big));
    await consume([bytesOf(big)]);
    for (const path of [LIST, `${LIST}/${event.id}`]) {
      const page = await textOf(path);
      expect(page).toContain(ESCAPED);
      expect(page).not.toContain("<img src=x");
    }
    const page = await textOf(`${LIST}/${parsed.ok ? parsed.value.id : ""}`);
    expect(page).toContain("&quot;n&quot;: 12345678901234567890,</div>");
    expect(page).toContain("&quot;s&quot;: &quot;\\u003cb&gt;&quot;");
  });

  it("says whom it went to, and why not to the others", async () => {
    const all = await register({ description: "takes all" });
    await register({ description: "names another", events: ["campaign.started"] });
    const filter = { "data.reply.classification": "out_of_office" };
    await register({ description: "narrows", events: ["reply.received"], filter });
    const changed = await register({ description: "was changed", events: ["campaign.started"] });
    const deleted = await register({ description: "was deleted" });
    await consume([bytesOf(DOCUMENTED_REPLY)]);
    await deliverAll(all.id, clock);
    clock.advance(1_000);
    await register({ description: "came later" });
    await api("PATCH", `/v1/webhooks/${changed.id}`, { events: ["*"] });
    await api("DELETE", `/v1/webhooks/${deleted.id}`);
    const page = wordsOf(await textOf(`${LIST}/${DOCUMENTED_ID}`));
    expect(page).toMatch(
      /takes all delivered 1 attempt 204 It asks for every event\. Replay to takes all/,
    );
    expect(page).toMatch(
      /names another none It did not match: asks for campaign\.started, not for reply/,
    );
    expect(page).toMatch(
      /narrows none It did not match: data\.reply\.classification is &quot;interested&quot;, and the filter wants &quot;out_of_office&quot;\./,
    );
    expect(page).toMatch(
      /was changed none It did not match when it came in; by the settings of now it would: the settings have changed since/,
    );
    expect(page).toMatch(
      /came later none It did not match when it came in; .* the webhook was registered after it came in/,
    );
    expect(page).toContain(`${deleted.id} none It matched, and was deleted since`);
  });

  it("is sent again to the webhooks that are ticked, and that is written down", async () => {
    const [one, two] = [await register(), await register({ events: ["campaign.started"] })];
    const waits = await register();
    await api("POST", `/v1/webhooks/${waits.id}/pause`);
    await consume([bytesOf(DOCUMENTED_REPLY)]);
    await deliverAll(one.id, clock);
    const path = `${LIST}/${DOCUMENTED_ID}`;
    const page = await textOf(path);
    // What it matched is ticked, but for whoever has it.
    expect(page).toMatch(new RegExp(`value="${waits.id}" checked`));
    expect(page).not.toMatch(new RegExp(`value="${one.id}" checked`));
    expect(page).not.toMatch(new RegExp(`value="${two.id}" checked`));
    const answer = await visitor.post(`${path}/replay`, { webhook: [one.id, two.id] });
    expect(leadsTo(answer)).toBe(`${path}?done=replayed&count=2`);
    expect(await lastAudited()).toMatchObject({
      action: "event.replayed",
      after: { id: DOCUMENTED_ID, webhookIds: [one.id, two.id] },
    });
    await deliverAll(one.id, clock);
    await deliverAll(two.id, clock);
    expect(await deliveryOf(one.id, DOCUMENTED_ID)).toMatchObject({ attempts: 2 });
    expect(await deliveryOf(two.id, DOCUMENTED_ID)).toMatchObject({ status: "delivered" });
    expect(wordsOf(await textOf(path))).toMatch(
      /delivered 1 attempt 204 It did not match: asks for/,
    );
    const only = { webhook: [one.id, two.id], only: two.id };
    expect(leadsTo(await visitor.post(`${path}/replay`, only))).toContain("count=1");
    const none = await visitor.post(`${path}/replay`, { webhook: ["x"] });
    expect(leadsTo(none)).toBe(`${path}?done=nothing_selected`);
    const unknown = { webhook: "wh_00000000000000000000000000" };
    expect((await visitor.post(`${path}/replay`, unknown)).status).toBe(422);
    expect(service.requests).toHaveLength(3);
  });

  it("is erased once somebody has confirmed it", async () => {
    const { id } = await register();
    await consume([bytesOf(DOCUMENTED_REPLY)]);
    await deliverAll(id, clock);
    const path = `${LIST}/${DOCUMENTED_ID}`;
    expect(await textOf(path)).toContain(`href="${path}/erase"`);
    const asked = await textOf(`${path}/erase`);
    expect(asked).toContain("It cannot be undone");
    expect(asked).toMatch(/Only this event\. A person, in every event.*POST \/v1\/events\/erase/);
    expect(await textOf(path)).toContain("ava@acmecorp.com");
    const answer = await visitor.post(`${path}/erase`);
    expect(leadsTo(answer)).toBe(`${path}?done=erased`);
    expect(await lastAudited()).toMatchObject({
      action: "event.erased",
      after: { id: DOCUMENTED_ID },
    });
    const page = await textOf(path);
    expect(page).toContain("The payload was erased");
    expect(page).not.toContain("ava@acmecorp.com");
    expect(page).not.toContain(`href="${path}/erase"`);
    const again = await visitor.post(`${path}/replay`, { webhook: id });
    expect(leadsTo(again)).toBe(`${path}?failed=payload_gone`);
    const delivery = await textOf(`/dashboard/webhooks/${id}/deliveries/${DOCUMENTED_ID}`);
    expect(delivery).toContain("payload was erased, or is past its retention");
    expect(delivery).not.toContain("ava@acmecorp.com");
  });

  it("is 404 for one that is not there", async () => {
    for (const id of ["evt_00000000000000000000000000", "evt_x", "x"]) {
      const path = `${LIST}/${id}`;
      for (const answer of [
        await visitor.get(path),
        await visitor.get(`${path}/erase`),
        await visitor.post(`${path}/erase`),
      ]) {
        expect(answer.status).toBe(404);
        expect(await answer.text()).toContain("No such event");
      }
      const replay = { webhook: "wh_00000000000000000000000000" };
      expect((await visitor.post(`${path}/replay`, replay)).status).toBe(404);
    }
  });
});

describe("a person", () => {
  const EMAIL = "zoe+1@prospect.example";
  const SEARCH = `${LIST}?email=${encodeURIComponent(EMAIL)}`;
  const about = (lead: number) =>
    bytesOf({
      event: "message.sent",
      data: {
        messageId: `msg_${lead}`,
        lead: { email: lead === 0 ? "ben@prospect.example" : EMAIL },
      },
    });

  it("is erased where the address was searched for: counted, then to the end, and written down as by the API", async () => {
    await consume([0, 1, 2].map(about));
    await consume(Array.from({ length: 100 }, (_, index) => about(index + 3)));
    expect(await textOf(LIST)).not.toContain(`${LIST}/erase`);
    expect(await textOf(SEARCH)).toContain(`action="${LIST}/erase"`);
    const counted = await visitor.post(`${LIST}/erase`, { email: EMAIL });
    const asked = await counted.text();
    expect(wordsOf(asked)).toContain(`102 events with ${EMAIL} would be erased.`);
    expect(await listed(SEARCH.slice(LIST.length))).toHaveLength(50);
    const { pages, answer } = await goingOn(`${LIST}/erase`, { email: EMAIL, step: "go" });
    expect(pages.map((page) => wordsOf(page).includes("100 events erased so far."))).toEqual([
      true,
    ]);
    expect(pages.join()).not.toContain("this person?");
    expect(leadsTo(answer)).toBe(`${LIST}?done=person_erased&count=102`);
    expect(wordsOf(await textOf(LIST))).toContain("The person is erased: 102 events.");
    expect(await lastAudited()).toMatchObject({ action: "person.erased", after: { events: 2 } });
    expect(wordsOf(await textOf(SEARCH))).toContain("No event is like that.");
    expect(await listed("?email=ben@prospect.example")).toHaveLength(1);
  });

  it("is said not to be erased whole while events may be on their way", async () => {
    await consume([about(1)]);
    const metrics = async () => ({ backlogCount: 1, backlogBytes: 0 });
    const queued = { ...env, EVENTS: { metrics } as unknown as Env["EVENTS"] };
    const answer = await callWith(queued, `${LIST}/erase`, {
      method: "POST",
      redirect: "manual",
      headers: { cookie: visitor.cookie, origin: ORIGIN },
      body: new URLSearchParams({ email: EMAIL, step: "go" }),
    });
    expect(leadsTo(answer)).toBe(`${SEARCH}&done=person_erased_so_far&count=1`);
  });

  it("is asked about by an address of which all is seen", async () => {
    const counted = await visitor.post(`${LIST}/erase`, { email: "\u202eelpmaxe.emca@ava" });
    expect(wordsOf(await counted.text())).toContain("with \\u202eelpmaxe.emca@ava would be");
  });

  it("is not erased by a form without an address, or by a key that only reads", async () => {
    await consume([about(1)]);
    const reader = await signedIn(READ_ONLY_API_KEY);
    const form = { email: EMAIL, step: "go" };
    expect(await textOf(SEARCH, reader)).not.toContain("/erase");
    expect((await reader.post(`${LIST}/erase`, form)).status).toBe(403);
    for (const email of ["", "ava", "a b@c"]) {
      expect((await visitor.post(`${LIST}/erase`, { ...form, email })).status).toBe(422);
    }
    expect((await visitor.post(`${LIST}/erase`, { ...form, cursor: "x" })).status).toBe(422);
    expect(await listed()).toHaveLength(1);
  });
});

describe("a key that only reads", () => {
  it("sees events, no form that changes any, and changes none", async () => {
    const { id } = await register();
    await consume([bytesOf(DOCUMENTED_REPLY)]);
    await deliverAll(id, clock);
    const reader = await signedIn(READ_ONLY_API_KEY);
    const path = `${LIST}/${DOCUMENTED_ID}`;
    for (const page of [await textOf(LIST, reader), await textOf(path, reader)]) {
      expect(page.match(/<form method="post" action="(?!\/dashboard\/sign-out)/g)).toBeNull();
      expect(page).not.toContain("/erase");
    }
    expect((await reader.get(`${path}/erase`)).status).toBe(403);
    expect((await reader.post(`${path}/erase`)).status).toBe(403);
    expect((await reader.post(`${path}/replay`, { webhook: id })).status).toBe(403);
    expect(await textOf(path, reader)).toContain("ava@acmecorp.com");
    expect(await tally(id)).toEqual({ delivered: 1 });
  });
});
