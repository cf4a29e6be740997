/**
 * From a released relay to today's, with things waiting: the release runs under load and is killed, today's code
 * starts on its state and is killed three times while it does, and then everything must be delivered once.
 *
 *     npm run test:upgrade              from 0.1.0
 */
import { setTimeout as sleep } from "node:timers/promises";
import { readOptions, runCommand } from "../../scripts/command.ts";
import { Api } from "../rig/api.ts";
import {
  type Build,
  buildWorker,
  startWorkerd,
  temporaryDirectory,
  type Workerd,
} from "../rig/workerd.ts";
import { startReceiver } from "./receiver.ts";
import { RETENTION, releasedBuild } from "./released.ts";

const RELEASE = "0.1.0";
const EVENTS = 300;
/** In flight at a kill, or answered and not on disk. */
const MAX_REPEATED = 12;
const KILLS = 3;
const WAIT_MS = 120_000;
const SERVICES = ["fast", "slow", "failing", "paused", "ordered"] as const;

type Listed = { eventId: string; status: string };

async function until(what: string, look: () => Promise<boolean>): Promise<void> {
  for (const endMs = Date.now() + WAIT_MS; Date.now() < endMs; await sleep(250)) {
    if (await look()) return;
  }
  throw new Error(`waited in vain: ${what}`);
}

/** @returns when it was killed: while it starts, or soon after. */
async function startAndKill(
  start: (onSpawn: (kill: () => Promise<void>) => void) => Promise<Workerd>,
) {
  const killed = Promise.withResolvers<void>();
  const starting = start((kill) => {
    void sleep(500 + Math.random() * 2_500)
      .then(kill)
      .then(killed.resolve);
  });
  await Promise.allSettled([starting, killed.promise]);
}

const USAGE = `Goes from a released relay, killed under load, to today's, killed while it starts; and balances the account.

  npm run test:upgrade --

It starts from ${RELEASE}.`;

async function main(args: string[]): Promise<number> {
  readOptions(args, {});
  const released = releasedBuild(RELEASE);
  const today = await buildWorker();
  const state = temporaryDirectory("upgrade");
  const api = new Api();
  await using receiver = await startReceiver();
  receiver.answers.set("/slow", 0).set("/fail", 500);
  const start = (build: Build, onSpawn?: (kill: () => Promise<void>) => void) =>
    startWorkerd({
      build,
      stateDirectory: state.directory,
      outbound: receiver.address,
      vars: { LEADTERRA_SIGNING_SECRETS: api.signingSecret, API_KEYS: api.apiKey, RETENTION },
      ...(onSpawn !== undefined && { onSpawn }),
    });
  let relay = await start(released);
  api.url = relay.url;
  const ids = new Map<string, string>();
  for (const name of SERVICES) {
    const path = { slow: "/slow", failing: "/fail" }[name as string] ?? "/ok";
    const draft = {
      url: `https://${name}.example.com${path}`,
      events: ["*"],
      ordered: name === "ordered",
    };
    const { webhook } = await api.call<{ webhook: { id: string } }>("/webhooks", draft);
    ids.set(name, webhook.id);
  }
  await api.call(`/webhooks/${ids.get("paused")}/pause`, {});
  const events = new Set<string>();
  for (let number = 0; number < EVENTS; number += 10) {
    const posted = Array.from({ length: 10 }, (_, index) =>
      api.post({
        event: "message.sent",
        data: { messageId: `m${number + index}`, sequenceStep: 1 },
      }),
    );
    for (const { body } of await Promise.all(posted)) events.add(body.id);
  }
  // The local queue lives in memory: what it has not handed over, no relay could deliver after a kill.
  const list = (name: string) => api.all<Listed>(`/webhooks/${ids.get(name)}/deliveries`);
  await until("the queue is empty", async () => {
    const counts = await Promise.all(SERVICES.map(async (name) => (await list(name)).length));
    return counts.every((count) => count === EVENTS);
  });
  const before = { audit: await api.all("/audit"), events: await api.all("/events") };
  await relay.kill();
  const leftAt = receiver.received.length;
  receiver.answers.clear();
  for (let kill = 0; kill < KILLS; kill++) await startAndKill((onSpawn) => start(today, onSpawn));
  relay = await start(today);
  api.url = relay.url;
  await api.call(`/webhooks/${ids.get("paused")}/resume`, {});
  await api.call(`/webhooks/${ids.get("failing")}/replay`, {
    since: new Date(0).toISOString(),
    only: "all",
  });
  await until("everything is delivered", async () => {
    const statuses = (await Promise.all(SERVICES.map(list))).flat().map(({ status }) => status);
    return (
      statuses.length === EVENTS * SERVICES.length && statuses.every((each) => each === "delivered")
    );
  });
  const wrong: string[] = [];
  for (const name of SERVICES) {
    const host = `${name}.example.com`;
    const after = receiver.received.slice(leftAt).filter((request) => request.host === host);
    const times = Map.groupBy(
      receiver.received.filter((request) => request.host === host),
      ({ eventId }) => eventId,
    );
    const lost = [...events].filter((id) => !times.has(id)).length;
    const repeated = after.length - new Set(after.map(({ eventId }) => eventId)).size;
    // Each of today's lives was killed too.
    if (lost > 0 || repeated > MAX_REPEATED * (KILLS + 1)) wrong.push(name);
    process.stdout.write(`${name}: lost ${lost}, repeated under today's code ${repeated}\n`);
  }
  const isSame = (now: unknown[], then: unknown[]) =>
    JSON.stringify(now.slice(-then.length)) === JSON.stringify(then);
  if (!isSame(await api.all("/audit"), before.audit)) wrong.push("audit");
  if (!isSame(await api.all("/events"), before.events)) wrong.push("events");
  await relay.kill();
  process.stdout.write(wrong.length === 0 ? "The account balances.\n" : `WRONG: ${wrong}\n`);
  return wrong.length === 0 ? 0 : 1;
}

await runCommand(USAGE, main);
process.exit();
