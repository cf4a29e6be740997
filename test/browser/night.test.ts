/**
 * Somebody is woken at night. Eleven services in as many states, with real failures: what the pages say of each is held
 * against what the services saw and what the API says; and what fails is found, repaired and seen green in a few clicks.
 */
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { Locator, Page } from "playwright-core";
import { expect, it, onTestFinished } from "vitest";
import { version } from "../../package.json";
import { closeServer, freePort, listen } from "../../scripts/loopback.ts";
import type { RegisteredWebhook } from "../rig/api.ts";
import { type Answer, answering, type ReceivedRequest } from "../rig/receiver.ts";
import {
  type Account,
  accountOf,
  CLOCK_MS,
  endOf,
  expectSameAsServices,
  type Watched,
} from "./account.ts";
import { expectTrue, FORMS } from "./forms.ts";
import { describeInBrowser, type Rig } from "./rig.ts";
import { expectTrueTimes, type Reading, read } from "./sentences.ts";

const CAUSE = "could not connect to postgres";
const ZONE = "Europe/Berlin";
/** Of the schedule where an attempt is waited for. */
const WAIT_MS = 5_000;
const MOST_JITTER = 1.1;
const PATIENCE_MS = 60_000;
const ALERT_PATH = "/alerts";
/** From the page that the alert leads to until all is well. */
const MOST_CLICKS = 3;
/** Past ten failures in a row, one at a time is tried. */
const EVENTS = 12;

type State = {
  name: string;
  draft?: Record<string, unknown>;
  answer?: Answer;
  answers: Watched["answers"];
  /** So many events it takes before it answers so, to one more. */
  tookFirst?: number;
  /** The state that the API and the pages call it by, once it has been tried. */
  state: string;
  /** What the overview says of it; null for nothing. */
  says: RegExp | null;
};

const STATES: readonly State[] = [
  { name: "good", answers: 200, state: "healthy", says: null },
  {
    name: "error",
    answers: 500,
    answer: answering(500, { body: CAUSE }),
    state: "probing",
    says: /^error Probing since .+: 500 refused, “could not connect to postgres”\. 12 deliveries wait/,
  },
  {
    name: "stumbled",
    answers: 500,
    answer: answering(500, { body: CAUSE }),
    tookFirst: 1,
    draft: { retrySchedule: "1h" },
    state: "healthy",
    says: null,
  },
  {
    name: "hanging",
    answers: "nothing",
    draft: { timeout: "1s" },
    answer: () => {},
    state: "probing",
    says: /^hanging Probing since .+: no answer in time\. 12 deliveries wait/,
  },
  {
    name: "closed",
    answers: null,
    draft: { url: "http://127.0.0.1:1/closed" },
    state: "probing",
    says: /^closed Probing since .+: not reached\. 12 deliveries wait/,
  },
  {
    name: "busy",
    answers: 429,
    answer: answering(429, { headers: { "retry-after": "600" }, body: "later" }),
    state: "postponed",
    says: /^busy Postponed since .+, because the service asked for a pause: 429 refused, “later”\. 12 deliveries wait/,
  },
  {
    name: "gone",
    answers: 410,
    answer: answering(410),
    state: "disabled",
    says: /^gone Disabled since .+: the service answered 410 Gone\. 12 deliveries are held/,
  },
  {
    name: "denied",
    answers: 401,
    answer: answering(401, { body: "bad signature" }),
    state: "probing",
    says: /^denied Probing since .+: 401 refused, “bad signature”\. 12 deliveries wait/,
  },
  {
    name: "paused",
    answers: 200,
    draft: { status: "paused" },
    state: "paused",
    says: /^paused Paused.*\. 12 deliveries are held/,
  },
  {
    name: "ordered",
    answers: 503,
    draft: { ordered: true },
    answer: answering(503),
    state: "failing",
    says: /^ordered Failing since .+: 503 refused\. 12 deliveries wait/,
  },
  {
    name: "short",
    answers: 503,
    draft: { retrySchedule: "1s" },
    answer: answering(503),
    state: "probing",
    says: /^short Probing since .+: 503 refused\..* stopped retrying/,
  },
];

type Health = { state: string; pending: number; undeliverable: number; lastFailure: unknown };
type Staged = State & Watched;

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

/** What a page says while nothing changes: the API says the same before and after it was asked for. */
async function whileStill<T, Asked>(
  ask: () => Promise<Asked>,
  look: () => Promise<T>,
): Promise<[T, Asked]> {
  for (let tries = 0; tries < 20; tries++) {
    const before = await ask();
    const seen = await look();
    if (JSON.stringify(await ask()) === JSON.stringify(before)) return [seen, before];
  }
  throw new Error("it never stands still");
}

describeInBrowser(
  "a night",
  (rig) => {
    const staged: Staged[] = [];

    /** What it is to have; from then on it answers as it does. */
    async function sendEvents(
      { name, answer, tookFirst = 0 }: State,
      webhook: RegisteredWebhook,
      answers: Map<string, State["answer"]>,
    ): Promise<Watched["events"]> {
      const events: Watched["events"][number][] = [];
      const send = async () => {
        const body = JSON.stringify({ event: `night.${name}`, data: { number: events.length } });
        events.push({ sentAtMs: Date.now(), body, id: await rig.relay.accept(body) });
      };
      for (let number = 0; number < tookFirst; number++) await send();
      for (const { id } of events) await rig.relay.finished(webhook.id, id);
      answers.set(name, answer);
      for (let number = tookFirst === 0 ? 0 : EVENTS - 1; number < EVENTS; number++) await send();
      return events;
    }

    async function setUp(): Promise<void> {
      const answers = new Map<string, State["answer"]>();
      answerByPath(rig, answers);
      for (const state of STATES) {
        const webhook = await stage(rig, state);
        staged.push({ ...state, webhook, events: await sendEvents(state, webhook, answers) });
      }
      for (const { webhook, state, answers: answered } of staged) {
        const isWell = answered === 200;
        await untilHealth(rig, webhook.id, (health) => {
          if (health.state !== state || state !== "healthy") return health.state === state;
          return isWell ? health.pending === 0 : health.lastFailure !== null;
        });
      }
      // The short schedule is used up, of the last one too: its probes come every second.
      const short = staged.at(-1)?.webhook.id ?? "";
      await untilHealth(rig, short, ({ undeliverable }) => undeliverable === EVENTS);
    }

    /** The overview: a line for each that has a problem, and none for the one that has none. */
    async function checkOverview(page: Page): Promise<void> {
      const [lines] = await whileStill(all, async () => {
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

    const all = () => Promise.all(staged.map(({ webhook }) => healthOf(rig, webhook.id)));

    /** Every page on which webhooks, deliveries and attempts are told of. */
    function* pages(): Iterable<string> {
      yield* ["/dashboard", "/dashboard/webhooks", "/dashboard/deliveries"];
      for (const { webhook, events } of staged) {
        const path = `/dashboard/webhooks/${webhook.id}`;
        yield* [path, `${path}/attempts`, `/dashboard/deliveries?webhook=${webhook.id}`];
        yield* [events.at(0), events.at(-1)].map((event) => `${path}/deliveries/${event?.id}`);
      }
    }

    let lastAccount: Account | null = null;

    /** Reads a page between two accounts that are the same; the second is the first of the next page. */
    async function readStill(page: Page, path: string): Promise<[Reading, Account]> {
      for (let tries = 0; tries < 20; tries++) {
        const before: Account = lastAccount ?? (await accountOf(rig, staged));
        const reading = await read(page, path);
        lastAccount = await accountOf(rig, staged);
        if (JSON.stringify(lastAccount) === JSON.stringify(before)) return [reading, before];
      }
      throw new Error(`it never stands still: ${path}`);
    }

    it("is told truly by every page: eleven services in as many states, every sentence with a time or a number", async () => {
      await setUp();
      const page = await rig.signedIn({ timezoneId: ZONE });
      await checkOverview(page);
      const met = new Set<unknown>();
      for (const path of pages()) {
        const [reading, account] = await readStill(page, path);
        expectSameAsServices(rig, account);
        expectTrueTimes(reading, ZONE);
        for (const form of expectTrue({ account, reading, zone: ZONE, version })) met.add(form);
      }
      // What no page says is held against nothing.
      expect(FORMS.filter((form) => !met.has(form))).toEqual([]);
    }, 400_000);

    it("shows when an attempt comes: after the wait of the schedule, and the service sees none before", async () => {
      answerByPath(rig, new Map([["soon", answering(503)]]));
      const page = await rig.signedIn();
      const webhook = await stage(rig, { name: "soon", draft: { retrySchedule: "5s 5s" } });
      const eventId = await rig.relay.accept({ event: "night.soon", data: {} });
      await rig.relay.attempted(webhook.id, eventId);
      const path = `/dashboard/webhooks/${webhook.id}/deliveries/${eventId}`;
      const [reading, delivery] = await whileStill(
        () => rig.relay.delivery(webhook.id, eventId),
        () => read(page, path),
      );
      const told = reading.sentences.filter(({ text }) => text.includes("The next attempt is @"));
      const [atMs] = told.flatMap(({ times }) => times.map((time) => time.atMs));
      const { attemptLog } = await rig.relay.finished(webhook.id, eventId);
      const [before, made] = attemptLog.slice((delivery?.attempts ?? 0) - 1);
      if (atMs === undefined || before === undefined || made === undefined) {
        throw new Error(`nothing was to come: ${JSON.stringify(delivery)}`);
      }
      expect(atMs - endOf(before)).toBeGreaterThanOrEqual(WAIT_MS - CLOCK_MS);
      expect(atMs - endOf(before)).toBeLessThanOrEqual(WAIT_MS * MOST_JITTER + CLOCK_MS);
      const request = ofService(rig, "soon").find(
        ({ headers }) => headers["x-relay-attempt"] === `${made.number}`,
      );
      expect(request?.receivedAtMs).toBeGreaterThanOrEqual(atMs - CLOCK_MS);
      expect(Date.parse(made.startedAt)).toBeGreaterThanOrEqual(atMs - CLOCK_MS);
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
        cause: "No answer came in time.",
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
