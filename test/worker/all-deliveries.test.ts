/** GET /v1/deliveries: the deliveries of all webhooks, one list. */
import { describe, expect, vi } from "vitest";
import {
  accept,
  deliverAll,
  newEvents,
  pause,
  register,
  type ShownDelivery,
} from "../rig/worker/engine";
import { answering, clock, DAY, it, MINUTE, service } from "../rig/worker/fixture";
import { api, type Problem } from "../rig/worker/requests";

type Page = { data: ShownDelivery[]; next: string | null };

async function page(parameters: Record<string, string> = {}): Promise<Page> {
  const response = await api("GET", `/v1/deliveries?${new URLSearchParams(parameters)}`);
  expect(response.status).toBe(200);
  return response.json();
}

async function all(parameters: Record<string, string> = {}): Promise<ShownDelivery[]> {
  const found: ShownDelivery[] = [];
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const { data, next }: Page = await page({ ...parameters, ...(cursor && { cursor }) });
    found.push(...data);
    cursor = next;
  }
  return found;
}

const keyOf = ({ createdAt, eventId, webhookId }: ShownDelivery) =>
  `${createdAt} ${eventId} ${webhookId}`;

const newestFirst = (deliveries: readonly ShownDelivery[]) =>
  deliveries.map(keyOf).toSorted().toReversed();

/** What happens in it happens in one millisecond. */
async function atOnce(act: () => Promise<unknown>): Promise<void> {
  const ticking = vi.mocked(Date.now).getMockImplementation();
  const nowMs = clock.nowMs();
  vi.mocked(Date.now).mockImplementation(() => nowMs);
  await act();
  vi.mocked(Date.now).mockImplementation(ticking ?? (() => nowMs));
}

/** Three webhooks with batches that overlap, some of them of the same millisecond. */
async function crowd(): Promise<{ ids: string[]; count: number }> {
  const ids: string[] = [];
  for (let n = 0; n < 3; n++) ids.push((await register({ giveUpOn: [404] })).id);
  let count = 0;
  for (let round = 0; round < 4; round++) {
    const events = await newEvents(7);
    await atOnce(async () => {
      for (const id of ids.slice(0, round + 1)) count += await accept(id, events);
    });
    clock.advance(round % 2 === 0 ? 0 : MINUTE);
  }
  return { ids, count };
}

describe("GET /v1/deliveries", () => {
  it("lists every delivery of every webhook once, by time, event and webhook, whatever the page", async () => {
    const { count } = await crowd();
    for (const limit of ["1", "5", "250"]) {
      const listed = await all({ limit });
      expect(listed).toHaveLength(count);
      expect(listed.map(keyOf)).toEqual(newestFirst(listed));
    }
    expect((await page({ limit: "5" })).data).toHaveLength(5);
  });

  it("narrows as the list of one webhook does", async () => {
    const { ids, count } = await crowd();
    const [first = "", second = ""] = ids;
    await pause(first);
    service.answer = answering(404);
    clock.advance(DAY);
    const [late] = await newEvents(1, { event: "campaign.started" });
    await accept(second, late === undefined ? [] : [late]);
    for (const id of [second, ids[2] ?? ""]) await deliverAll(id, clock);
    const ofEach = async (filter: Record<string, string>) => {
      const own = await Promise.all(
        ids.map(async (id) => {
          const asked = new URLSearchParams({ ...filter, limit: "250" });
          const response = await api("GET", `/v1/webhooks/${id}/deliveries?${asked}`);
          return (await response.json<Page>()).data;
        }),
      );
      return newestFirst(own.flat());
    };
    const since = new Date(clock.nowMs() - DAY / 2).toISOString();
    const filters: [Record<string, string>, number?][] = [
      [{}, count + 1],
      [{ status: "pending" }],
      [{ status: "undeliverable" }],
      [{ attempted: "false" }],
      [{ statusCode: "404" }],
      [{ error: "status", event: "message.sent" }],
      [{ event: "campaign.started" }, 1],
      [{ since }, 1],
      [{ until: since }, count],
      [{ until: since, status: "undeliverable" }],
    ];
    for (const [filter, expected] of filters) {
      const listed = await all({ ...filter, limit: "3" });
      expect(listed.map(keyOf), JSON.stringify(filter)).toEqual(await ofEach(filter));
      if (expected !== undefined) expect(listed).toHaveLength(expected);
      expect(listed.length).toBeGreaterThan(0);
    }
  });

  it("looks at no more than 2,000 deliveries a page, and goes on behind them", async () => {
    const { id } = await register();
    for (let batch = 0; batch < 26; batch++) await accept(id, await newEvents(100));
    const first = await page({ event: "campaign.started" });
    expect(first.data).toEqual([]);
    expect(first.next).not.toBeNull();
    expect((await page({ event: "campaign.started", cursor: first.next ?? "" })).next).toBeNull();
  });

  it("does not list those of a deleted webhook", async () => {
    const { ids, count } = await crowd();
    await api("DELETE", `/v1/webhooks/${ids[2]}`);
    const listed = await all();
    expect(listed.length).toBeLessThan(count);
    expect(listed.filter(({ webhookId }) => webhookId === ids[2])).toEqual([]);
  });

  it("refuses a cursor that it did not give", async () => {
    const response = await api("GET", "/v1/deliveries?cursor=1.2");
    expect(response.status).toBe(422);
    expect((await response.json<Problem>()).errors?.[0]?.path).toBe("cursor");
  });
});
