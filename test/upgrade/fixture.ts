/**
 * Makes the fixture of a release from any commit: bundles that commit, runs the bundle in workerd, brings its objects
 * into every state that a later release must be able to read, kills it, and keeps bundle, state and account.
 *
 *     npm run fixture -- 049fe47
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { Misuse, readOptions, runCommand } from "../../scripts/command.ts";
import { temporaryDirectory } from "../../scripts/temporary.ts";
import { ROOT } from "../../scripts/wrangler.ts";
import { Api } from "../rig/api.ts";
import { type Build, buildWorker, startWorkerd, type Workerd } from "../rig/workerd.ts";
import { pack, settleDatabases } from "./pack.ts";
import { startReceiver } from "./receiver.ts";
import { type Account, releaseDirectory } from "./released.ts";

/** What only an object's neighbours can do is asked of it through the Worker that it belongs to. */
const ENTRY = `
import relay from "./src/index";
export * from "./src/index";
export default {
  ...relay,
  async fetch(request, env, context) {
    const { pathname } = new URL(request.url);
    if (pathname === "/fixture/message") {
      await env.EVENTS.send(new Uint8Array(await request.arrayBuffer()), { contentType: "bytes" });
      return new Response(null, { status: 204 });
    }
    if (pathname === "/fixture/letter") {
      const { letter, body } = await request.json();
      await env.DEAD_LETTER_STORE.getByName("dead-letters").keep({ letter, body: new TextEncoder().encode(body) });
      return new Response(null, { status: 204 });
    }
    return relay.fetch(request, env, context);
  },
};
`;
const ENTRY_FILE = "fixture-entry.js";
const WAIT_MS = 30_000;
/** By path, besides the receiver's own; 0 never answers. */
const ANSWERS = { "/gone": 410, "/refuse": 422, "/wide": 0 };

function checkOut(commit: string): { directory: string; remove(): void } {
  const source = temporaryDirectory("release");
  const archive = execFileSync("git", ["archive", commit], { cwd: ROOT, maxBuffer: 1 << 28 });
  execFileSync("tar", ["-x", "-C", source.directory], { input: archive });
  symlinkSync(join(ROOT, "node_modules"), join(source.directory, "node_modules"));
  writeFileSync(join(source.directory, ENTRY_FILE), ENTRY);
  return source;
}

async function waitFor<T>(what: string, look: () => Promise<T | null | false>): Promise<T> {
  for (const endMs = Date.now() + WAIT_MS; Date.now() < endMs; await sleep(100)) {
    const found = await look();
    if (found !== null && found !== false) return found;
  }
  throw new Error(`waited in vain for ${what}`);
}

type Delivery = { eventId: string; status: string; attempts: number; lastError: string | null };

/** A relay of the release, and what was done with it so far. */
class Release {
  readonly api = new Api();
  readonly events: Account["events"] = [];
  readonly webhooks: Account["webhooks"] = {};
  readonly #build: Build;
  readonly #state: string;
  readonly #outbound: string;
  #workerd: Workerd | null = null;

  constructor(build: Build, state: string, outbound: string) {
    this.#build = build;
    this.#state = state;
    this.#outbound = outbound;
  }

  /** Another life, with other variables. */
  async start(vars: Record<string, string>): Promise<void> {
    await this.kill();
    this.#workerd = await startWorkerd({
      build: this.#build,
      stateDirectory: this.#state,
      outbound: this.#outbound,
      vars: {
        LEADTERRA_SIGNING_SECRETS: this.api.signingSecret,
        API_KEYS: this.api.apiKey,
        ALERT_URL: "https://alerts.example.com/ok",
        ...vars,
      },
    });
    this.api.url = this.#workerd.url;
  }

  async kill(): Promise<void> {
    await this.#workerd?.kill();
    this.#workerd = null;
  }

  async register(name: string, fields: Record<string, unknown> = {}): Promise<string> {
    const draft = { url: `https://${name}.example.com/ok`, events: [`${name}.*`], ...fields };
    const wanted = { ...draft, events: fields.events ?? [eventFor(name)] };
    const { webhook } = await this.api.call<{ webhook: { id: string } }>("/webhooks", wanted);
    this.webhooks[name] = webhook.id;
    return webhook.id;
  }

  async post(event: string, count = 1, data: Record<string, unknown> = {}): Promise<string[]> {
    const ids: string[] = [];
    for (let index = 0; index < count; index++) {
      const messageId = `msg_${this.events.length}`;
      const timestamp = new Date().toISOString();
      const body = JSON.stringify({
        event,
        timestamp,
        data: { messageId, sequenceStep: 1, ...data },
      });
      const { id } = (await this.api.post(Buffer.from(body))).body;
      this.events.push({ id, event, body });
      ids.push(id);
    }
    return ids;
  }

  deliveries(name: string): Promise<Delivery[]> {
    return this.api.all<Delivery>(`/webhooks/${this.webhooks[name]}/deliveries`);
  }

  /** Waits until `count` deliveries of a webhook are as `is` says. */
  async until(name: string, count: number, is: (delivery: Delivery) => boolean): Promise<void> {
    await waitFor(`${count} deliveries of ${name}`, async () => {
      return (await this.deliveries(name)).filter(is).length === count;
    });
  }
}

function eventFor(name: string): string {
  return `test.${name}`;
}

/** Deliveries that expired: with a RETENTION of seconds. */
async function makeExpired(release: Release): Promise<void> {
  await release.start({ RETENTION: "3s", RETRY_SCHEDULE: "1s" });
  const id = await release.register("expired");
  await release.api.call(`/webhooks/${id}/pause`, {});
  await release.post(eventFor("expired"), 2);
  await release.until("expired", 2, ({ lastError }) => lastError === "expired");
}

/** Deliveries whose attempts are used up, and one of them opened again. */
async function makeUndeliverable(release: Release): Promise<void> {
  await release.start({ RETRY_SCHEDULE: "1s" });
  const id = await release.register("undeliverable", {
    url: "https://undeliverable.example.com/fail",
  });
  const [first] = await release.post(eventFor("undeliverable"), 3);
  await release.until("undeliverable", 3, ({ status }) => status === "undeliverable");
  await release.api.call(`/webhooks/${id}/pause`, {});
  await release.api.call(`/webhooks/${id}/deliveries/${first}/retry`, {});
}

async function makeTheRest(release: Release): Promise<void> {
  const { api } = release;
  await release.start({});
  await release.register("every-field", {
    url: "https://crm.example.com/ok?token=hidden",
    events: ["reply.received", "message.bounced"],
    description: "Every field",
    filter: { "data.reply.classification": { $in: ["interested"] } },
    headers: { "x-team": "growth", authorization: "Bearer a-secret-of-eight" },
    rateLimit: 5,
    ordered: true,
    retrySchedule: "1m 1h",
    signingSecret: `whsec_${Buffer.alloc(32, 7).toString("base64")}`,
  });
  await release.register("all", { events: ["*"] });
  const waiting = { url: "https://waiting.example.com/fail" };
  await release.register("waiting", waiting);
  await release.register("ordered", { url: "https://ordered.example.com/fail", ordered: true });
  await release.register("hanging", { url: "https://hanging.example.com/hang" });
  const held = await release.register("held");
  const rotated = await release.register("rotated");
  const deleted = await release.register("deleted");
  const gone = await release.register("gone", { url: "https://gone.example.com/gone" });
  await api.call(`/webhooks/${held}/pause`, {});
  await api.call(`/webhooks/${rotated}/rotate-secret`, { gracePeriodSeconds: 604_800 });
  await api.call(`/webhooks/${rotated}`, { description: "Changed" }, "PATCH");
  await release.post(eventFor("deleted"));
  await api.call(`/webhooks/${deleted}`, undefined, "DELETE");
  await release.post("reply.received", 1, {
    campaignId: "cmp_1",
    lead: { email: "ava@acme.example", firstName: "Ava" },
    reply: {
      id: "rpl_1",
      classification: "interested",
      receivedAt: new Date().toISOString(),
      threadSnippet: "Yes",
    },
  });
  const [erased] = await release.post("message.bounced", 1, { lead: { email: "bo@acme.example" } });
  await release.post("message.sent", 3);
  for (const name of ["held", "waiting", "ordered", "rotated", "gone"]) {
    await release.post(eventFor(name), 3);
  }
  await release.until("waiting", 3, ({ attempts }) => attempts === 1);
  await release.until("ordered", 1, ({ attempts }) => attempts === 1);
  await waitFor("the webhook that is gone", async () => {
    const { webhook } = await api.call<{ webhook: { status: string } }>(`/webhooks/${gone}`);
    return webhook.status === "disabled";
  });
  await release.until("all", release.events.length - 5, ({ status }) => status === "delivered");
  await api.call(`/events/${erased}`, undefined, "DELETE");
}

/** What a release after 0.1.0 stores: settings of its own, the relay's own events, who was erased, who listens. */
async function makeWhatIsNew(release: Release): Promise<void> {
  const { api } = release;
  await release.register("named", {
    url: "https://named.example.com/fail",
    name: "named",
    concurrency: 20,
    timeout: "5s",
    giveUpOn: [404, 422],
    retrySchedule: "1h",
    status: "paused",
  });
  await release.register("told", {
    events: ["relay.webhook.failing", "relay.delivery.undeliverable"],
  });
  await release.register("refused", { url: "https://refused.example.com/refuse", giveUpOn: [422] });
  await release.register("listener", { url: "listener:" });
  await release.register("wide", { url: "https://wide.example.com/wide", concurrency: 30 });
  await release.post("message.sent", 1, { lead: { email: "Dee@Acme.example" } });
  await api.call("/events/erase", { email: "dee@acme.example" });
  for (const name of ["named", "refused", "listener"]) await release.post(eventFor(name), 2);
  await release.until("refused", 2, ({ status }) => status === "undeliverable");
  await waitFor("the relay's own event", async () => (await release.deliveries("told")).length > 0);
  await waitFor("everything to end", async () => {
    const all = await release.deliveries("all");
    return all.every(({ status }) => status !== "pending");
  });
}

async function makeDeadLetters({ api, webhooks, events }: Release): Promise<void> {
  const send = async (path: string, body: string) => {
    const { status } = await fetch(`${api.url}${path}`, { method: "POST", body });
    if (status !== 204) throw new Error(`${path} answered ${status}`);
  };
  await send("/fixture/message", "no JSON");
  await waitFor("the dead letter", async () => (await api.all("/dead-letters")).length === 1);
  const { id, event, body } = events.at(-1) as Account["events"][number];
  const letter = {
    id: "dl_owed",
    eventId: id,
    event,
    email: "cy@acme.example",
    reason: "subscriber_unreachable",
    receivedAtMs: Date.now(),
    failedAtMs: Date.now(),
    webhookIds: [webhooks.rotated],
  };
  await send("/fixture/letter", JSON.stringify({ letter, body }));
}

async function callOnce({ api }: Release): Promise<Account["idempotent"]> {
  const call = { key: "fixture-1", path: "/v1/webhooks", body: draftOnce() };
  const response = await fetch(`${api.url}${call.path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${api.apiKey}`, "idempotency-key": call.key },
    body: JSON.stringify(call.body),
  });
  return { ...call, answer: await response.json() };
}

function draftOnce() {
  return { url: "https://once.example.com/ok", events: ["test.once"], description: "Made once" };
}

/** All that the API tells, by path. */
async function answersOf({ api, webhooks, events }: Release): Promise<Account["answers"]> {
  const answers: Account["answers"] = {};
  for (const path of ["/webhooks", "/events", "/dead-letters", "/audit"]) {
    answers[path] = await api.all(path);
  }
  for (const [name, id] of Object.entries(webhooks)) {
    if (name === "deleted") continue;
    const path = `/webhooks/${id}/deliveries`;
    const deliveries = await api.all<Delivery>(path);
    answers[path] = deliveries;
    for (const { eventId } of deliveries) {
      answers[`${path}/${eventId}`] = await api.call(`${path}/${eventId}`);
    }
  }
  for (const { id } of events) answers[`/events/${id}`] = await api.call(`/events/${id}`);
  return answers;
}

/**
 * Where the fixture of a commit goes.
 *
 * @throws Misuse where there is one: a commit between two releases still has the version of the one before, and what a
 * release wrote is not to be replaced by what today's code writes.
 */
function newDirectoryFor(commit: string): string {
  const packageJson = execFileSync("git", ["show", `${commit}:package.json`], { cwd: ROOT });
  const { version } = JSON.parse(packageJson.toString());
  const target = releaseDirectory(version);
  if (!existsSync(target)) return target;
  const shown = relative(ROOT, target);
  throw new Misuse(
    `${shown} holds what ${version} wrote, and stays. For a new release set its version in package.json and commit first; to make this one anew from the release's own commit, remove ${shown} first.`,
  );
}

/** Where it was bundled is nobody's business. */
function forgetPlace({ directory }: Build): void {
  const file = join(directory, "options.json");
  const options = JSON.parse(readFileSync(file, "utf8"));
  delete options.worker.rootPath;
  writeFileSync(file, JSON.stringify(options));
}

const USAGE = `Builds a release, fills it with every state that stored data can be in, and keeps that as test/upgrade/VERSION,
where there is no such directory yet.

  npm run fixture -- [COMMIT]

  COMMIT  of the release; default HEAD`;

async function main(args: string[]): Promise<number> {
  const [commit = "HEAD"] = readOptions(args, {}, { words: 1 }).positionals;
  const target = newDirectoryFor(commit);
  const isFirst = basename(target) === "0.1.0";
  const source = checkOut(commit);
  const config = join(source.directory, "wrangler.toml");
  const [bundle, driven] = [
    await buildWorker({ config }),
    await buildWorker({ config, entry: join(source.directory, ENTRY_FILE) }),
  ];
  const state = temporaryDirectory("fixture");
  await using receiver = await startReceiver();
  for (const [path, status] of Object.entries(ANSWERS)) receiver.answers.set(path, status);
  const release = new Release(driven, state.directory, receiver.address);
  await makeExpired(release);
  await makeUndeliverable(release);
  await makeTheRest(release);
  if (!isFirst) await makeWhatIsNew(release);
  await makeDeadLetters(release);
  const idempotent = await callOnce(release);
  const answers = await answersOf(release);
  const hanging = await release.post(eventFor("hanging"), 8);
  if (!isFirst) {
    hanging.push(...(await release.post(eventFor("wide"), 40)));
    await release.until("wide", 40, () => true);
    // More than six: Lanes hold a share.
    await waitFor("requests of Lanes in flight", async () => {
      return receiver.received.filter(({ path }) => path === "/wide").length === 30;
    });
  }
  await waitFor("requests in flight", async () => {
    return receiver.received.filter(({ path }) => path === "/hang").length === 6;
  });
  await release.kill();
  settleDatabases(state.directory);
  const { api, events, webhooks } = release;
  const account: Account = {
    signingSecret: api.signingSecret,
    apiKey: api.apiKey,
    events,
    webhooks,
    received: receiver.received,
    idempotent,
    answers,
  };
  mkdirSync(target, { recursive: true });
  forgetPlace(bundle);
  pack(bundle.directory, join(target, "bundle.json.gz"));
  pack(state.directory, join(target, "state.json.gz"));
  writeFileSync(join(target, "account.json.gz"), gzipSync(JSON.stringify(account)));
  process.stdout.write(
    `${target}: ${events.length} events, ${hanging.length} of them in flight or fresh\n`,
  );
  return 0;
}

await runCommand(USAGE, main);
process.exit();
