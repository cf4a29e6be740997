/** /dashboard/dead-letters: what could not be handed over, and getting rid of it. */
import { env } from "cloudflare:workers";
import { describe, expect } from "vitest";
import type { WebhookId } from "../../src/domain/ids";
import { DEAD_LETTERS_NAME } from "../../src/domain/placement";
import type { DeadLetter } from "../../src/storage/dead-letter-store";
import {
  goingOn,
  it,
  lastAudited,
  leadsTo,
  rowsOf,
  signedIn,
  textOf,
  touchedBy,
  visitor,
} from "../rig/worker/dashboard";
import { deliveryOf, newEvent, newEvents, type Owed, register } from "../rig/worker/engine";
import { clock, HOUR } from "../rig/worker/fixture";
import { consume } from "../rig/worker/queue";
import { READ_ONLY_API_KEY } from "../rig/worker/requests";

const PATH = "/dashboard/dead-letters";
const MARKUP = '<img src=x onerror="alert(1)">';

function store() {
  return env.DEAD_LETTER_STORE.getByName(DEAD_LETTERS_NAME);
}

/** A dead letter as the consumer keeps it. */
async function keep(fields: Partial<DeadLetter> = {}, given?: Owed): Promise<DeadLetter> {
  const event = given ?? (await newEvent());
  const letter: DeadLetter = {
    id: "dl_1",
    eventId: event.id,
    event: event.event,
    email: null,
    reason: "subscriber_unreachable",
    receivedAtMs: Date.now() - 3_600_000,
    failedAtMs: Date.now(),
    webhookIds: null,
    ...fields,
  };
  await store().keep({ letter, body: event.body });
  return letter;
}

describe("the page of dead letters", () => {
  it("says that there is nothing to do when there are none", async () => {
    const page = await (await (await signedIn()).get(PATH)).text();
    expect(page).toContain("There are no dead letters");
  });

  it("shows each with its reason explained and who is owed, by name", async () => {
    const webhook = await register({ description: "The CRM" });
    const gone = "wh_01HZC7RQNP4XT2KM9QZ8W3V5YA" as WebhookId;
    const { eventId } = await keep({ webhookIds: [webhook.id as WebhookId, gone] });
    const page = await (await (await signedIn()).get(PATH)).text();
    expect(page).toContain("did not take it, over 90 retries");
    expect(page).toContain(`href="/dashboard/webhooks/${webhook.id}"><bdi>The CRM</bdi></a>`);
    expect(page).toContain(`<bdi>The CRM</bdi></a>, <code>${gone}</code>`);
    expect(page).toContain(`href="/dashboard/events/${eventId}"`);
    expect(page).toContain(`action="${PATH}/dl_1/redrive"`);
  });

  it("shows what strangers wrote as text", async () => {
    await keep({ event: MARKUP });
    const page = await (await (await signedIn()).get(PATH)).text();
    expect(page).not.toContain("<img src=x");
    expect(page).toContain("&lt;img src=x");
  });

  it("goes on by a cursor, and refuses one that it did not give", async () => {
    for (let index = 10; index < 37; index++) await keep({ id: `dl_${index}`, failedAtMs: index });
    const { get } = await signedIn();
    const first = await (await get(PATH)).text();
    const [, cursor] = /cursor=([^"]+)"/.exec(first) ?? [];
    expect(first.match(/data-row=/g)).toHaveLength(25);
    const second = await (await get(`${PATH}?cursor=${cursor}`)).text();
    expect([...second.matchAll(/data-row="([^"]+)"/g)].map(([, id]) => id)).toEqual([
      "dl_11",
      "dl_10",
    ]);
    expect((await get(`${PATH}?cursor=nonsense`)).status).toBe(422);
  });
});

describe("redriving", () => {
  it("hands the event to those it is owed to, and is written down", async () => {
    const webhook = await register();
    const { eventId } = await keep({ webhookIds: [webhook.id as WebhookId] });
    const { get, post } = await signedIn();
    const answer = await post(`${PATH}/dl_1/redrive`);
    expect(answer.status).toBe(303);
    expect(leadsTo(answer)).toBe(`${PATH}?done=redriven`);
    expect(await (await get(PATH)).text()).toContain(`<a href="/dashboard/events/${eventId}">See`);
    expect((await deliveryOf(webhook.id, String(eventId))).status).toBe("pending");
    expect(await store().get("dl_1")).toBeNull();
    expect(await lastAudited()).toMatchObject({
      action: "dead_letter.redriven",
      key: expect.stringMatching(/^[0-9a-f]{8}/),
      after: { id: "dl_1" },
    });
  });

  it("of one that was never routed leads to where it is received anew", async () => {
    const [event, before] = await newEvents(2);
    if (event === undefined || before === undefined) throw new Error("no events");
    await consume([before]);
    clock.advance(HOUR);
    await keep({ reason: "not_consumed" }, event);
    const answer = await visitor.post(`${PATH}/dl_1/redrive`);
    await consume([event]);
    expect(rowsOf(await textOf(touchedBy(answer)))).toEqual([event.id]);
  });

  it("of what is no event leads nowhere: it comes back", async () => {
    await keep({ reason: "unreadable", eventId: null, event: null });
    expect(touchedBy(await visitor.post(`${PATH}/dl_1/redrive`))).toBe("");
  });

  it("answers 404 for one that is not there, and writes nothing down", async () => {
    const { post } = await signedIn();
    for (const id of ["dl_2", "wh_1", "dl_'%20OR%201"]) {
      expect((await post(`${PATH}/${id}/redrive`)).status, id).toBe(404);
      expect((await post(`${PATH}/${id}/delete`)).status, id).toBe(404);
    }
    expect(await lastAudited()).toBeUndefined();
  });
});

describe("deleting", () => {
  it("asks once more, then deletes it, and is written down", async () => {
    await keep();
    const { get, post } = await signedIn();
    expect(await (await get(PATH)).text()).toMatch(/<details>.*for good/s);
    const answer = await post(`${PATH}/dl_1/delete`);
    expect(leadsTo(answer)).toBe(`${PATH}?done=dead_letter_deleted`);
    expect(await store().get("dl_1")).toBeNull();
    expect(await lastAudited()).toMatchObject({
      action: "dead_letter.deleted",
      after: { id: "dl_1" },
    });
  });
});

describe("a key that only reads", () => {
  it("sees no button, and changes nothing", async () => {
    await keep();
    const { get, post } = await signedIn(READ_ONLY_API_KEY);
    const page = await (await get(PATH)).text();
    expect(page).toContain("dl_1");
    expect(page).not.toContain(`${PATH}/dl_1`);
    for (const action of ["redrive", "delete"]) {
      expect((await post(`${PATH}/dl_1/${action}`)).status).toBe(403);
    }
    expect(await store().get("dl_1")).not.toBeNull();
    expect(await lastAudited()).toBeUndefined();
  });
});

describe("redriving many", () => {
  it("hands over those of a reason and says how many", async () => {
    await keep({ id: "dl_1", reason: "not_consumed", webhookIds: null });
    await keep({ id: "dl_2", reason: "full", webhookIds: [] });
    expect(await textOf(PATH)).toContain(`action="${PATH}/redrive"`);
    const response = await visitor.post(`${PATH}/redrive`, { reason: "full" });
    expect(leadsTo(response)).toBe(`${PATH}?done=redriven_many&count=1`);
    expect((await store().list(null, 10)).map(({ id }) => id)).toEqual(["dl_1"]);
  });

  it("leads to what came of it: the deliveries of those that were owed, and of those that are routed only now", async () => {
    const webhook = await register();
    const [owed, unrouted, before] = await newEvents(3);
    if (owed === undefined || unrouted === undefined || before === undefined) throw new Error();
    await consume([before]);
    clock.advance(HOUR);
    await keep({ id: "dl_1", webhookIds: [webhook.id as WebhookId] }, owed);
    await keep({ id: "dl_2", reason: "journal_unreachable" }, unrouted);
    const answer = await visitor.post(`${PATH}/redrive`, { reason: "" });
    await consume([unrouted]);
    const touched = touchedBy(answer);
    const link = `<a href="${touched}">See what became of them, among all deliveries of that time</a>`;
    expect(await textOf(PATH)).toContain(link);
    const expected = [owed, unrouted].map(({ id }) => `${webhook.id}/${id}`);
    expect(rowsOf(await textOf(touched)).toSorted()).toEqual(expected.toSorted());
  });

  it("leads to the deliveries of just those that were owed, whatever came at the same time", async () => {
    const webhook = await register();
    const [owed, other] = await newEvents(2);
    if (owed === undefined || other === undefined) throw new Error();
    await keep({ id: "dl_1", webhookIds: [webhook.id as WebhookId] }, owed);
    const answer = await visitor.post(`${PATH}/redrive`, { reason: "" });
    await consume([other]);
    expect(rowsOf(await textOf(touchedBy(answer)))).toEqual([`${webhook.id}/${owed.id}`]);
    expect(await textOf(PATH)).toContain(">See what became of it</a>");
  });

  it("leads nowhere when none could be handed over", async () => {
    expect(touchedBy(await visitor.post(`${PATH}/redrive`, { reason: "" }))).toBe("");
  });

  it.each(["", "full"])(
    "goes on with those behind the first 1,000, and says how far of how many it is: reason “%s”",
    async (reason) => {
      const webhook = await register();
      const events = await newEvents(1_002);
      const owed = { reason: "full" as const, webhookIds: [webhook.id as WebhookId] };
      await Promise.all(
        events.map((event, index) =>
          keep({ id: `dl_${index}`, failedAtMs: index, ...owed }, event),
        ),
      );
      const { pages, answer } = await goingOn(`${PATH}/redrive`, { reason });
      expect(pages).toHaveLength(1);
      expect(pages[0]).toContain("1,000 dead letters redriven so far.");
      expect(pages[0]).toContain('<progress aria-label="So far" value="1000" max="1002"');
      expect(pages[0]).toContain("1,000 of 1,002<");
      expect(leadsTo(answer)).toBe(`${PATH}?done=redriven_many&count=1002`);
      expect((await store().stats()).count).toBe(0);
      // Since the first of its pages: the last that were handed over arrived first on the list, and all stand in it.
      let listed = 0;
      for (let path: string | undefined = touchedBy(answer); path !== undefined; ) {
        const list: string = await textOf(path);
        listed += rowsOf(list).length;
        path = /rel="next" href="([^"]+)"/.exec(list)?.[1]?.replaceAll("&amp;", "&");
      }
      expect(listed).toBe(1_002);
    },
  );
});
