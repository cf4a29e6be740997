/** Today's relay goes on with what each release left behind. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { inspect } from "../../scripts/inspect.ts";
import { VERSION } from "../../src/storage/schema.ts";
import { Api } from "../rig/api.ts";
import { type Build, buildWorker, startWorkerd, type Workerd } from "../rig/workerd.ts";
import { type Receiver, startReceiver } from "./receiver.ts";
import { accountOf, RELEASES, RETENTION, releasedState } from "./released.ts";

const WAIT_MS = 60_000;

/** The version of stored data that a release wrote. */
const WRITTEN: Record<string, number> = { "0.1.0": 1, "0.2.0": 2 };

/** Webhooks of which nothing was due. */
const AT_REST_SINCE_LANES = ["named", "told", "refused", "listener"];
const AT_REST = ["every-field", "all", "expired", "held", "rotated", "gone", "undeliverable"];

type Delivery = { eventId: string; status: string; attempts: number };

async function eventually(look: () => Promise<void>): Promise<void> {
  for (const endMs = Date.now() + WAIT_MS; ; await sleep(200)) {
    try {
      return await look();
    } catch (thrown) {
      if (Date.now() > endMs) throw thrown;
    }
  }
}

describe.each(RELEASES)("state of %s under today's code", (release) => {
  const account = accountOf(release);
  const { webhooks } = account;
  const api = new Api(account);
  const state = releasedState(release);

  let build: Build;
  let receiver: Receiver;
  let relay: Workerd;
  const lines: string[] = [];

  beforeAll(async () => {
    build = await buildWorker();
    receiver = await startReceiver();
    // Services that failed or hung before answer now.
    receiver.answers.clear();
    relay = await startWorkerd({
      build,
      stateDirectory: state.directory,
      outbound: receiver.address,
      onLine: (line) => lines.push(line),
      vars: { LEADTERRA_SIGNING_SECRETS: api.signingSecret, API_KEYS: api.apiKey, RETENTION },
    });
    api.url = relay.url;
  });

  afterAll(async () => {
    await relay?.kill();
    await receiver?.[Symbol.asyncDispose]();
    build?.remove();
    state.remove();
  });

  function deliveriesOf(name: string): Promise<Delivery[]> {
    return api.all<Delivery>(`/webhooks/${webhooks[name]}/deliveries`);
  }

  /** As the release answered it, but for what time alone changes; a reason that was text is one of today's list. */
  function told(path: string): unknown {
    return JSON.parse(JSON.stringify(account.answers[path]), (key, value) => {
      if (key === "nextAttemptAt" || key === "deliveries") return undefined;
      return key === "reason" && value.startsWith("unreadable") ? "unreadable" : value;
    });
  }

  it.each(["/webhooks", "/dead-letters", "/audit"])("is listed as before at %s", async (path) => {
    expect(await api.all(path)).toMatchObject(told(path) as object[]);
  });

  it("has every event, with its payload and whom it matched", async () => {
    const paths = Object.keys(account.answers).filter((path) => /^\/events\/evt_/.test(path));
    expect(paths.length).toBeGreaterThan(20);
    for (const path of paths) expect(await api.call(path)).toMatchObject(told(path) as object);
    const listed = await api.all<{ id: string; event: string }>("/events");
    const ofLeadterra = listed.filter(({ event }) => !event.startsWith("relay."));
    expect(ofLeadterra.map(({ id }) => id)).toEqual(account.events.map(({ id }) => id).reverse());
  });

  const atRest = [...AT_REST, ...AT_REST_SINCE_LANES].filter((name) => name in webhooks);
  it.each(atRest)("has the deliveries and attempts of %s", async (name) => {
    const path = `/webhooks/${webhooks[name]}/deliveries`;
    const before = told(path) as Delivery[];
    const now = await api.all<Delivery>(path);
    expect(
      now.filter(({ eventId }) => before.some((each) => each.eventId === eventId)),
    ).toMatchObject(before);
    for (const { eventId } of before) {
      expect(await api.call(`${path}/${eventId}`)).toMatchObject(
        told(`${path}/${eventId}`) as object,
      );
    }
  });

  it("answers a call that was answered once as it did", async () => {
    const { key, path, body, answer } = account.idempotent;
    const response = await fetch(`${api.url}${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${api.apiKey}`, "idempotency-key": key },
      body: JSON.stringify(body),
    });
    // Past a day it is a new call.
    if (response.headers.get("idempotency-replayed") !== null) {
      expect(await response.json()).toEqual(answer);
    }
    expect(response.status).toBe(201);
  });

  it("delivers what was waiting, fresh or in flight, each once", async () => {
    await eventually(async () => {
      for (const name of ["waiting", "ordered", "hanging"]) {
        const statuses = (await deliveriesOf(name)).map(({ status }) => status);
        expect(statuses).toEqual(statuses.map(() => "delivered"));
      }
    });
    expect(await deliveriesOf("waiting")).toHaveLength(3);
    expect(await deliveriesOf("ordered")).toHaveLength(3);
    expect(await deliveriesOf("hanging")).toHaveLength(8);
    for (const { eventId } of (await deliveriesOf("hanging")).slice(0, 8)) {
      expect(
        receiver.received.filter((each) => each.eventId === eventId && isFor(each, "hanging")),
      ).toHaveLength(1);
    }
  });

  it.runIf("wide" in webhooks)("delivers what Lanes had, each once", async () => {
    await eventually(async () => {
      const statuses = (await deliveriesOf("wide")).map(({ status }) => status);
      expect(statuses.filter((status) => status !== "delivered")).toEqual([]);
      expect(statuses).toHaveLength(40);
    });
    for (const { eventId } of await deliveriesOf("wide")) {
      const sent = receiver.received.filter(
        (each) => each.eventId === eventId && isFor(each, "wide"),
      );
      expect(sent).toHaveLength(1);
    }
  });

  it("delivers what was held when it is resumed, and what was opened again", async () => {
    for (const name of ["held", "undeliverable"]) {
      await api.call(`/webhooks/${webhooks[name]}/resume`, {});
    }
    await eventually(async () => {
      const held = (await deliveriesOf("held")).map(({ status }) => status);
      expect(held).toEqual(["delivered", "delivered", "delivered"]);
      const reopened = (await deliveriesOf("undeliverable")).map(({ status }) => status);
      expect(reopened.sort()).toEqual(["delivered", "undeliverable", "undeliverable"]);
    });
  });

  it("takes new events, changes, letters and calls", async () => {
    const { id } = (await api.post({ event: "test.held", data: { messageId: "new" } })).body;
    await eventually(async () => {
      const path = `/webhooks/${webhooks.held}/deliveries/${id}`;
      expect(await api.call(path)).toMatchObject({ status: "delivered" });
    });
    await api.call(`/webhooks/${webhooks.all}`, { description: "Under today's code" }, "PATCH");
    await api.call("/dead-letters/dl_owed/redrive", {});
    expect(await api.all("/dead-letters")).toHaveLength(1);
    const stats = await api.call<{ webhooks: { id: string; pending: number }[] }>("/stats");
    const pending = new Map(stats.webhooks.map((each) => [each.id, each.pending]));
    expect(pending.get(webhooks.held as string)).toBe(0);
    expect(pending.get(webhooks.gone as string)).toBe(3);
    expect(relay.complaints.filter((line) => /newer_data|alarm.failed|threw/.test(line))).toEqual(
      [],
    );
  });

  it("is inspected beside the relay that runs: its new version, and what arrived as a lease", async () => {
    expect(inspect(state.directory, String(webhooks.held))).toContain(`version    ${VERSION}`);
    receiver.answers.set("/hang", 0);
    const draft = { url: "https://inspected.example.com/hang", events: ["test.inspected"] };
    const { webhook } = await api.call<{ webhook: { id: string } }>("/webhooks", draft);
    await api.post({ event: "test.inspected", data: { messageId: "inspected" } });
    await eventually(async () => {
      expect(receiver.received.some((each) => isFor(each, "inspected"))).toBe(true);
    });
    expect(inspect(state.directory, webhook.id)).toEqual(
      expect.arrayContaining([
        `version    ${VERSION}`,
        "  behind   1 arrivals that were leases themselves; the lines above do not know them",
      ]),
    );
  });
  it("says of each object once, and with the time, that its data took its steps", () => {
    const upgraded = lines
      .filter((line) => line.includes("object.upgraded"))
      .map((line) => JSON.parse(line.slice(line.indexOf("{"))) as Record<string, unknown>);
    const objects = upgraded.map(({ object }) => object);
    expect(new Set(objects).size).toBe(objects.length);
    const from = WRITTEN[release];
    if (from === VERSION) {
      expect(objects).toEqual([]);
      return;
    }
    expect(objects).toEqual(
      expect.arrayContaining([
        `Subscriber ${webhooks.all}`,
        "Registry registry",
        "DeadLetters dead-letters",
      ]),
    );
    for (const line of upgraded) expect(line).toMatchObject({ from, to: VERSION });
  });
});

function isFor({ host }: { host: string }, name: string): boolean {
  return host === `${name}.example.com`;
}
