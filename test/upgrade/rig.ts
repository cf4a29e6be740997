/**
 * From a released relay to today's, with things waiting: the release runs under load on state that it has written
 * before (test/upgrade/VERSION), and is killed; today's code starts on its state and is killed three times while it
 * does. What the release said must be said still, and everything must be delivered, nothing twice without cause.
 *
 *     npm run test:upgrade              from 0.1.0
 */
import { setTimeout as sleep } from "node:timers/promises";
import { readOptions, runCommand } from "../../scripts/command.ts";
import { Api, type LoggedDelivery, mapInParallel } from "../rig/api.ts";
import { type Build, buildWorker, startWorkerd, type Workerd } from "../rig/workerd.ts";
import { balance, type Request } from "./balance.ts";
import { startReceiver } from "./receiver.ts";
import { accountOf, RETENTION, releasedBuild, releasedState } from "./released.ts";
import { type Said, unsaid, whatSays } from "./said.ts";

const RELEASE = "0.1.0";
const EVENTS = 200;
/** Of those, so many are on their way to a service at the kill. */
const UNDER_WAY = 20;
/** Of today's code while it starts, after the one of the release. */
const KILLS = 3;
const WAIT_MS = 120_000;
const SERVICES = ["fast", "slow", "failing", "resumed", "ordered"] as const;
/** What a killed process has sent is with the receiver by then. */
const DRAIN_MS = 200;
const CALLS = 8;
const MAX_SHOWN = 20;

/** The host of a service that came with this load. */
const hostOf = (name: string) => `load-${name}.example.com`;

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

function verdict(wrong: readonly string[]): string {
  if (wrong.length === 0) return "The account balances.\n";
  const more = wrong.length > MAX_SHOWN ? [`and ${wrong.length - MAX_SHOWN} more`] : [];
  return `${["WRONG:", ...wrong.slice(0, MAX_SHOWN), ...more].join("\n")}\n`;
}

const USAGE = `Goes from a released relay, killed under load, to today's, killed while it starts; and balances the account.

  npm run test:upgrade

It starts from ${RELEASE}.`;

async function main(args: string[]): Promise<number> {
  readOptions(args, {});
  const released = releasedBuild(RELEASE);
  const today = await buildWorker();
  const state = releasedState(RELEASE);
  const account = accountOf(RELEASE);
  const api = new Api(account);
  const sinceMs = Date.now() - 30 * 86_400_000;
  await using receiver = await startReceiver();
  receiver.answers.set("/slow", 0).set("/gone", 410);
  const start = (build: Build, onSpawn?: (kill: () => Promise<void>) => void) =>
    startWorkerd({
      build,
      stateDirectory: state.directory,
      outbound: receiver.address,
      vars: { LEADTERRA_SIGNING_SECRETS: api.signingSecret, API_KEYS: api.apiKey, RETENTION },
      ...(onSpawn !== undefined && { onSpawn }),
    });
  /** How many requests there were when each life ended. */
  const ends: number[] = [];
  const ended = async () => {
    await sleep(DRAIN_MS);
    ends.push(receiver.received.length);
  };
  let relay = await start(released);
  api.url = relay.url;
  const ids = new Map<string, string>();
  for (const name of SERVICES) {
    const path = { slow: "/slow", failing: "/fail" }[name as string] ?? "/ok";
    const { id } = await api.register({
      url: `https://${hostOf(name)}${path}`,
      ordered: name === "ordered",
    });
    ids.set(hostOf(name), id);
  }
  await api.call(`/webhooks/${ids.get(hostOf("resumed"))}/pause`, {});
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
  // One of before, which wants everything too.
  ids.set("all.example.com", String(account.webhooks.all));
  const list = async (id: string, status = "") =>
    (await api.all<LoggedDelivery>(`/webhooks/${id}/deliveries${status}`)).filter(({ eventId }) =>
      events.has(eventId),
    );
  // The local queue lives in memory: what it has not handed over, no relay could deliver after a kill.
  await until("the queue is empty", async () => {
    const lists = await Promise.all([...ids.values()].map((id) => list(id)));
    return lists.every(({ length }) => length === EVENTS);
  });
  const settled = await whatSays(api, sinceMs);
  // So that there is much in flight at the kill.
  await api.call(`/webhooks/${ids.get(hostOf("resumed"))}/resume`, {});
  const before = {
    ...settled,
    webhooks: await api.all<Said["webhooks"][number]>("/webhooks"),
    audit: await api.all<object>("/audit"),
  };
  await until("deliveries are under way", async () => {
    const sent = receiver.received.filter(({ host }) => host === hostOf("resumed"));
    return sent.length >= UNDER_WAY;
  });
  await relay.kill();
  await ended();
  receiver.answers.clear();
  receiver.answers.set("/gone", 410);
  for (let kill = 0; kill < KILLS; kill++) {
    await startAndKill((onSpawn) => start(today, onSpawn));
    await ended();
  }
  relay = await start(today);
  api.url = relay.url;
  const wrong = unsaid(before, await whatSays(api, sinceMs));
  process.stdout.write(
    `${Object.keys(before.deliveries).length} deliveries, ${before.events.length} events, ${before.audit.length} lines of the audit log, ${before.deadLetters.length} dead letters, ${Object.keys(before.pages).length} pages: ${wrong.length} facts are not said as before\n`,
  );
  const failing = String(ids.get(hostOf("failing")));
  await mapInParallel(await list(failing, "?status=pending"), CALLS, ({ eventId }) =>
    api.call(`/webhooks/${failing}/deliveries/${eventId}/retry`, {}),
  );
  await until("everything is delivered", async () => {
    const lists = await Promise.all([...ids.values()].map((id) => list(id)));
    return lists.flat().every(({ status }) => status === "delivered");
  });
  const after = await whatSays(api, sinceMs);
  const requests: Request[] = receiver.received.map((request, index) => ({
    ...request,
    life: ends.filter((end) => end <= index).length,
  }));
  for (const host of new Set([...ids.keys(), ...requests.map((request) => request.host)])) {
    const { id = "" } = after.webhooks.find(({ url }) => new URL(url).host === host) ?? {};
    const account = balance(host, {
      requests: requests.filter((request) => request.host === host),
      owed: ids.has(host) ? events : [],
      log: (eventId) => after.deliveries[`${id} ${eventId}`]?.attemptLog ?? [],
    });
    process.stdout.write(`${account.told}\n`);
    wrong.push(...account.wrong);
  }
  await relay.kill();
  process.stdout.write(verdict(wrong));
  return wrong.length === 0 ? 0 : 1;
}

await runCommand(USAGE, main);
process.exit();
