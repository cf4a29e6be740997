/**
 * Takes the pictures of the dashboard that README shows, of a relay that runs on this machine with three services:
 * one that is well, one that fails and one that is paused.
 *
 *   npm run screenshots
 *   npm run screenshots -- --minutes 2
 *   npm run screenshots -- --all /somewhere
 *   npm run screenshots -- --states /somewhere
 */
import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Browser, Page } from "playwright-core";
import { findChromium, launchChromium } from "./chromium.ts";
import { readOptions, readPositive, runCommand } from "./command.ts";
import { type EventKind, exampleEvent, send } from "./leadterra.ts";
import { type Behaviour, type Receiver, startReceiver } from "./receiver.ts";
import { type Relay, startRelay } from "./relay.ts";
import { bringAbout, type Doing, press } from "./screenshot-states.ts";
import { ROOT } from "./wrangler.ts";

const SIGNING_SECRET = "screenshots-signing-secret";
const API_KEY = "screenshots-key-with-all-rights";
const DEFAULT_MINUTES = 16;
/** So many events a minute, in waves. */
const RATES = [9, 14, 22, 17, 25, 12] as const;
const VIEWPORT = { width: 1280, height: 800 } as const;
const MAX_HEIGHT = 1_040;
/** Of a page that is only looked at. */
const LONGEST = 6_000;
const SETTLE_MS = 3_000;
const WIDTHS = [1_440, 1_280, 390] as const;

/** What happens, in this order, again and again. */
const KINDS: readonly { kind: EventKind; classification?: string }[] = [
  { kind: "message.sent" },
  { kind: "message.sent" },
  { kind: "reply.received", classification: "interested" },
  { kind: "message.sent" },
  { kind: "message.bounced" },
  { kind: "reply.received", classification: "not_interested" },
];

type Service = {
  name: string;
  path: string;
  events: readonly string[];
  filter?: Record<string, unknown>;
  behaviour: Behaviour;
};

const SERVICES: readonly Service[] = [
  {
    name: "Reporting",
    path: "/leadterra",
    events: ["*"],
    behaviour: ({ number }) =>
      number % 29 === 0 ? 502 : { status: 204, delayMs: 12 + (number % 40) },
  },
  {
    name: "CRM: replies",
    path: "/webhooks/leadterra",
    events: ["reply.received"],
    behaviour: () => ({
      status: 503,
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ error: "maintenance", message: "The CRM is being upgraded." }),
      delayMs: 180,
    }),
  },
  {
    name: "Booking: interested leads",
    path: "/leads",
    events: ["reply.received"],
    filter: { "data.reply.classification": "interested" },
    behaviour: () => 200,
  },
];

export type Stage = { relay: Relay; webhookIds: string[]; close: () => Promise<void> };

const VARIABLES = {
  LEADTERRA_SIGNING_SECRETS: SIGNING_SECRET,
  API_KEYS: API_KEY,
  ALLOW_PRIVATE_DESTINATIONS: "true",
  RETRY_SCHEDULE: "10s 40s 2m 10m 1h",
};

/** Starts the relay and the services, and registers them. @param before of a relay that has nothing yet */
async function setStage(before: (empty: Stage) => Promise<void>): Promise<Stage> {
  const receivers: Receiver[] = [];
  const relay = await startRelay({ vars: VARIABLES });
  const close = async () => {
    for (const receiver of receivers) await receiver.close();
    await relay.stop();
  };
  const webhookIds: string[] = [];
  await before({ relay, webhookIds, close });
  for (const { name, path, events, filter, behaviour } of SERVICES) {
    const receiver = await startReceiver({ behaviour });
    receivers.push(receiver);
    const { webhook } = await call<{ webhook: { id: string } }>(relay, "POST", "/v1/webhooks", {
      url: receiver.url + path,
      description: name,
      events,
      ...(filter === undefined ? {} : { filter }),
    });
    webhookIds.push(webhook.id);
  }
  return { relay, webhookIds, close };
}

/** Sends events as Leadterra would, for so long; then pauses the third webhook and sends a few more. */
export async function play({ relay, webhookIds }: Stage, minutes: number): Promise<void> {
  const endsAtMs = Date.now() + minutes * 60_000;
  let number = 0;
  const sendOne = async () => {
    const { kind, classification } = KINDS[number % KINDS.length] ?? { kind: "message.sent" };
    number += 1;
    const event = exampleEvent(kind, classification === undefined ? {} : { classification });
    await send(`${relay.url}/webhooks/leadterra`, JSON.stringify(event), SIGNING_SECRET);
  };
  while (Date.now() < endsAtMs) {
    const rate = RATES[Math.floor(Date.now() / 60_000) % RATES.length] ?? 10;
    await sendOne();
    await sleep(60_000 / rate);
  }
  await call(relay, "POST", `/v1/webhooks/${webhookIds[2]}/pause`);
  for (let more = 0; more < 2 * KINDS.length; more++) await sendOne();
  await sleep(SETTLE_MS);
}

async function call<T>(relay: Relay, method: string, path: string, body?: unknown): Promise<T> {
  const response = await fetch(relay.url + path, {
    method,
    headers: { authorization: `Bearer ${API_KEY}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path} answered ${response.status} ${text}`);
  return (text === "" ? null : JSON.parse(text)) as T;
}

/** Signed in, in a window of this width. */
export async function signedIn(
  browser: Browser,
  { relay }: Pick<Stage, "relay">,
  { width, colorScheme }: { width: number; colorScheme: "light" | "dark" },
): Promise<Page> {
  const page = await browser.newPage({ viewport: { ...VIEWPORT, width }, colorScheme });
  await page.goto(`${relay.url}/dashboard/sign-in`);
  await page.getByLabel("API key").fill(API_KEY);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL(`${relay.url}/dashboard`);
  return page;
}

/** Every page of the dashboard, with this webhook and this event. */
export function pagesOf(webhookId: string, eventId: string): Record<string, string> {
  const webhook = `/dashboard/webhooks/${webhookId}`;
  return {
    overview: "/dashboard",
    "overview of a week": "/dashboard?over=week",
    webhooks: "/dashboard/webhooks",
    "new webhook": "/dashboard/webhooks/new",
    webhook,
    "webhook, to be changed": `${webhook}/edit`,
    "webhook, to be deleted": `${webhook}/delete`,
    "secret, to be rotated": `${webhook}/rotate`,
    replay: `${webhook}/replay`,
    discard: `${webhook}/discard`,
    attempts: `${webhook}/attempts`,
    deliveries: "/dashboard/deliveries",
    delivery: `${webhook}/deliveries/${eventId}`,
    events: "/dashboard/events",
    event: `/dashboard/events/${eventId}`,
    "event, to be erased": `/dashboard/events/${eventId}/erase`,
    "dead letters": "/dashboard/dead-letters",
    audit: "/dashboard/audit",
    "no such page": "/dashboard/nothing",
  };
}

/** The pages in the pictures, by the picture's name. */
export async function picturedPages(
  stage: Stage,
): Promise<Record<"pictured" | "others", Record<string, string>>> {
  const [, failing] = stage.webhookIds;
  const path = `/v1/webhooks/${failing}/deliveries?limit=250`;
  const { data } = await call<{ data: { eventId: string; attempts: number }[] }>(
    stage.relay,
    "GET",
    path,
  );
  const [tried] = [...data].sort((a, b) => b.attempts - a.attempts);
  const { webhook = "", delivery = "", ...others } = pagesOf(failing ?? "", tried?.eventId ?? "");
  return { pictured: { overview: "/dashboard?over=hour", delivery, webhook }, others };
}

/** The page from its top, as far down as it goes or the picture may. */
export async function take(page: Page, path: string, maxHeight = MAX_HEIGHT): Promise<void> {
  // A form's filter is tried when the page is there, and what comes of it makes the page longer.
  for (const trial of await page.locator("form[data-trial] .trial").all()) await trial.waitFor();
  const height = Number(await page.evaluate("document.documentElement.scrollHeight"));
  const { width = VIEWPORT.width } = page.viewportSize() ?? {};
  const clip = { x: 0, y: 0, width, height: Math.min(height, maxHeight) };
  await page.screenshot({ path, fullPage: true, clip });
}

async function takePictured(browser: Browser, stage: Stage): Promise<void> {
  const page = await signedIn(browser, stage, { width: VIEWPORT.width, colorScheme: "light" });
  const folder = join(ROOT, "docs", "screenshots");
  mkdirSync(folder, { recursive: true });
  for (const [name, path] of Object.entries((await picturedPages(stage)).pictured)) {
    await page.goto(stage.relay.url + path);
    const file = join(folder, `${name}.png`);
    await take(page, file);
    console.log(`${file}  ${Math.round(statSync(file).size / 1_000)} kB`);
  }
}

/** What stands at no address: a form, filled in and sent, shows it. */
function doingsOf([, failing = "", paused = ""]: readonly string[]): Record<string, Doing> {
  const webhook = `/dashboard/webhooks/${failing}`;
  return {
    "refused form": {
      path: "/dashboard/webhooks/new",
      act: async (page) => {
        await page.getByLabel("URL", { exact: true }).fill("ftp://nowhere");
        await press(page, "Register the webhook");
        await page.getByRole("alert").first().waitFor();
      },
    },
    "secret, shown once": {
      path: `/dashboard/webhooks/${paused}/rotate`,
      act: async (page) => {
        // Without a grace period: only so many secrets sign along.
        await page.getByLabel("none: the old one").check();
        await press(page, "Rotate the secret");
        await page.getByRole("heading", { name: "The new signing secret" }).waitFor();
      },
    },
    "answer to a test": {
      path: webhook,
      act: async (page) => {
        await press(page, "Send a test");
        await page.getByRole("heading", { name: /^The test/ }).waitFor();
      },
    },
    "replay, counted": {
      path: `${webhook}/replay`,
      act: async (page) => {
        await page.getByLabel(/^All of them/).check();
        await press(page, "Count them first");
        await page.getByText("would be replayed").waitFor();
      },
    },
    progress: {
      path: "/dashboard/deliveries",
      act: async (page) => {
        // The form that goes on stays on its way.
        await page.route("**/deliveries/retry", (route) =>
          route.request().postData()?.includes("so_far=") ? undefined : route.continue(),
        );
        for (const box of await page.getByLabel(/^Select \w+\./).all()) await box.check();
        await press(page, "Retry the selected");
        await page.getByRole("progressbar").waitFor();
      },
    },
    api: {
      path: "/docs",
      act: async (page) => page.getByRole("heading", { name: "Leadterra Relay" }).waitFor(),
    },
    // Last: nothing is seen without a session.
    "signing in": {
      path: "/dashboard",
      act: async (page) => {
        await press(page, "Sign out");
        await page.getByLabel("API key").waitFor();
      },
    },
  };
}

const EMPTY = {
  "first steps": "/dashboard",
  "no webhooks": "/dashboard/webhooks",
  "no deliveries": "/dashboard/deliveries",
  "no events": "/dashboard/events",
  "no dead letters": "/dashboard/dead-letters",
  "no audit": "/dashboard/audit",
};

/** These pages in light and dark, from a wide screen to a phone, to be looked at. */
async function takeAll(
  browser: Browser,
  stage: Pick<Stage, "relay">,
  { pages, doings, folder }: { pages: object; doings: Record<string, Doing>; folder: string },
): Promise<void> {
  const looks = Object.entries(pages).map(([name, path]) => [name, { path, act: null }] as const);
  const all = [...looks, ...Object.entries(doings)];
  for (const colorScheme of ["light", "dark"] as const) {
    for (const width of WIDTHS) {
      const page = await signedIn(browser, stage, { width, colorScheme });
      for (const [name, { path, act }] of all) {
        await page.goto(stage.relay.url + path);
        await act?.(page);
        await page.waitForLoadState();
        await take(page, join(folder, `${name}-${width}-${colorScheme}.png`), LONGEST);
      }
      await page.close();
    }
  }
  console.log(`${folder}  ${2 * WIDTHS.length * all.length} pictures`);
}

/** Every page of a relay that has something, and what somebody does on them is answered with. */
async function takeWhole(browser: Browser, stage: Stage, folder: string): Promise<void> {
  const { pictured, others } = await picturedPages(stage);
  const doings = doingsOf(stage.webhookIds);
  await takeAll(browser, stage, { pages: { ...others, ...pictured }, doings, folder });
}

/** What a relay that runs is not in by itself. Its Worker is that of the browser tests, which can keep a dead letter. */
async function takeStates(browser: Browser, folder: string): Promise<void> {
  const relay = await startRelay({
    vars: VARIABLES,
    passedOn: ["--script", "test/browser/worker.ts"],
  });
  try {
    const means = {
      call: <T>(method: string, path: string, body?: unknown) => call<T>(relay, method, path, body),
      send: async (event: unknown) => {
        await send(`${relay.url}/webhooks/leadterra`, JSON.stringify(event), SIGNING_SECRET);
      },
    };
    await bringAbout(means, (states) =>
      takeAll(browser, { relay }, { pages: {}, doings: states, folder }),
    );
  } finally {
    await relay.stop();
  }
}

const USAGE = `Takes the pictures of the dashboard in docs/screenshots, with the Chromium of this machine.

  npm run screenshots -- [--minutes N] [--all FOLDER | --states FOLDER]

  --minutes N   how long events are sent before; default ${DEFAULT_MINUTES}
  --all FOLDER  every page instead, empty and full, in light and dark at ${WIDTHS.join(", ")} px, to be looked at
  --states FOLDER  the same of what takes some doing: an edit that was overtaken, an erased event, a late webhook …`;

async function main(args: string[]): Promise<number> {
  const { values } = readOptions(args, {
    minutes: { type: "string", default: String(DEFAULT_MINUTES) },
    all: { type: "string" },
    states: { type: "string" },
  });
  const minutes = readPositive("--minutes", values.minutes);
  const executable = findChromium();
  if (executable === null) throw new Error("There is no Chromium here; name one with CHROMIUM.");
  console.log("Starting the relay …");
  const browser = await launchChromium(executable);
  if (values.states !== undefined) {
    await takeStates(browser, values.states).finally(() => browser.close());
    return 0;
  }
  const folder = values.all;
  const stage = await setStage(async (empty) => {
    if (folder === undefined) return;
    await takeAll(browser, empty, { pages: EMPTY, doings: {}, folder });
  });
  try {
    console.log(`Sending events for ${minutes} minutes …`);
    await play(stage, minutes);
    if (folder === undefined) await takePictured(browser, stage);
    else await takeWhole(browser, stage, folder);
    return 0;
  } finally {
    await browser.close();
    await stage.close();
  }
}

if (import.meta.main) await runCommand(USAGE, main);
