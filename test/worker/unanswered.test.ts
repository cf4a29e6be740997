/** One object does not answer: what the others know stands there, and it is named where its part would stand. */
import { env } from "cloudflare:workers";
import { describe, expect } from "vitest";
import { DEAD_LETTERS_NAME, journalName, REGISTRY_NAME } from "../../src/domain/placement";
import { signedIn } from "../rig/worker/dashboard";
import { accept, deliverAll, newEvent, register } from "../rig/worker/engine";
import { clock, DAY, it } from "../rig/worker/fixture";
import { diverted } from "../rig/worker/objects";
import { consume } from "../rig/worker/queue";
import { API_KEY, callWith, ORIGIN } from "../rig/worker/requests";

type Namespace = { getByName(name: string): object };

/** The objects of these names answer nothing. */
function silenced<N extends Namespace>(namespace: N, names: readonly string[]): N {
  const gone = () => Promise.reject(new Error("gone"));
  return diverted(namespace, new Proxy({}, { get: () => gone }), names);
}

const withoutSubscribers = (...ids: string[]) => ({ SUBSCRIBER: silenced(env.SUBSCRIBER, ids) });
const withoutJournal = (atMs: number) => ({
  JOURNAL: silenced(env.JOURNAL, [journalName(atMs)]),
});

async function page(path: string, bindings: object): Promise<Response> {
  const { cookie } = await signedIn();
  return callWith(bindings, path, { headers: { cookie } });
}

async function seen(path: string, bindings: object): Promise<string> {
  const answer = await page(path, bindings);
  expect(answer.status, path).toBe(200);
  const [, content = ""] = (await answer.text()).split("<h1>");
  return content.split("<footer")[0] ?? "";
}

async function text(path: string, bindings: object): Promise<string> {
  return (await seen(path, bindings))
    .replace(/<title>.*?<\/title>/g, "")
    .replace(/<[^>]*>/g, " ")
    .replace(/\s+/g, " ");
}

/** A program is told nothing rather than a part that it may take for the whole. */
async function isRefused(path: string, bindings: object): Promise<void> {
  const headers = { authorization: `Bearer ${API_KEY}` };
  const answer = await callWith(bindings, path, { headers });
  expect(answer.status, path).toBe(503);
  expect(await answer.json(), path).toMatchObject({ code: "unavailable" });
}

/** Two webhooks that got an event. */
async function two() {
  const dead = await register({ name: "dead", url: "https://dead.example.com/in" });
  const well = await register({ name: "well", url: "https://well.example.com/in" });
  const event = await newEvent();
  await consume([event], { atMs: clock.nowMs() });
  for (const { id } of [dead, well]) await deliverAll(id, clock);
  return { dead, well, event };
}

/** An event of yesterday, and one of today. */
async function twoDays() {
  clock.setTo(Math.floor(clock.nowMs() / DAY) * DAY + DAY / 2);
  const webhook = await register({ name: "crm" });
  const events = [];
  for (const day of [0, 1]) {
    clock.advance(day * DAY);
    const event = await newEvent();
    await consume([event], { atMs: clock.nowMs() });
    await deliverAll(webhook.id, clock);
    events.push(event);
  }
  const [old, fresh] = events;
  return { webhook, old: old?.id ?? "", fresh: fresh?.id ?? "", today: journalName(clock.nowMs()) };
}

const WHY =
  "The object does not answer. See whether Cloudflare reports trouble with Durable Objects.";

describe("a Subscriber that does not answer", () => {
  it("is a row of the list of webhooks, and the others are there with their numbers", async () => {
    const { dead, well } = await two();
    const shown = await seen("/dashboard/webhooks", withoutSubscribers(dead.id));
    const rows = shown.split("<tr data-row=").slice(1);
    expect(rows.map((row) => row.slice(1, 30))).toEqual([dead.id, well.id]);
    expect(rows[0]).toContain('badge bad">does not answer<');
    expect(rows[0]?.match(/>–</g)).toHaveLength(4);
    expect(rows[0]).not.toMatch(/>0[ %]*</);
    expect(rows[1]).toContain(">100 %<");
    expect(await text("/dashboard/webhooks", withoutSubscribers(dead.id))).toContain(
      `dead : ${WHY} What is for it waits in the queue for 20 hours`,
    );
  });

  it("leaves its webhook's page what is known elsewhere: the settings, and what can be done", async () => {
    const { dead } = await two();
    const shown = await text(`/dashboard/webhooks/${dead.id}`, withoutSubscribers(dead.id));
    expect(shown).toContain(`dead : ${WHY}`);
    expect(shown).toContain("https://dead.example.com/in");
    expect(shown).toContain("Edit the settings");
    expect(shown.match(/Unknown, since its object does not answer\./g)).toHaveLength(2);
    expect(shown).not.toContain("All is well");
    expect(shown).not.toContain("No delivery is kept");
  });

  it("is left out of the overview's figures, which say so, and stands in its table", async () => {
    const { dead, well } = await two();
    const one = await text("/dashboard", withoutSubscribers(dead.id));
    expect(one).toContain("Delivered ≥ 1 0 failed attempts");
    expect(one).toContain("Without what does not answer: dead .");
    expect(one).toMatch(/dead dead.example.com\/in does not answer – – – –/);
    const none = await text("/dashboard", withoutSubscribers(dead.id, well.id));
    expect(none).toMatch(/Delivered – unknown Success rate – .* Pending – unknown/);
    expect(await seen("/dashboard", withoutSubscribers(dead.id, well.id))).toContain(
      "1 event in, unknown delivered, unknown failed attempts",
    );
  });

  it.for(["/v1/stats", "/v1/deliveries"])("is no part that %s leaves out", async (path) => {
    const { dead } = await two();
    await isRefused(path, withoutSubscribers(dead.id));
  });

  it("is left out of the deliveries of all webhooks, which name it", async () => {
    const { dead } = await two();
    const list = await text("/dashboard/deliveries", withoutSubscribers(dead.id));
    expect(list).toContain(`dead : ${WHY}`);
    expect(list).toMatch(/delivered well 1/);
    const path = `/dashboard/deliveries?webhook=${dead.id}`;
    const own = await text(path, withoutSubscribers(dead.id));
    expect(own).toContain(`dead : ${WHY}`);
    expect(own).not.toContain("No delivery yet");
  });

  it("is no reason to say that nothing was tried", async () => {
    const { dead } = await two();
    const path = `/dashboard/webhooks/${dead.id}/attempts`;
    const list = await text(path, withoutSubscribers(dead.id));
    expect(list).toContain(`dead : ${WHY}`);
    expect(list).not.toContain("Nothing was tried yet");
  });

  it("is named among those that an event went to, and not ticked", async () => {
    const { dead, well, event } = await two();
    const path = `/dashboard/events/${event.id}`;
    const shown = await seen(path, withoutSubscribers(dead.id));
    const rows = shown.split("<tr data-row=").slice(1);
    const row = rows.find((each) => each.startsWith(`"${dead.id}`)) ?? "";
    expect(row).toContain(">does not answer<");
    expect(row).not.toContain("checked");
    expect(rows.find((each) => each.startsWith(`"${well.id}`))).toContain("1 attempt<");
    await isRefused(`/v1/events/${event.id}`, withoutSubscribers(dead.id));
  });
});

describe("a page that nobody else knows", () => {
  const REGISTRY = () => ({ REGISTRY: silenced(env.REGISTRY, [REGISTRY_NAME]) });

  it("names whose it is, says what to do, and is asked for again by a button", async () => {
    const { dead, event } = await two();
    const path = `/dashboard/webhooks/${dead.id}/deliveries/${event.id}?a=b`;
    const subscriber = `<a href="/dashboard/webhooks/${dead.id}">Subscriber ${dead.id}</a>`;
    for (const [bindings, name] of [
      [withoutSubscribers(dead.id), subscriber],
      [REGISTRY(), "<strong>Registry</strong>"],
    ] as const) {
      const answer = await page(path, bindings);
      expect(answer.status).toBe(503);
      const shown = await answer.text();
      expect(shown).toContain(name);
      expect(shown).toContain("The object does not answer.</strong> See whether");
      expect(shown).toContain(`href="${path}">Try again</a>`);
      expect(shown).toContain("Sections");
    }
  });

  it("is not asked for again where a form was sent: its address may be none to look at", async () => {
    const { dead } = await two();
    const { cookie } = await signedIn();
    const answer = await callWith(REGISTRY(), `/dashboard/webhooks/${dead.id}/pause`, {
      method: "POST",
      headers: { cookie, origin: ORIGIN },
    });
    expect(answer.status).toBe(503);
    const shown = await answer.text();
    expect(shown).toContain("The object does not answer.</strong> See whether");
    expect(shown).not.toContain("Try again</a>");
  });
});

describe("a Journal that does not answer", () => {
  it("is a line of the overview, and what it knows is nowhere a zero", async () => {
    const { today } = await twoDays();
    const shown = await text("/dashboard", withoutJournal(clock.nowMs()));
    expect(shown).toContain(`Journal ${today} : ${WHY}`);
    expect(shown).not.toContain("All is well");
    expect(shown).not.toContain("To the first event");
    expect(shown).toContain("last: unknown");
    expect(shown).toContain(`Without what does not answer: Journal ${today} .`);
    expect(shown).toMatch(/Events in ≥ 0 last.* Delivered [12] /);
    const hour = await text("/dashboard?over=hour", withoutJournal(clock.nowMs()));
    expect(hour).toMatch(/Events in – last: unknown/);
    expect(await seen("/dashboard?over=hour", withoutJournal(clock.nowMs()))).toContain(
      ". unknown events in, ",
    );
  });

  it("is no webhook where so much does not answer that not all of it is named", async () => {
    const ids: string[] = [];
    for (let made = 0; made < 20; made++) ids.push((await register()).id);
    const bindings = { ...withoutSubscribers(...ids), ...withoutJournal(clock.nowMs()) };
    const shown = await text("/dashboard", bindings);
    expect(shown).toMatch(/\d more objects? do(?:es)? not answer\./);
    expect(shown).not.toContain("more webhook");
  });

  it("leaves a relay without a webhook its first steps: what came is not known, what is to be done is", async () => {
    const bindings = withoutJournal(clock.nowMs());
    const shown = await text("/dashboard", bindings);
    expect(shown).toContain("Send a sample event");
    expect(shown).not.toContain("It has arrived");
  });

  it("is named where a filter is tried, which goes by the other days", async () => {
    const { old, fresh, today } = await twoDays();
    const { cookie } = await signedIn();
    const answer = await callWith(
      withoutJournal(clock.nowMs()),
      "/dashboard/webhooks/filter-trial",
      {
        method: "POST",
        headers: { cookie, origin: ORIGIN, "content-type": "application/x-www-form-urlencoded" },
        body: "events=*",
      },
    );
    const shown = await answer.text();
    expect(shown).toContain(`<strong>Journal ${today}</strong>`);
    expect(shown).toContain(`/dashboard/events/${old}`);
    expect(shown).not.toContain(`/dashboard/events/${fresh}`);
  });

  it("leaves the overview the events of the other days", async () => {
    const { old, fresh } = await twoDays();
    const shown = await seen("/dashboard", withoutJournal(clock.nowMs()));
    expect(shown).toContain(`/dashboard/events/${old}`);
    expect(shown).not.toContain(`/dashboard/events/${fresh}`);
  });

  it("of a day before is no reason not to know the last event", async () => {
    const { fresh } = await twoDays();
    const bindings = withoutJournal(clock.nowMs() - DAY);
    const shown = await seen("/dashboard", bindings);
    expect(shown).toContain(`/dashboard/events/${fresh}`);
    expect(shown).not.toContain("last: unknown");
    expect(shown).not.toContain("All is well");
  });

  it.for(["/v1/stats", "/v1/events", "/v1/events?key=rpl_unknown"])(
    "is no part that %s leaves out",
    async (path) => {
      await twoDays();
      await isRefused(path, withoutJournal(clock.nowMs()));
    },
  );

  it("is left out of the list of events, which names it", async () => {
    const { old, today } = await twoDays();
    const bindings = withoutJournal(clock.nowMs());
    const shown = await seen("/dashboard/events", bindings);
    expect(shown).toContain(`/dashboard/events/${old}`);
    expect(shown).toContain(`<strong>Journal ${today}</strong>`);
    const empty = await text("/dashboard/events?event=nothing.like.it", bindings);
    expect(empty).toContain("No event in what answers.");
    expect(empty).not.toContain("No event is like that");
    expect(await text("/dashboard/events?id=rpl_unknown", bindings)).toContain(`Journal ${today}`);
  });

  it("keeps no event of another day from being found, and is no reason to say that there is none", async () => {
    const { old, fresh, today } = await twoDays();
    const bindings = withoutJournal(clock.nowMs());
    expect(await text(`/dashboard/events/${old}`, bindings)).toContain("Payload");
    const answer = await page(`/dashboard/events/${fresh}`, bindings);
    expect(answer.status).toBe(503);
    const shown = await answer.text();
    expect(shown).toContain(`<strong>Journal ${today}</strong>`);
    expect(shown).toContain("The object does not answer.</strong> See whether");
    expect(shown).toContain(`href="/dashboard/events/${fresh}">Try again</a>`);
  });

  it("leaves a delivery's page all but the body", async () => {
    const { webhook, fresh, today } = await twoDays();
    const path = `/dashboard/webhooks/${webhook.id}/deliveries/${fresh}`;
    const shown = await text(path, withoutJournal(clock.nowMs()));
    expect(shown).toContain(`Journal ${today} : ${WHY}`);
    expect(shown).toContain("The service has it");
    expect(shown).toContain("Unknown, since its object does not answer.");
    expect(shown).not.toContain("payload");
  });
});

describe("the object of the dead letters that does not answer", () => {
  it("is nowhere a zero", async () => {
    const webhook = await register();
    await accept(webhook.id, [await newEvent()]);
    const bindings = { DEAD_LETTER_STORE: silenced(env.DEAD_LETTER_STORE, [DEAD_LETTERS_NAME]) };
    const shown = await text("/dashboard", bindings);
    expect(shown).toContain(`Dead letters : ${WHY}`);
    expect(shown).toMatch(/Dead letters – look at them/);
    expect(shown).not.toContain("Without what does not answer");
  });
});
