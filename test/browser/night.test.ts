/**
 * Somebody is woken at night. Ten services in ten states, with real failures: what the pages say of each is held
 * against what the services saw and what the API says; and what fails is found, repaired and seen green in a few clicks.
 */
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { Locator, Page } from "playwright-core";
import { expect, it, onTestFinished } from "vitest";
import { closeServer, freePort, listen } from "../../scripts/loopback.ts";
import type { RegisteredWebhook } from "../rig/api.ts";
import { type Answer, answering, type Exchange, type ReceivedRequest } from "../rig/receiver.ts";
import { describeInBrowser, type Rig } from "./rig.ts";

const CAUSE = "could not connect to postgres";
/** What the contract allows a time to come to lie in the past. */
const TOLERANCE_MS = 2_000;
const PATIENCE_MS = 30_000;
const ALERT_PATH = "/alerts";
/** From the page that the alert leads to until all is well. */
const MOST_CLICKS = 3;
/** Past ten failures in a row, one at a time is tried. */
const EVENTS = 12;

type State = {
  name: string;
  draft?: Record<string, unknown>;
  answer?: (exchange: Exchange) => unknown;
  /** The state that the API and the pages call it by, once it has been tried. */
  state: string;
  /** What the overview says of it; null for nothing. */
  says: RegExp | null;
};

const STATES: readonly State[] = [
  { name: "good", state: "healthy", says: null },
  {
    name: "error",
    answer: answering(500, { body: CAUSE }),
    state: "probing",
    says: /^error Failing since .+: 500 refused, “could not connect to postgres”\. 12 deliveries wait/,
  },
  {
    name: "hanging",
    draft: { timeout: "1s" },
    answer: () => {},
    state: "probing",
    says: /^hanging Failing since .+: no answer in time\. 12 deliveries wait/,
  },
  {
    name: "closed",
    draft: { url: "http://127.0.0.1:1/closed" },
    state: "probing",
    says: /^closed Failing since .+: not reached\. 12 deliveries wait/,
  },
  {
    name: "busy",
    answer: answering(429, { headers: { "retry-after": "600" }, body: "later" }),
    state: "postponed",
    says: /^busy The service asked for a pause: 429 refused, “later”\. 12 deliveries wait/,
  },
  {
    name: "gone",
    answer: answering(410),
    state: "disabled",
    says: /^gone Disabled since .+: the service answered 410 Gone\. 12 deliveries are held/,
  },
  {
    name: "denied",
    answer: answering(401, { body: "bad signature" }),
    state: "probing",
    says: /^denied Failing since .+: 401 refused, “bad signature”\. 12 deliveries wait/,
  },
  {
    name: "paused",
    draft: { status: "paused" },
    state: "paused",
    says: /^paused Paused.*\. 12 deliveries are held/,
  },
  {
    name: "ordered",
    draft: { ordered: true },
    answer: answering(503),
    state: "failing",
    says: /^ordered Failing since .+: 503 refused\. 12 deliveries wait/,
  },
  {
    name: "short",
    draft: { retrySchedule: "1s" },
    answer: answering(503),
    state: "probing",
    says: /^short Failing since .+: 503 refused\..* stopped retrying/,
  },
];

type Health = { state: string; pending: number; undeliverable: number };
type Staged = State & { webhook: RegisteredWebhook; eventIds: string[] };

const ofService = (rig: Rig, name: string): ReceivedRequest[] =>
  rig.service.requests.filter(({ path }) => path === `/${name}`);

async function stage(
  rig: Rig,
  { name, draft = {} }: { name: string; draft?: State["draft"] | undefined },
): Promise<RegisteredWebhook> {
  return rig.register({
    url: `${rig.service.url}/${name}`,
    description: name,
    events: [`night.${name}`],
    ...draft,
  });
}

async function healthOf({ relay }: Rig, id: string): Promise<Health> {
  return relay.call<Health>(`/webhooks/${id}/health`);
}

async function untilHealth(rig: Rig, id: string, isSo: (health: Health) => boolean): Promise<void> {
  const endsAtMs = Date.now() + PATIENCE_MS;
  for (;;) {
    const health = await healthOf(rig, id);
    if (isSo(health)) return;
    if (Date.now() > endsAtMs) throw new Error(`waited in vain: ${JSON.stringify(health)}`);
    await sleep(50);
  }
}

function answerByPath(rig: Rig, answers: ReadonlyMap<string, State["answer"]>): void {
  rig.service.answer = async (exchange) => {
    const answer = answers.get(exchange.request.path.slice(1)) ?? answering(200);
    await answer(exchange);
  };
}

/** Every time on a page that says when an attempt will be made. */
async function timesToCome(page: Page): Promise<{ text: string; atMs: number }[]> {
  return page.evaluate(`[...document.querySelectorAll("time[datetime]")].flatMap((time) => {
    const cell = time.closest("td");
    const row = time.closest("tr");
    const isNext = cell === null
      ? /next( attempt is)?\\s*$/i.test(time.previousSibling?.textContent ?? "")
      : (cell.dataset.label ?? "").startsWith("Next") && /pending/.test(row.textContent);
    return isNext ? [{ text: time.parentElement.textContent, atMs: Date.parse(time.dateTime) }] : [];
  })`);
}

async function expectNoneInThePast(page: Page, path: string): Promise<void> {
  const askedAtMs = Date.now();
  await page.goto(path);
  for (const { text, atMs } of await timesToCome(page)) {
    expect(atMs, `${path}: ${text}`).toBeGreaterThanOrEqual(askedAtMs - TOLERANCE_MS);
  }
}

/** What a page says while nothing changes: the API says the same before and after it was asked for. */
async function whileStill<T>(ask: () => Promise<string>, look: () => Promise<T>): Promise<T> {
  for (let tries = 0; tries < 20; tries++) {
    const before = await ask();
    const seen = await look();
    if ((await ask()) === before) return seen;
  }
  throw new Error("it never stands still");
}

/** The cells of a table's rows by what they are, by the row's key. */
async function rowsOf(page: Page): Promise<Record<string, Record<string, string>>> {
  return page.evaluate(`Object.fromEntries([...document.querySelectorAll("tr[data-row]")].map((row) => [
    row.dataset.row,
    Object.fromEntries([...row.cells].map((cell) => [
      cell.dataset.label ?? "name", cell.innerText.replace(/\\s+/g, " ").trim()])),
  ]))`);
}

describeInBrowser(
  "a night",
  (rig) => {
    const staged: Staged[] = [];

    async function setUp(): Promise<void> {
      answerByPath(rig, new Map(STATES.map(({ name, answer }) => [name, answer])));
      for (const state of STATES) {
        const webhook = await stage(rig, state);
        const eventIds: string[] = [];
        for (let number = 0; number < EVENTS; number++) {
          eventIds.push(await rig.relay.accept({ event: `night.${state.name}`, data: { number } }));
        }
        staged.push({ ...state, webhook, eventIds });
      }
      for (const { webhook, state } of staged) {
        await untilHealth(rig, webhook.id, (health) => {
          return health.state === state && (state !== "healthy" || health.pending === 0);
        });
      }
      // The short schedule is used up.
      const short = staged.at(-1)?.webhook.id ?? "";
      await untilHealth(rig, short, ({ undeliverable }) => undeliverable > 0);
    }

    /** The overview: a line for each that has a problem, and none for the one that has none. */
    async function checkOverview(page: Page): Promise<void> {
      const lines = await whileStill(all, async () => {
        await page.goto("/dashboard");
        const texts = await page.locator("#condition .problems > li > p").allInnerTexts();
        return texts.map((text) => text.replace(/\s+/g, " "));
      });
      for (const { name, says } of staged) {
        const own = lines.filter((line) => line.startsWith(`${name} `));
        expect(own, name).toHaveLength(says === null ? 0 : 1);
        if (says !== null) expect(own[0], name).toMatch(says);
      }
      expect(await page.getByText("All is well").count()).toBe(0);
    }

    /** The list: state and counts as the API and the services have them. */
    async function checkWebhooks(page: Page): Promise<void> {
      const [rows, healths] = await whileStill(all, async () => {
        await page.goto("/dashboard/webhooks");
        return [await rowsOf(page), JSON.parse(await all()) as Health[]] as const;
      });
      for (const [index, { name, webhook }] of staged.entries()) {
        const { State = "", Pending, Delivered } = rows[webhook.id] ?? {};
        const succeeded = name === "good" ? ofService(rig, name).length : 0;
        expect(State.split(" ")[0], name).toBe(healths[index]?.state);
        expect(Number(Pending), name).toBe(healths[index]?.pending);
        expect(Number(Delivered), name).toBe(succeeded);
      }
    }

    async function checkTimes(page: Page): Promise<void> {
      const paths = ["/dashboard", "/dashboard/webhooks", "/dashboard/deliveries"];
      for (const { webhook, eventIds } of staged) {
        const path = `/dashboard/webhooks/${webhook.id}`;
        paths.push(path, `${path}/deliveries/${eventIds[0]}`, `${path}/deliveries/${eventIds[11]}`);
        paths.push(`/dashboard/deliveries?webhook=${webhook.id}`);
      }
      for (const path of paths) await expectNoneInThePast(page, path);
    }

    /** Each delivery was tried as often as its service saw. */
    async function checkDeliveries(page: Page, { name, webhook, eventIds }: Staged): Promise<void> {
      const path = `/dashboard/deliveries?webhook=${webhook.id}`;
      const shown = await whileStill(
        async () => String(ofService(rig, name).length),
        async () => {
          await page.goto(path);
          return rowsOf(page);
        },
      );
      for (const eventId of eventIds) {
        const seen = ofService(rig, name).filter(
          ({ headers }) => headers["webhook-id"] === eventId,
        );
        const { Attempts, Status } = shown[`${webhook.id}/${eventId}`] ?? {};
        // One may be under way: the service has it, and its outcome is not known yet.
        expect(seen.length - Number(Attempts), `${name} ${eventId}`).toBeOneOf([0, 1]);
        const delivery = await rig.relay.delivery(webhook.id, eventId);
        expect(Status, `${name} ${eventId}`).toBe(delivery?.status);
      }
    }

    const all = async () =>
      JSON.stringify(await Promise.all(staged.map(({ webhook }) => healthOf(rig, webhook.id))));

    it("is told truly by every page: ten services in ten states", async () => {
      await setUp();
      const page = await rig.signedIn({ timezoneId: "Europe/Berlin" });
      await checkOverview(page);
      await checkWebhooks(page);
      await checkTimes(page);
      for (const each of staged.filter(({ name }) => name !== "closed")) {
        await checkDeliveries(page, each);
      }
    }, 240_000);

    it("shows when an attempt comes, and the service sees none before", async () => {
      answerByPath(rig, new Map([["soon", answering(503)]]));
      const webhook = await stage(rig, { name: "soon", draft: { retrySchedule: "3s 3s" } });
      const eventId = await rig.relay.accept({ event: "night.soon", data: {} });
      await rig.relay.attempted(webhook.id, eventId);
      const page = await rig.signedIn();
      const saw = () => ofService(rig, "soon").length;
      const { atMs, before } = await whileStill(
        async () => String(saw()),
        async () => {
          await page.goto(`/dashboard/webhooks/${webhook.id}/deliveries/${eventId}`);
          const [next] = await timesToCome(page);
          return { atMs: next?.atMs ?? Number.NaN, before: saw() };
        },
      );
      while (saw() === before) await sleep(20);
      const [next] = ofService(rig, "soon").slice(before);
      expect(next?.receivedAtMs).toBeGreaterThanOrEqual(atMs - 1);
      await rig.relay.finished(webhook.id, eventId);
    });

    // --- from the link in an alert: the cause on the first screen, repaired in three clicks at most ------------------

    type Repair = {
      name: string;
      answer: Answer;
      /** What the first screen says. */
      cause: string;
      clicks: readonly string[];
      draft?: Record<string, unknown>;
    };

    const REPAIRS: readonly Repair[] = [
      {
        name: "fixed-error",
        answer: answering(500, { body: CAUSE }),
        cause: CAUSE,
        clicks: ["Try now"],
      },
      {
        name: "fixed-hang",
        draft: { timeout: "1s" },
        answer: () => {},
        cause: "No answer came within 1 second.",
        clicks: ["Try now"],
      },
      { name: "fixed-gone", answer: answering(410), cause: "410 Gone", clicks: ["Resume"] },
      {
        name: "fixed-outage",
        draft: { retrySchedule: "1s" },
        answer: answering(503, { body: "maintenance" }),
        cause: "maintenance",
        clicks: ["Replay 3"],
      },
    ];

    const alertsAbout = (id: string) =>
      rig.service.requests
        .filter(({ path }) => path === ALERT_PATH)
        .map(({ body }) => (JSON.parse(body.toString()) as { text: string }).text)
        .filter((text) => text.includes(id));

    /** The alert that wakes somebody, and the address in it. */
    async function linkOfAlert(id: string): Promise<string> {
      await rig.sweepLater();
      await expect.poll(() => alertsAbout(id).length, { timeout: PATIENCE_MS }).toBeGreaterThan(0);
      const [text = ""] = alertsAbout(id);
      const [link = "", ...more] = text.match(/https?:\/\/\S+/g) ?? [];
      expect(more, text).toEqual([]);
      return link;
    }

    /** A window that somebody opens by a link, signed in already; it counts what is clicked in it. */
    async function openedBy(link: string): Promise<{ page: Page; clicks: () => Promise<number> }> {
      const page = await rig.signedIn();
      let clicks = 0;
      await page.exposeFunction("countClick", () => {
        clicks += 1;
      });
      await page.addInitScript(
        `addEventListener("click", ({ isTrusted }) => isTrusted && countClick(), true)`,
      );
      await page.goto(link);
      return { page, clicks: async () => clicks };
    }

    /** Wakes somebody who sees the cause at once, has the service mended, and sees it green. */
    async function mend({
      webhook,
      eventIds,
      cause,
      clicks,
      mended,
    }: {
      webhook: RegisteredWebhook;
      eventIds: readonly string[];
      cause: string;
      clicks: readonly string[];
      mended: () => unknown;
    }): Promise<void> {
      const { page, clicks: clicked } = await openedBy(await linkOfAlert(webhook.id));
      const seen = page.locator("#health").getByText(cause).first();
      await seen.waitFor();
      expect(await isInSight(seen), `${cause} is on the first screen`).toBe(true);
      await mended();
      for (const click of clicks) await page.getByRole("button", { name: click }).click();
      await page.locator("#health .notice.good").getByText("All is well").waitFor();
      await expect.poll(clicked).toBe(clicks.length);
      expect(clicks.length).toBeLessThanOrEqual(MOST_CLICKS);
      for (const eventId of eventIds) {
        expect((await rig.relay.delivery(webhook.id, eventId))?.status).toBe("delivered");
      }
    }

    it.each(REPAIRS)(
      "ends in a few clicks: $name",
      async ({ name, draft, answer, cause, clicks }) => {
        answerByPath(rig, new Map([[name, answer]]));
        const webhook = await stage(rig, { name, draft });
        const eventIds: string[] = [];
        for (let number = 0; number < 3; number++) {
          eventIds.push(await rig.relay.accept({ event: `night.${name}`, data: { number } }));
        }
        const isOutage = name === "fixed-outage";
        await untilHealth(rig, webhook.id, ({ state, undeliverable }) =>
          isOutage ? undeliverable === 3 : state === "failing" || state === "disabled",
        );
        const mended = () => answerByPath(rig, new Map());
        await mend({ webhook, eventIds, cause, clicks, mended });
      },
    );

    it("ends in a few clicks when nobody listened at the port", async () => {
      const port = (await freePort()) ?? 0;
      const draft = { url: `http://127.0.0.1:${port}/closed` };
      const webhook = await stage(rig, { name: "fixed-closed", draft });
      const eventId = await rig.relay.accept({ event: "night.fixed-closed", data: {} });
      await rig.relay.attempted(webhook.id, eventId);
      const server = createServer((_, response) => void response.writeHead(204).end());
      onTestFinished(() => closeServer(server));
      await mend({
        webhook,
        eventIds: [eventId],
        cause: "The service was not reached",
        clicks: ["Try now"],
        mended: () => listen(server, port),
      });
    });
  },
  ({ url }) => ({ ALERT_URL: url + ALERT_PATH }),
);

/** Nobody has to scroll for it. */
async function isInSight(element: Locator): Promise<boolean> {
  const box = await element.boundingBox();
  const height = element.page().viewportSize()?.height ?? 0;
  return box !== null && box.y >= 0 && box.y + box.height <= height;
}
