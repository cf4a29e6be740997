/**
 * Where the processor time goes, as V8 samples it: of a backlog that goes out to one service, and of a small relay.
 * The bundle has the names of its sources for it, and is otherwise what is deployed.
 */
import { signedRequest } from "./events.ts";
import { type Benchmark, type Figure, figureOf } from "./figure.ts";
import { pace } from "./load.ts";
import { type Profiled, profiled } from "./profiler.ts";
import type { Sink } from "./sink.ts";
import { type Running, register, registerFilled, resume, Stage, settled } from "./stage.ts";

const WAITING = 5_000;
const WEBHOOKS = 20;
const EVENTS = 120;
const RATE = 20;
const ARRIVE_WITHIN_MS = 60_000;
/** Functions that are named, by what their own code takes. */
const NAMED = 25;
const PERCENT = 100;

export const profile: Benchmark = {
  name: "profile",
  async run({ progress }) {
    await using stage = new Stage();
    const relay = await stage.start("relayReadable");
    const sink = await stage.sink();
    const { inspectorUrl } = relay;
    if (inspectorUrl === null) throw new Error("the relay cannot be watched");
    await emptied(relay, sink, await filled(relay, sink));
    const webhookId = await filled(relay, sink);
    const ofBacklog = await profiled(inspectorUrl, () => emptied(relay, sink, webhookId));
    for (let index = 0; index < WEBHOOKS; index++) await register(relay.api, sink.url);
    await trickle(relay);
    const ofSmall = await profiled(inspectorUrl, () => trickle(relay));
    return [
      figure("profile-deliver", `${WAITING} waiting for one service`, ofBacklog, progress),
      figure("profile-small", `${WEBHOOKS} webhooks, ${RATE} events/s`, ofSmall, progress),
    ];
  },
};

function filled({ api }: Running, sink: Sink): Promise<string> {
  return registerFilled(api, sink.url, WAITING);
}

async function emptied({ api }: Running, sink: Sink, webhookId: string): Promise<void> {
  sink.clear();
  await resume(api, webhookId);
  await sink.arrived(WAITING, ARRIVE_WITHIN_MS);
  await settled(api, webhookId, WAITING);
  await api.call(`/webhooks/${webhookId}`, undefined, "DELETE");
}

async function trickle({ api, url }: Running): Promise<void> {
  await pace(
    url,
    Array.from({ length: EVENTS }, () => signedRequest(api.signingSecret)),
    RATE,
  );
}

function figure(
  name: string,
  what: string,
  { busy, shares }: Profiled,
  progress: (text: string) => void,
): Figure {
  const measured = `${what}: share of the time in which the isolate works`;
  const named = shares.toSorted((a, b) => b.own - a.own).slice(0, NAMED);
  for (const { name: function_, own, whole } of named) {
    progress(`${name}: ${percent(whole)} % in ${function_}, ${percent(own)} % in its own code`);
  }
  const details = Object.fromEntries(
    named.map((each) => [each.name, { own: percent(each.own), whole: percent(each.whole) }]),
  );
  const changed = "the bundle has the names of its sources, and V8 looks on";
  return figureOf({ name, measured, changed, bar: null }, [busy], details);
}

function percent(share: number): number {
  return Math.round(share * PERCENT * 10) / 10;
}
