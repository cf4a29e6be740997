/** `npm run listen` as a person has it: a relay, a wire between that can be cut, and a handler on this machine. */
import { spawn } from "node:child_process";
import { createServer, connect as dial, type Socket } from "node:net";
import { constants } from "node:os";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { type Listening, listen } from "../../scripts/listener.ts";
import { listen as bind, closeServer, freePort } from "../../scripts/loopback.ts";
import { relayApi } from "../../scripts/relay-api.ts";
import { collect, exitCodeOf, ROOT } from "../../scripts/wrangler.ts";
import { type Delivery, PATIENCE_MS } from "../rig/api.ts";
import { eventually } from "../rig/eventually.ts";
import { answering, GENUINE, startReceiver, verdicts } from "../rig/receiver.ts";
import { runScript } from "../scripts/run.ts";
import { balance } from "./listening.ts";
import { API_KEY, type JourneyRelay, startRelay } from "./relay.ts";

let relay: JourneyRelay;

beforeAll(async () => {
  relay = await startRelay();
});

afterAll(() => relay?.close());

/** Until enough bytes have passed for a cut. */
const MAX_EVENTS = 40;
const patient = { timeout: PATIENCE_MS, interval: 20 };
let count = 0;

type Direction = "toRelay" | "toListener";

/** The network between: its address stays, whatever port the relay has. */
async function startWire() {
  const open = new Set<Socket>();
  const wire = {
    url: "",
    /** How many bytes pass in one direction, of the WebSocket that is open, before it is cut; null when none is to be. */
    cutting: null as { direction: Direction; left: number } | null,
    /** How often it was cut so. */
    hits: 0,
    /** The listener does not hear that its connection ends. */
    keepsOpen: false,
    /** Nothing passes any more over what is open, and nobody is told. */
    stall: () => {
      for (const socket of open) socket.removeAllListeners("data").pause();
    },
    cut: () => {
      for (const socket of open) socket.destroy();
    },
  };
  const server = createServer((near) => {
    const { hostname, port } = new URL(relay.url);
    const far = dial({ port: Number(port), host: hostname, allowHalfOpen: wire.keepsOpen });
    let isSocket = false;
    let isCut = false;
    const end = () => {
      near.destroy();
      far.destroy();
    };
    for (const [direction, from, to] of [
      ["toRelay", near, far],
      ["toListener", far, near],
    ] as const) {
      open.add(from);
      from.on("error", end).on("close", () => {
        if (from === near || !wire.keepsOpen) end();
      });
      from.on("data", (bytes: Buffer) => {
        if (isCut) return;
        isSocket ||= /^upgrade: websocket/im.test(bytes.toString("latin1"));
        const { cutting } = wire;
        if (!isSocket || cutting?.direction !== direction || bytes.length < cutting.left) {
          if (isSocket && cutting?.direction === direction) cutting.left -= bytes.length;
          to.write(bytes);
          return;
        }
        isCut = true;
        wire.cutting = null;
        wire.hits += 1;
        to.write(bytes.subarray(0, cutting.left), end);
      });
    }
  });
  const port = await bind(server as never);
  wire.url = `http://127.0.0.1:${port}`;
  onTestFinished(async () => {
    wire.cut();
    await closeServer(Object.assign(server, { closeAllConnections: () => {} }) as never);
  });
  return wire;
}

/** Somebody runs the command; what it says, and how it ended. */
function start(options: Partial<Listening> & { url?: string } = {}) {
  const abort = new AbortController();
  const lines: string[] = [];
  const { url = relay.url, ...given } = options;
  const name = given.name ?? `anna-${++count}`;
  let ended: string | null = null;
  const done = listen({
    api: relayApi(url, API_KEY),
    apiKey: API_KEY,
    name,
    events: null,
    filter: undefined,
    forward: null,
    status: 200,
    sinceMs: null,
    once: false,
    write: (line) => lines.push(line),
    signal: abort.signal,
    ...given,
  }).then(
    () => {
      ended = "";
    },
    (thrown: Error) => {
      ended = thrown.message;
    },
  );
  const stop = async () => {
    abort.abort();
    await done;
  };
  onTestFinished(async () => {
    await stop();
    await relay.request("DELETE", `/v1/webhooks/${name}`);
  });
  return {
    name,
    lines,
    stop,
    ended: () => ended,
    said: (text: string | RegExp) =>
      eventually(() => expect(lines.join("\n")).toMatch(text), patient),
  };
}

function newEvent(event: string) {
  const data = { messageId: `msg_${++count}`, lead: { email: `lead-${count}@acme.example` } };
  return { event, timestamp: new Date().toISOString(), data };
}

const health = async (name: string) =>
  (await relay.request("GET", `/v1/webhooks/${name}/health`)).body as Record<string, unknown>;

/** All that came for the listener has ended, and how. */
async function deliveriesOf(name: string, total: number) {
  await eventually(async () => expect(await health(name)).toMatchObject({ pending: 0 }), patient);
  const data = await relay.all<Delivery>(`/webhooks/${name}/deliveries`);
  expect(data).toHaveLength(total);
  return data;
}

describe("npm run listen", () => {
  it("brings an event to the terminal, says its name, lead and status, and answers 200", async () => {
    const anna = start({ events: ["listen.one"] });
    await anna.said("Listening as anna-");
    expect(anna.lines.join("\n")).toMatch(/signing secret.*\n {2}whsec_/);
    const event = newEvent("listen.one");
    await relay.post(event);
    await anna.said(/listen\.one.* lead-\d+@acme\.example .*200/);
    expect(anna.lines).toContain(JSON.stringify(event));
    expect(await deliveriesOf(anna.name, 1)).toMatchObject([{ status: "delivered", attempts: 1 }]);
  });

  it("lets no lead steer the terminal", async () => {
    const anna = start({ events: ["listen.odd"] });
    await anna.said("Listening");
    const event = newEvent("listen.odd");
    event.data.lead.email = "eve\u001b]0;x\u0007\n\u202e@acme.example";
    await relay.post({ ...event, note: "\u009b2J" });
    await anna.said("eve\\u001b]0;x\\u0007 \\u202e@acme.example");
    const printed = anna.lines.find((line) => line.startsWith("{")) ?? "";
    expect(printed).toContain("\\u009b2J");
    expect(JSON.parse(printed)).toEqual({ ...event, note: "\u009b2J" });
  });

  it("says that nothing comes, where the webhook of that name is held", async () => {
    const made = { url: "listener:", events: ["listen.held"], status: "paused" };
    await relay.request("PUT", "/v1/webhooks/anna-held", made);
    const anna = start({ name: "anna-held" });
    await anna.said(
      "anna-held is paused: what comes waits until POST /v1/webhooks/anna-held/resume",
    );
  });

  it("forwards what a service would get, and the handler's answer counts", async () => {
    const handler = await startReceiver();
    handler.answer = answering(422, { body: "not today" });
    const anna = start({ events: ["listen.forward"], forward: handler.url });
    await anna.said("Listening");
    const secret = anna.lines.find((line) => line.startsWith("  whsec_"))?.trim() ?? "";
    await relay.post(newEvent("listen.forward"));
    const [request] = await handler.received();
    expect(request && verdicts(request, secret)).toEqual(GENUINE);
    await anna.said("422");
    const { body } = await relay.request("GET", `/v1/webhooks/${anna.name}/deliveries`);
    const [{ eventId }] = (body as { data: [{ eventId: string }] }).data;
    await eventually(async () => {
      const one = await relay.request("GET", `/v1/webhooks/${anna.name}/deliveries/${eventId}`);
      expect(one.body).toMatchObject({
        attemptLog: [{ statusCode: 422, responseBody: "not today" }],
        waitingFor: "schedule",
      });
    }, patient);
  });

  it("asks at the first 401 of a handler whether it has the secret, and says where that was", async () => {
    const handler = await startReceiver();
    handler.answer = answering(401);
    const name = "anna-refused";
    const forward = { forward: handler.url, name };
    const first = start({ ...forward, events: ["listen.401"] });
    await first.said("Listening");
    await relay.post(newEvent("listen.401"));
    await relay.post(newEvent("listen.401"));
    await first.said(/401 (.|\n)*401 /);
    const hints = first.lines.filter((line) => line.includes("Does the handler"));
    expect(hints).toEqual([
      "  Does the handler have the secret of this name? It was printed above.",
    ]);
    await first.stop();
    const second = start(forward);
    await second.said("Listening");
    await relay.post(newEvent("listen.401"));
    await second.said(
      "Does the handler have the secret of this name? It was printed when anna-refused was registered; POST /v1/webhooks/anna-refused/rotate-secret makes a new one.",
    );
  });

  it("counts a handler that is not there as 502", async () => {
    const anna = start({
      events: ["listen.502"],
      forward: `http://127.0.0.1:${await freePort()}/`,
    });
    await anna.said("Listening");
    await relay.post(newEvent("listen.502"));
    await anna.said(/502 .*nothing listens there/);
    expect((await health(anna.name)).lastFailure).toMatchObject({ statusCode: 502 });
  });

  it("counts a handler that is late as 504", async () => {
    const handler = await startReceiver();
    handler.answer = () => {};
    const made = { url: "listener:", events: ["listen.504"], timeout: "1s" };
    await relay.request("PUT", "/v1/webhooks/anna-late", made);
    const anna = start({ name: "anna-late", forward: handler.url });
    await anna.said("Listening");
    await relay.post(newEvent("listen.504"));
    await anna.said(/504 /);
    await eventually(
      async () => expect((await health(anna.name)).lastFailure).toMatchObject({ statusCode: 504 }),
      patient,
    );
  });

  it("agrees with the relay on how long a handler may take, whatever DELIVERY_TIMEOUT is", async () => {
    const timeout = async (name: string) =>
      (await relay.request("GET", `/v1/webhooks/${name}`)).body as { webhook: { timeout: string } };
    const made = { url: "listener:", events: ["listen.none"] };
    await relay.request("PUT", "/v1/webhooks/anna-plain", made);
    await relay.request("PUT", "/v1/webhooks/anna-quick", { ...made, timeout: "2s" });
    for (const [name, agreed] of [
      ["anna-new", "10s"],
      ["anna-plain", "10s"],
      ["anna-quick", "2s"],
    ] as const) {
      await start({ name }).said("Listening");
      expect(await timeout(name)).toMatchObject({ webhook: { timeout: agreed } });
    }
  });

  it("keeps its secret and what came meanwhile for a name", async () => {
    const first = start({ name: "anna-again", events: ["listen.again"] });
    await first.said("Listening");
    await first.stop();
    await relay.post(newEvent("listen.again"));
    await eventually(async () => expect((await health("anna-again")).pending).toBe(1), patient);
    const second = start({ name: "anna-again" });
    await second.said(/listen\.again/);
    expect(second.lines.join("\n")).not.toContain("whsec_");
  });

  it("begins with what it never had, when it is asked to", async () => {
    await relay.post(newEvent("listen.since"));
    await relay.post(newEvent("listen.since"));
    const anna = start({ events: ["listen.since"], sinceMs: 600_000 });
    await anna.said("On their way: 2 events since");
    await eventually(
      () => expect(anna.lines.filter((line) => /listen\.since.*200/.test(line))).toHaveLength(2),
      patient,
    );
  });

  it("asks again for what it never had where the connection was lost before it was taken", async () => {
    await relay.post(newEvent("listen.since-again"));
    const wire = await startWire();
    const api = relayApi(wire.url, API_KEY);
    let asked = 0;
    const call: typeof api.call = (method, path, body) => {
      if (!path.endsWith("/replay") || ++asked > 1) return api.call(method, path, body);
      wire.cut();
      return Promise.reject(new Error("The relay cannot be reached."));
    };
    const events = ["listen.since-again"];
    const anna = start({ url: wire.url, api: { ...api, call }, events, sinceMs: 600_000 });
    await anna.said("Connected again");
    await anna.said("On their way: 1 event since");
    await anna.said(/listen\.since-again.*200/);
  });

  it("has what its filter lets through alone, and answers it with --status", async () => {
    const anna = start({ events: ["listen.some"], filter: { "data.wanted": true }, status: 503 });
    await anna.said("Listening");
    for (const wanted of [false, true]) {
      const { data, ...event } = newEvent("listen.some");
      await relay.post({ ...event, data: { ...data, wanted } });
    }
    await anna.said(/listen\.some.* 503 /);
    await eventually(async () => {
      const listed = await relay.all<Delivery>(`/webhooks/${anna.name}/deliveries`);
      expect(listed).toMatchObject([{ lastStatusCode: 503, waitingFor: "schedule" }]);
    }, patient);
    expect(anna.lines.filter((line) => line.includes('"wanted":false'))).toEqual([]);
  });

  it("ends after one event and removes the webhook with --once", async () => {
    const anna = start({ events: ["listen.once"], once: true });
    await anna.said("Listening");
    await relay.post(newEvent("listen.once"));
    await eventually(() => expect(anna.ended()).toBe(""), patient);
    expect((await relay.request("GET", `/v1/webhooks/${anna.name}`)).status).toBe(404);
  });

  it.for([
    ["nothing", null],
    ["Ctrl-C", "SIGINT"],
  ] as const)(
    "is over as a command once the webhook is removed with --once, and says nothing that is false, after %s",
    { timeout: 60_000 },
    async ([, signal]) => {
      // The end of its connection alone would not end it.
      const wire = await startWire();
      wire.keepsOpen = true;
      const name = `anna-done-${++count}`;
      const args = ["--once", "--name", name, "--events", "listen.done", "--relay", wire.url];
      const child = spawn(process.execPath, ["scripts/listen.ts", ...args], {
        cwd: ROOT,
        env: { ...process.env, RELAY_API_KEY: API_KEY },
      });
      onTestFinished(() => void child.kill("SIGKILL"));
      const said = collect(child.stdout);
      const ended = exitCodeOf(child);
      await eventually(() => expect(said()).toContain("Listening"), patient);
      await relay.post(newEvent("listen.done"));
      const path = `/v1/webhooks/${name}`;
      const isGone = async () => expect((await relay.request("GET", path)).status).toBe(404);
      await eventually(isGone, patient);
      if (signal !== null) child.kill(signal);
      // The signal may come before the answer that the webhook is gone.
      expect([0, signal && 128 + constants.signals[signal]]).toContain(await ended);
      expect(said()).toContain("listen.done");
      expect(said()).not.toContain("stays");
    },
  );

  it("ends with a reason when a newer listener has its name, and the newer one goes on", async () => {
    const first = start({ name: "anna-twice", events: ["listen.twice"] });
    await first.said("Listening");
    const second = start({ name: "anna-twice" });
    await second.said("Listening");
    await eventually(() => expect(first.ended()).toMatch(/newer listener/), patient);
    await relay.post(newEvent("listen.twice"));
    await second.said(/listen\.twice/);
    expect(first.lines.join("\n")).not.toMatch(/listen\.twice/);
  });

  it("ends so too where the end of its connection is not heard of, and does not take the name back", async () => {
    const wire = await startWire();
    wire.keepsOpen = true;
    const pace = { pingEveryMs: 20_000, pongWithinMs: 1_000, closesWithinMs: 500 };
    const first = start({ name: "anna-unheard", events: ["listen.unheard"], url: wire.url, pace });
    await first.said("Listening");
    const second = start({ name: "anna-unheard" });
    await second.said("Listening");
    await eventually(() => expect(first.ended()).toMatch(/newer listener/), {
      ...patient,
      timeout: 90_000,
    });
    await relay.post(newEvent("listen.unheard"));
    await second.said(/listen\.unheard/);
    expect(second.ended()).toBeNull();
    expect(first.lines.join("\n")).not.toMatch(/Connected again|listen\.unheard/);
  }, 120_000);

  it("is over as a command then, whatever is left of its connection", async () => {
    const wire = await startWire();
    wire.keepsOpen = true;
    const name = "anna-over";
    const env = { RELAY_API_KEY: API_KEY };
    const first = runScript("listen", ["--relay", wire.url, "--name", name], { env });
    const isListening = async () => expect((await health(name)).state).toBe("healthy");
    await eventually(isListening, patient);
    await start({ name }).said("Listening");
    const { exitCode, stderr } = await first;
    expect([exitCode, stderr]).toEqual([1, expect.stringMatching(/newer listener/)]);
  }, 60_000);

  it("lets two names have each event once", async () => {
    const [anna, berta] = [start({ events: ["listen.two"] }), start({ events: ["listen.two"] })];
    await Promise.all([anna.said("Listening"), berta.said("Listening")]);
    await relay.post(newEvent("listen.two"));
    await Promise.all([anna.said(/listen\.two/), berta.said(/listen\.two/)]);
  });

  it("ends with a reason when the webhook is deleted, has an address, or the key is refused", async () => {
    const anna = start({ events: ["listen.none"] });
    await anna.said("Listening");
    await relay.request("DELETE", `/v1/webhooks/${anna.name}`);
    await eventually(() => expect(anna.ended()).toMatch(/was deleted/), patient);

    const crm = await relay.register({
      url: "http://127.0.0.1:9/?token=t0ken",
      events: ["x"],
      name: "a-crm",
    });
    const wrong = start({ name: "a-crm" });
    await eventually(() => expect(wrong.ended()).toMatch(/has an address/), patient);
    expect(wrong.ended()).toContain("(http://127.0.0.1:9/?…)");
    expect((await relay.request("GET", `/v1/webhooks/${crm.id}`)).body).toMatchObject({
      webhook: { url: "http://127.0.0.1:9/?token=t0ken" },
    });

    const stranger = start({ api: relayApi(relay.url, "a-key-that-nobody-knows") });
    await eventually(() => expect(stranger.ended()).toMatch(/does not know the key/), patient);
  });
});

describe("a connection that is lost", () => {
  it.for(["cut", "stall"] as const)("by a %s is made again, and nothing is lost", async (how) => {
    const wire = await startWire();
    const handler = await startReceiver();
    const event = `listen.${how}`;
    const pace = { pingEveryMs: 300, pongWithinMs: 300 };
    const anna = start({ url: wire.url, events: [event], forward: handler.url, pace });
    const owed: string[] = [];
    await anna.said("Listening");
    for (let round = 0; round < 3; round++) {
      wire[how]();
      for (let each = 0; each < 5; each++) owed.push((await relay.post(newEvent(event))).body.id);
      await eventually(
        () => expect(anna.lines.filter((line) => /again/.test(line)).length).toBeGreaterThan(round),
        patient,
      );
    }
    const deliveries = await deliveriesOf(anna.name, 15);
    expect(deliveries.every(({ status }) => status === "delivered")).toBe(true);
    expect(balance(handler, owed)).toMatchObject({ lost: 0, unsaid: 0 });
  });

  // A frame begins with 2 to 8 bytes of its own: some cuts are within them, some within a delivery or its outcome.
  it.for([
    ["toListener", [1, 2, 3, 4, 5, 50, 300, 700, 900, 1_000, 1_500, 2_500]],
    ["toRelay", [1, 2, 3, 5, 6, 7, 8, 9, 60, 110, 120, 130, 200, 300]],
  ] as const)(
    "%s after any number of bytes loses nothing, and says what comes twice",
    {
      timeout: 180_000,
    },
    async ([direction, cuts]) => {
      const wire = await startWire();
      const handler = await startReceiver();
      const event = `listen.${direction}`;
      const anna = start({ url: wire.url, events: [event], forward: handler.url });
      const owed: string[] = [];
      const connections = (count: number) =>
        eventually(() => {
          const made = anna.lines.filter((line) => /Listening as|Connected again/.test(line));
          expect(made).toHaveLength(count);
        }, patient);
      for (const [round, left] of cuts.entries()) {
        await connections(round + 1);
        wire.cutting = { direction, left };
        for (let each = 0; each < 5 || (wire.hits === round && each < MAX_EVENTS); each++) {
          owed.push((await relay.post(newEvent(event))).body.id);
        }
        await eventually(() => expect(wire.hits).toBe(round + 1), patient);
      }
      await connections(cuts.length + 1);
      const deliveries = await deliveriesOf(anna.name, owed.length);
      expect(deliveries.every(({ status }) => status === "delivered")).toBe(true);
      expect(balance(handler, owed)).toMatchObject({ lost: 0, unsaid: 0 });
      // At the terminal, too, a repeat says that it is one, and of which attempt.
      const told = Map.groupBy(
        anna.lines.filter((line) => line.includes(event)),
        (line) => /lead-\d+@/.exec(line)?.[0],
      );
      expect(told.size).toBe(owed.length);
      for (const lines of told.values()) {
        const attempts = lines.map((line) => Number(/attempt (\d+)/.exec(line)?.[1] ?? 1));
        expect(attempts).toEqual([...new Set(attempts)].sort((a, b) => a - b));
      }
    },
  );

  it("by a relay that is killed and started again is made again", async () => {
    const wire = await startWire();
    const anna = start({ url: wire.url, events: ["listen.killed"] });
    await anna.said("Listening");
    await relay.kill();
    await anna.said("is lost");
    await relay.start();
    await anna.said("Connected again");
    await relay.post(newEvent("listen.killed"));
    await anna.said(/listen\.killed/);
    expect(await deliveriesOf(anna.name, 1)).toMatchObject([{ status: "delivered" }]);
  });
});
