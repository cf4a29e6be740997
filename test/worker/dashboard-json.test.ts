/** Each page that shows what the relay has names the calls of the API that answer with just that. */
import { describe, expect } from "vitest";
import { app } from "../../src/dashboard/app";
import { it, rowsOf, textOf } from "../rig/worker/dashboard";
import { deliverAll, newEvents, register } from "../rig/worker/engine";
import { answering, clock, MINUTE, service } from "../rig/worker/fixture";
import { consume } from "../rig/worker/queue";
import { api } from "../rig/worker/requests";

const WEBHOOK = "/dashboard/webhooks/:id";
/** They ask, and show what was asked for when they are answered. */
const FORMS = [
  "/dashboard/sign-in",
  "/dashboard/continue",
  "/dashboard/webhooks/new",
  "/dashboard/events/:id/erase",
  ...["edit", "rotate", "replay", "discard", "delete"].map((form) => `${WEBHOOK}/${form}`),
];

/** The paths of the calls that the page names, as they are to be asked. */
function callsOn(page: string): string[] {
  const [, footer = ""] = page.split("<footer");
  return [...footer.matchAll(/<code>GET ([^<]+)<\/code>/g)].map(([, path = ""]) =>
    path.replaceAll("&amp;", "&"),
  );
}

type Answers = { path: string; body: Record<string, unknown> }[];

/** The page, and what its calls answer. */
async function look(path: string): Promise<{ page: string; answers: Answers }> {
  const page = await textOf(path);
  const answers: Answers = [];
  for (const call of callsOn(page)) {
    const response = await api("GET", call);
    expect(response.status, `${path}: ${call}`).toBe(200);
    answers.push({ path: call.split("?")[0] ?? "", body: await response.json() });
  }
  return { page, answers };
}

type Listed = { id?: string; webhookId?: string; eventId?: string };

/** What a list of the API has, called as the rows of a page are. */
function keysOf(body: Record<string, unknown> | undefined): string[] {
  const { data } = body as { data: Listed[] };
  return data.map(({ id, webhookId, eventId }) => id ?? `${webhookId}/${eventId}`);
}

const listOf = (answers: Answers, path: string) =>
  keysOf(answers.find((answer) => answer.path === path)?.body);

/** Two webhooks, one of which refuses, and events that each of them gets. */
async function stage(events: number) {
  service.answer = ({ url }) => answering(url.includes("down") ? 503 : 204)();
  const down = await register({ url: "https://down.example.com/in", description: "Down" });
  const well = await register({ url: "https://well.example.com/in", events: ["message.sent"] });
  const sent = await newEvents(events);
  await consume(sent);
  for (const { id } of [down, well]) await deliverAll(id, clock);
  return { down, well, sent };
}

describe("the calls that a page names", () => {
  it("are there on each page that is no form", async () => {
    const { down, sent } = await stage(1);
    const pathOf = (pattern: string) =>
      pattern
        .replace("/events/:id", `/events/${sent[0]?.id}`)
        .replace(":eventId", sent[0]?.id ?? "")
        .replace(":id", down.id);
    const patterns = app.routes
      .filter(({ method, path }) => method === "GET" && !path.includes("*"))
      .map(({ path }) => path.replace(/\{.*\}\}/, ""));
    expect(patterns).toEqual(expect.arrayContaining(FORMS));
    for (const pattern of new Set(patterns)) {
      // By its name a webhook's page is led to, and is none itself.
      if (FORMS.includes(pattern) || pattern.endsWith("/:name")) continue;
      expect((await look(pathOf(pattern))).answers, pattern).not.toEqual([]);
    }
  });

  it("answer with the figures, the webhooks and the events of the overview, for each period", async () => {
    const { down, well, sent } = await stage(2);
    for (const [over, hours] of [
      ["hour", 2],
      ["day", 24],
      ["week", 168],
    ] as const) {
      const { answers } = await look(`/dashboard?over=${over}`);
      const [stats] = answers.map(({ body }) => body as { hours: unknown[]; webhooks: Listed[] });
      expect(stats?.hours, over).toHaveLength(hours);
      const ids = [down.id, well.id].toSorted();
      expect(stats?.webhooks.map(({ id }) => id).toSorted()).toEqual(ids);
      expect(listOf(answers, "/v1/webhooks").toSorted()).toEqual(ids);
      const events = listOf(answers, "/v1/events");
      expect(events.toSorted()).toEqual(sent.map(({ id }) => id).toSorted());
    }
  });

  it("answer with a webhook, its figures, its latest deliveries and the answer that it shows", async () => {
    const { down } = await stage(12);
    const { page, answers } = await look(`/dashboard/webhooks/${down.id}`);
    const path = `/v1/webhooks/${down.id}`;
    expect(answers[0]).toMatchObject({ path, body: { webhook: { id: down.id } } });
    expect(listOf(answers, `${path}/deliveries`)).toEqual(rowsOf(page));
    expect(answers.at(-1)?.body).toMatchObject({ attemptLog: [{ statusCode: 503 }] });
  });

  it("answer with the attempts of a webhook, on each page of them", async () => {
    const { well } = await stage(60);
    let path = `/dashboard/webhooks/${well.id}/attempts`;
    for (const rows of [50, 10]) {
      const { page, answers } = await look(path);
      const logged = answers.flatMap(({ body }) =>
        // The last call says which failure was the last.
        ((body.attemptLog ?? []) as { number: number }[]).map(
          ({ number }) => `${body.eventId}/${number}`,
        ),
      );
      expect(logged.toSorted()).toEqual(rowsOf(page).toSorted());
      expect(logged).toHaveLength(rows);
      path = /rel="next" href="([^"]+)"/.exec(page)?.[1]?.replaceAll("&amp;", "&") ?? "";
    }
  });

  it("answer with the deliveries that a list shows: chosen, narrowed, of any page, whatever is asked for wrongly", async () => {
    const { down, sent } = await stage(60);
    clock.advance(10 * MINUTE);
    const [first, second] = rowsOf(await textOf(`/dashboard/deliveries?webhook=${down.id}`));
    const chosen = [first, second].map((key) => key?.replace(/^.*evt_/, "")).join(".");
    const ways = [
      "",
      `?webhook=${down.id}`,
      `?webhook=${down.id}&status=pending&statusCode=503&error=status&attempted=true`,
      "?status=nonsense&statusCode=abc&event=%20&attempted=maybe&within=year&since=then",
      "?within=hour&event=message.sent",
      "?within=hour&status=undeliverable",
      `?chosen=${down.id.slice("wh_".length)}.${chosen}`,
    ];
    for (const way of ways) {
      let path = `/dashboard/deliveries${way}`;
      for (let pages = 0; path !== "" && pages < 3; pages++) {
        const { page, answers } = await look(path);
        const [{ body } = { body: {} }] = answers;
        const keys = way.includes("chosen")
          ? answers.map((answer) => `${answer.body.webhookId}/${answer.body.eventId}`)
          : keysOf(body);
        expect(keys, path).toEqual(rowsOf(page));
        path = /rel="next" href="([^"]+)"/.exec(page)?.[1]?.replaceAll("&amp;", "&") ?? "";
      }
    }
    const unknown = await look("/dashboard/deliveries?webhook=wh_00000000000000000000000000");
    expect(unknown.answers).toEqual([]);
    expect(sent).toHaveLength(60);
  });

  it("answer with the events that a search finds, and with the lines of the audit log, of any page", async () => {
    const { well } = await stage(60);
    for (let more = 0; more < 52; more++) {
      await api("POST", `/v1/webhooks/${well.id}/${more % 2 === 0 ? "pause" : "resume"}`);
    }
    for (const way of ["events", "events?event=message.sent&email=a%40b&x=1", "events", "audit"]) {
      let path = `/dashboard/${way}`;
      for (let pages = 0; path !== ""; pages++) {
        expect(pages).toBeLessThan(3);
        const { page, answers } = await look(path);
        const keys = keysOf(answers[0]?.body).map((key) => key.replace("aud_", ""));
        expect(keys, path).toEqual(rowsOf(page));
        path = /rel="next" href="([^"]+)"/.exec(page)?.[1]?.replaceAll("&amp;", "&") ?? "";
      }
    }
  });
});
