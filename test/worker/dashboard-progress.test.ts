/** Work on many at once: how far it is, page by page, and the list that what was touched really stands in. */
import { describe, expect } from "vitest";
import { goingOn, it, leadsTo, rowsOf, textOf, touchedBy, visitor } from "../rig/worker/dashboard";
import { deliverAll, newEvents, patch, pause, register, resume } from "../rig/worker/engine";
import { answering, clock, MINUTE, service } from "../rig/worker/fixture";
import { consume } from "../rig/worker/queue";
import { api } from "../rig/worker/requests";

const LIST = "/dashboard/deliveries";
const RETRY = `${LIST}/retry`;

/** So many deliveries that wait, as they are ticked. */
async function waiting(count: number): Promise<{ id: string; keys: string[] }> {
  const { id } = await register();
  await pause(id);
  const events = await newEvents(count);
  await consume(events);
  return { id, keys: events.map((event) => `${id}/${event.id}`) };
}

describe("the selected deliveries", () => {
  it("are retried some at a time, with how far it is, and lead to a list of just them", async () => {
    const { keys } = await waiting(30);
    const delivery = keys.slice(3, 26);
    const back = `${LIST}?status=pending`;
    const { pages, answer } = await goingOn(RETRY, { delivery, back });
    expect(pages.map((page) => /([\d,]+) of ([\d,]+)</.exec(page)?.slice(1))).toEqual([
      ["10", "23"],
      ["20", "23"],
    ]);
    expect(pages[0]).toContain('<progress aria-label="So far" value="10" max="23"');
    expect(pages[0]).toContain("10 deliveries retried so far.");
    expect(pages[0]).toContain('<a href="/dashboard/deliveries?status=pending">Stop here</a>');
    expect(leadsTo(answer)).toBe(`${back}&done=retried&count=23`);
    const touched = touchedBy(answer);
    expect(await textOf(back)).toContain(`<a href="${touched}">See what became of them</a>`);
    const list = await textOf(touched);
    expect(rowsOf(list).toSorted()).toEqual(delivery.toSorted());
    expect(list).toContain("Only those that were chosen.");
  });

  it("that could not be retried are not in the list that it leads to", async () => {
    const { keys } = await waiting(12);
    const [gone = "", ...others] = keys;
    await api("DELETE", `/v1/events/${gone.split("/")[1]}`);
    const { pages, answer } = await goingOn(RETRY, { delivery: keys });
    expect(pages[0]).toContain("9 deliveries retried so far.");
    expect(pages[0]).toContain("10 of 12<");
    expect(leadsTo(answer)).toBe(`${LIST}?done=retried_in_part&count=11`);
    expect(rowsOf(await textOf(touchedBy(answer))).toSorted()).toEqual(others.toSorted());
  });

  it("are a page of them at most, of whichever webhooks, and the way to their list fits a cookie", async () => {
    const webhooks = await Promise.all(Array.from({ length: 50 }, () => register()));
    const [event] = await newEvents(1);
    if (event === undefined) throw new Error("no event");
    for (const { id } of webhooks) await pause(id);
    await consume([event]);
    const keys = webhooks.map(({ id }) => `${id}/${event.id}`);
    const back = `${LIST}?status=pending&event=message.sent&within=week&since=2026-11-01T10%3A00&until=2026-12-31T10%3A00`;
    const { pages, answer } = await goingOn(RETRY, { delivery: [...keys, `${keys[0]}x`], back });
    expect(pages).toHaveLength(4);
    for (const cookie of answer.headers.getSetCookie()) {
      // https://www.rfc-editor.org/rfc/rfc6265#section-6.1
      expect(cookie.length).toBeLessThan(4_096);
    }
    const touched = touchedBy(answer);
    expect(rowsOf(await textOf(touched)).toSorted()).toEqual(keys.toSorted());

    // Again from there: one such address is all that a cookie holds.
    const again = (await goingOn(RETRY, { delivery: keys.slice(0, 49), back: touched })).answer;
    const there = again.headers.get("location") ?? "";
    expect(rowsOf(await textOf(there)).toSorted()).toEqual(keys.slice(0, 49).toSorted());
    expect(touchedBy(again)).toBe("");
  });

  it("in an address that names none are those of the whole list", async () => {
    const { keys } = await waiting(2);
    for (const chosen of ["x", "..--..", "evt_1", `${keys[0]}`]) {
      const page = await textOf(`${LIST}?chosen=${encodeURIComponent(chosen)}`);
      expect(rowsOf(page).toSorted(), chosen).toEqual(keys.toSorted());
    }
  });
});

describe("many at once", () => {
  /** What a service refused at the first attempt, of 3 that it was sent beside 2 that it took. */
  async function refused(): Promise<{ id: string; keys: string[] }> {
    const { id } = await register({ giveUpOn: [422] });
    const [bad, good] = [await newEvents(3), await newEvents(2)];
    service.answer = answering(422);
    await consume(bad);
    await deliverAll(id, clock);
    service.answer = answering(200);
    await consume(good);
    await deliverAll(id, clock);
    clock.advance(MINUTE);
    return { id, keys: bad.map((event) => `${id}/${event.id}`) };
  }

  const go = (id: string, what: "replay" | "discard", fields: Record<string, string> = {}) =>
    visitor.post(`/dashboard/webhooks/${id}/${what}`, {
      step: "go",
      span: "day",
      only: "undeliverable",
      ...fields,
    });

  it("that are replayed lead to a list of just them, however they end", async () => {
    const { id, keys } = await refused();
    const answer = await go(id, "replay");
    await deliverAll(id, clock);
    const list = await textOf(touchedBy(answer));
    expect(rowsOf(list).toSorted()).toEqual(keys.toSorted());
    expect(list).toContain("Opened again since");
    // The API has no such list: each of them is a call.
    for (const key of keys) {
      expect(list).toContain(`GET /v1/webhooks/${key.replace("/", "/deliveries/")}`);
    }
  });

  it("that a webhook never had lead to a list of just them", async () => {
    const { id } = await refused();
    await patch(id, { events: ["reply.received"] });
    const missed = await newEvents(2);
    await consume(missed);
    await patch(id, { events: ["*"] });
    clock.advance(MINUTE);
    const answer = await go(id, "replay", { only: "missing" });
    const keys = missed.map((event) => `${id}/${event.id}`);
    expect(rowsOf(await textOf(touchedBy(answer))).toSorted()).toEqual(keys.toSorted());
  });

  it("that are replayed with those that wait lead to all of that time, and the link says so", async () => {
    const { id } = await refused();
    const answer = await go(id, "replay", { only: "all" });
    expect(rowsOf(await textOf(touchedBy(answer)))).toHaveLength(5);
    expect(await textOf(leadsTo(answer).split("?")[0] ?? "")).toContain(
      "See what became of them, among all deliveries of that time",
    );
  });

  it("that are discarded lead to a list of just them, not of what was cancelled before", async () => {
    const { id, keys } = await waiting(3);
    const [before = "", ...others] = keys;
    await api("POST", `/v1/webhooks/${id}/deliveries/${before.split("/")[1]}/cancel`);
    clock.advance(MINUTE);
    const answer = await go(id, "discard", { span: "" });
    expect(rowsOf(await textOf(touchedBy(answer))).toSorted()).toEqual(others.toSorted());
    await resume(id);
  });
});
