/** /dashboard/webhooks and a webhook's page: what they show, and to whom. */
import { describe, expect } from "vitest";
import { signedIn, textOf } from "../rig/worker/dashboard";
import { accept, deliverAll, newEvent, newEvents, register } from "../rig/worker/engine";
import { answering, clock, it, service } from "../rig/worker/fixture";
import { consume } from "../rig/worker/queue";
import { api, READ_ONLY_API_KEY } from "../rig/worker/requests";

const PATH = "/dashboard/webhooks";
const MARKUP = '<img src=x onerror="alert(1)">';
const ESCAPED = "&lt;img src=x onerror=&quot;alert(1)&quot;&gt;";

async function shown(path: string, key?: string): Promise<string> {
  const response = await (await signedIn(key)).get(path);
  expect(response.status).toBe(200);
  return response.text();
}

/** A page without what only its forms and its script know. */
async function seen(path: string): Promise<string> {
  return (await shown(path)).replaceAll(/ (?:value|data-copy)="[^"]*"/g, "");
}

/** The part of a page from this on. */
function from(page: string, mark: string): string {
  const at = page.indexOf(mark);
  expect(at, mark).toBeGreaterThan(0);
  return page.slice(at);
}

describe("the list of webhooks", () => {
  it("says what to do next when there is none", async () => {
    const page = await shown(PATH);
    expect(page).toContain("No webhook is registered");
    expect(page).toContain('href="/dashboard/webhooks/new"');
    expect(await shown(PATH, READ_ONLY_API_KEY)).not.toContain("/dashboard/webhooks/new");
  });

  it("shows each with its numbers, those that need attention first", async () => {
    const failing = await register({ url: "https://down.example.com/in", description: "Down" });
    const well = await register({ url: "https://well.example.com/in", description: "Well" });
    service.answer = ({ url }) => new Response(null, { status: url.includes("down") ? 503 : 204 });
    for (const { id } of [failing, well]) {
      await accept(id, [await newEvent()]);
      await deliverAll(id, clock);
    }
    const page = await shown(PATH);
    const rows = page.split("<tr data-row=").slice(1);
    expect(rows.map((row) => row.slice(1, 30))).toEqual([failing.id, well.id]);
    expect(rows[0]).toMatch(/>failing<.*since <time/);
    expect(rows[0]).toContain(">0 %<");
    expect(rows[1]).toContain(">100 %<");
    expect(rows[1]).toContain(">healthy<");
    expect(page).toContain("Pending is what waits now; the other numbers are of the last day.");
  });

  it("tells those apart that have neither name nor description, by their ids, said once", async () => {
    const url = "https://crm.example.com/in";
    const [one, two, named] = [
      await register({ url }),
      await register({ url }),
      await register({ url, name: "crm" }),
    ];
    const page = await shown(PATH);
    for (const { id } of [one, two])
      expect(page.match(new RegExp(`${id}<`, "g"))).toEqual([`${id}<`]);
    const below = [...page.matchAll(/<small class="quiet below">([^<]*)</g)];
    expect(below.map(([, text]) => text)).toEqual(["crm.example.com/in"]);
    expect(page).toContain(`href="/dashboard/webhooks/${named.id}"`);
  });

  it("shows neither the query of a URL nor markup of others", async () => {
    await register({ url: "https://crm.example.com/in?token=hush", description: MARKUP });
    await register({ url: "https://erp.example.com/in?token=hush" });
    const page = await shown(PATH);
    expect(page).toContain(ESCAPED);
    expect(page).not.toContain("<img src=x");
    expect(page).toContain("erp.example.com/in?…");
    expect(page).not.toContain("hush");
  });
});

describe("a webhook's page", () => {
  it("shows settings by name, the values of headers never", async () => {
    const { id } = await register({
      url: "https://crm.example.com/in?token=hush",
      description: MARKUP,
      events: ["reply.received"],
      filter: { "data.reply.classification": "</pre><script>" },
      headers: { "x-team": "a-secret-value" },
      retrySchedule: "1m 2m",
    });
    const page = await shown(`${PATH}/${id}`);
    for (const text of [ESCAPED, "x-team", "1m 2m", "&lt;/pre&gt;&lt;script&gt;", "/in?…"]) {
      expect(page).toContain(text);
    }
    for (const text of ["a-secret-value", "hush", "whsec_", "<img src=x", "</pre><script>"]) {
      expect(page).not.toContain(text);
    }
  });

  it("says when it was registered, and of one that was changed since when that was", async () => {
    const { id } = await register();
    const registered = async () =>
      /<dt>Registered<\/dt><dd>(.*?)<\/dd>/.exec(await shown(`${PATH}/${id}`))?.[1];
    expect(await registered()).toMatch(/^<time[^>]*>[^<]*<\/time>$/);
    clock.advance(1_000);
    await api("PATCH", `/v1/webhooks/${id}`, { description: "CRM" });
    expect(await registered()).toMatch(/<\/time>, changed <time/);
  });

  it("shows who may only read the URL without its query, and no way to change anything", async () => {
    const { id } = await register({ url: "https://crm.example.com/in?token=hush" });
    const page = await shown(`${PATH}/${id}`, READ_ONLY_API_KEY);
    expect(page).toContain("https://crm.example.com/in?…");
    expect(page).not.toContain("hush");
    const forms = page.match(/<form[^>]*>/g) ?? [];
    expect(forms.filter((form) => !form.includes("sign-out"))).toEqual([]);
    for (const change of ["edit", "rotate", "delete", "replay", "discard"]) {
      expect(page).not.toContain(`${id}/${change}`);
    }
  });

  it("shows the latest deliveries with the way to each, and its own numbers", async () => {
    const { id } = await register();
    await accept(id, await newEvents(12));
    await deliverAll(id, clock);
    const page = await shown(`${PATH}/${id}`);
    const rows = from(page, "Latest deliveries").match(/data-row=/g) ?? [];
    expect(rows).toHaveLength(10);
    expect(page).toContain(`/dashboard/deliveries?webhook=${id}&amp;status=delivered`);
    expect(from(page, ">Delivered<")).toMatch(/^>Delivered<\/dt><dd><a[^>]*>12</);
    expect(page).toContain("All is well.</strong> Nothing waits.");
  });

  it("says since when it fails, how it was answered last, and when it is tried next", async () => {
    service.answer = () => new Response("could not connect to <postgres>", { status: 503 });
    const { id } = await register();
    await accept(id, [await newEvent()]);
    await deliverAll(id, clock);
    const page = await shown(`${PATH}/${id}`);
    expect(page).toContain("Failing since <time");
    expect(page).toContain("It answered 503");
    expect(page).toContain("could not connect to &lt;postgres&gt;");
    expect(page).toMatch(/by its schedule, next <time[^>]*>in (?:1 minute|\d+ seconds)/);
  });

  it("says of an ordered one that the oldest is tried, and what the others wait for", async () => {
    const webhook = await register({ ordered: true });
    service.answer = answering(422);
    await accept(webhook.id, await newEvents(2));
    await deliverAll(webhook.id, clock);
    expect(await shown(`${PATH}/${webhook.id}`)).toMatch(
      /2 deliveries wait\. The oldest is tried again by its schedule, next <time.*?; the others wait until it is taken, given up on or cancelled\./,
    );
  });

  it("offers to replay what is undeliverable, also while something else waits for a retry", async () => {
    const { id } = await register({ giveUpOn: [422] });
    for (const [count, status] of [
      [5, 422],
      [1, 500],
      [1, 204],
    ] as const) {
      service.answer = answering(status);
      await accept(id, await newEvents(count));
      await deliverAll(id, clock);
      clock.advance(1_000);
    }
    const page = await shown(`${PATH}/${id}`);
    expect(page).toContain("5 undeliverable");
    expect(page).toContain("Replay 5</button>");
  });

  it("says of one that is well by its state what failed last, in the same line, and what comes of it", async () => {
    const { id } = await register();
    await accept(id, [await newEvent()]);
    await deliverAll(id, clock);
    service.answer = () => new Response("could not connect to <postgres>", { status: 500 });
    const failed = await newEvent();
    clock.advance(1_000);
    await accept(id, [failed]);
    await deliverAll(id, clock);
    const page = await shown(`${PATH}/${id}`);
    const [, headline = ""] =
      /<div class="notice good"><p class="headline">(.*?)<\/p>/.exec(page) ?? [];
    expect(headline).toContain(`<a href="${PATH}/${id}/deliveries/${failed.id}">last attempt</a>`);
    expect(headline.replace(/<[^>]*>/g, "").replace(/\s+/g, " ")).toMatch(
      /^All is well, but the last attempt failed: 500 refused, “could not connect to &lt;postgres&gt;”\. 1 delivery waits\. It is tried again by its schedule, next in .*; nothing has to be done here once the service takes it\.$/,
    );
    expect(page).toContain("The last failure</h2>");
    service.answer = answering(204);
    clock.advance(1_000);
    await accept(id, [await newEvent()]);
    await deliverAll(id, clock);
    const between = await shown(`${PATH}/${id}`);
    expect(between).toMatch(
      /All is well\.<\/strong> 1 delivery waits\. It is tried again by its schedule, next <time/,
    );
    expect(between).toContain("Try now");
    clock.advance(600_000);
    await deliverAll(id, clock);
    const after = await shown(`${PATH}/${id}`);
    expect(after).toContain("All is well.</strong> Nothing waits.");
    expect(after).not.toContain("The last failure</h2>");
  });

  it("counts what did not arrive as it is now: a replay that succeeds leaves nothing to do", async () => {
    service.answer = answering(503);
    const { id } = await register({ retrySchedule: "1s" });
    await accept(id, await newEvents(2));
    await deliverAll(id, clock);
    clock.advance(60_000);
    await deliverAll(id, clock);
    service.answer = answering(204);
    await accept(id, [await newEvent()]);
    await deliverAll(id, clock);
    const page = await shown(`${PATH}/${id}`);
    expect(page).toMatch(
      /Healthy, but 2 undeliverable, the last <time[^>]*>[^<]*<\/time>: .*<code>503<\/code> refused\./,
    );
    expect(page).toMatch(/action="[^"]*\/replay".*>Replay 2<\/button>/);
    // A retry of one does as a replay.
    expect(page).toContain("What stopped retrying is not tried again by itself; nothing else");
  });

  it("says which answer ended what its settings give up on, and what to do, whatever failed before", async () => {
    service.answer = answering(503);
    const { id } = await register({ giveUpOn: [422] });
    await accept(id, [await newEvent()]);
    await deliverAll(id, clock);
    service.answer = answering(204);
    clock.advance(600_000);
    await deliverAll(id, clock);
    service.answer = () => new Response("no such lead", { status: 422 });
    await accept(id, await newEvents(2));
    await deliverAll(id, clock);
    const page = await shown(`${PATH}/${id}`);
    expect(page).toMatch(
      /Healthy, but 2 undeliverable, the last .*: .*422.* refused, “<bdi>no such lead<\/bdi>”\./,
    );
    expect(page).toContain("By its settings it gives up on 422 at once. Replay them");
    expect(page).toContain("How the newest that stopped retrying ended");
    expect(page).toContain("It answered 422");
    expect(page).toContain(">Replay 2</button>");
    expect(await shown("/dashboard")).toMatch(
      /2 undeliverable, the last .* refused, “<bdi>no such lead/,
    );
  });

  it("says where a redirect leads to, and that the webhook needs that URL; the overview says so too", async () => {
    const location = "https://new.example.com/in?a=<b>";
    service.answer = answering(308, { headers: { location } });
    const { id } = await register();
    await accept(id, [await newEvent()]);
    await deliverAll(id, clock);
    const page = await shown(`${PATH}/${id}`);
    expect(page).toContain(
      "It answered 308, a redirect to <bdi>https://new.example.com/in?a=&lt;b&gt;</bdi>. Redirects are not followed",
    );
    for (const each of [page, await shown("/dashboard")]) {
      expect(each).toMatch(/; the webhook needs the URL that it is redirected to\.\s*</);
      expect(each).not.toContain("nothing has to be done here");
    }
    // Since then it has been given another: what waits can be tried with it at once.
    await api("PATCH", `/v1/webhooks/${id}`, { url: "https://crm.example.com/moved" });
    const changed = await shown(`${PATH}/${id}`);
    expect(changed).toContain("All is well, but the <a");
    expect(changed).toContain("nothing has to be done here once the service takes it.");
    expect(changed).toContain(`action="${PATH}/${id}/try"`);
    service.answer = answering(204);
    await (await signedIn()).post(`${PATH}/${id}/try`);
    const after = await shown(`${PATH}/${id}`);
    expect(after).toContain("All is well.</strong> Nothing waits.");
    expect(after).not.toContain(`${id}/try`);
  });

  it("says of one that its service disabled when to resume it", async () => {
    service.answer = answering(410);
    const { id } = await register();
    await accept(id, [await newEvent()]);
    await deliverAll(id, clock);
    for (const path of [`${PATH}/${id}`, "/dashboard"]) {
      expect(await shown(path), path).toContain(
        "1 delivery is held. Resume it once the service is there again, or give it the URL that the service has now.",
      );
    }
  });

  it("calls the last failure by its name", async () => {
    service.answer = answering(503);
    const { id } = await register();
    await accept(id, [await newEvent()]);
    await deliverAll(id, clock);
    const page = await shown(`${PATH}/${id}`);
    expect(page).toContain("The last failure</h2>");
    expect(page).not.toContain("The last attempt at");
  });

  it("shows the answer to what was tried until a later failure, and that one then", async () => {
    service.answer = () => new Response("the first answer", { status: 503 });
    const { id } = await register();
    const [tried, later] = await newEvents(2);
    if (tried === undefined || later === undefined) throw new Error("there are two");
    await accept(id, [tried]);
    await deliverAll(id, clock);
    const path = `${PATH}/${id}?tried=${tried.id}`;
    expect(await shown(path)).toContain("The last attempt at this delivery</h2>");
    service.answer = () => new Response("the second answer", { status: 503 });
    clock.advance(10_000);
    await accept(id, [later]);
    await deliverAll(id, clock);
    const page = await shown(path);
    expect(page).toContain("The last failure</h2>");
    expect(page).not.toContain("the first answer");
  });

  it("blames nothing for what a new webhook never had: what came before it is not sent to it", async () => {
    await consume([await newEvent()]);
    const { id } = await register();
    const page = await shown(`${PATH}/${id}`);
    expect(page).toContain("What came before it was registered is not sent to it by itself.");
    expect(page).not.toContain("no event came lately");
  });

  it("says why it is disabled, what is held and what to do", async () => {
    service.answer = answering(410);
    const { id } = await register();
    await accept(id, await newEvents(2));
    await deliverAll(id, clock);
    const page = await shown(`${PATH}/${id}`);
    expect(page).toMatch(/Disabled since <time[^>]*>[^<]*<\/time>: the service answered 410 Gone/);
    expect(page).toContain("2 deliveries are held");
    expect(page).toContain(`action="/dashboard/webhooks/${id}/resume"`);
    expect(page).not.toContain(`action="/dashboard/webhooks/${id}/pause"`);
  });

  it("tells what is late, and what a pause holds", async () => {
    const { id } = await register({ rateLimit: 0.001 });
    await accept(id, await newEvents(2));
    clock.advance(600_000);
    expect(await shown(`${PATH}/${id}`)).toContain(
      "Its rate limit lets 0.001 a second through, which takes 33 minutes for what waits",
    );
    await api("POST", `/v1/webhooks/${id}/pause`);
    expect(await shown(`${PATH}/${id}`)).toMatch(
      /Paused since <time[^>]*>[^<]*<\/time>\.<\/strong> 2 deliveries are held\./,
    );
  });

  it("says until when an older secret signs along, and no longer", async () => {
    const { id } = await register();
    await api("POST", `/v1/webhooks/${id}/rotate-secret`, { gracePeriodSeconds: 3_600 });
    expect(await shown(`${PATH}/${id}`)).toMatch(
      /An older one signs along until the grace period ends: <time[^>]*>in/,
    );
    clock.advance(3_600_001);
    expect(await shown(`${PATH}/${id}`)).toContain("It was shown once, when it was made.");
  });

  it("is found by the webhook's name", async () => {
    const visitor = await signedIn();
    const { id } = await register({ name: "crm-2" });
    for (const rest of [
      "",
      "/attempts",
      "/edit",
      `/deliveries/evt_${"0".repeat(26)}`,
      "?tried=x",
    ]) {
      const answer = await visitor.get(`${PATH}/crm-2${rest}`);
      const [status, leadsTo] = [answer.status, answer.headers.get("location")];
      expect([status, leadsTo], rest).toEqual([303, `${PATH}/${id}${rest}`]);
      const spelled = await visitor.get(`${PATH}/%63rm-%32${rest}`);
      expect(spelled.headers.get("location"), rest).toBe(leadsTo);
    }
    expect((await visitor.get(`${PATH}/new`)).status).toBe(200);
  });

  it("is not found where there is no such webhook", async () => {
    const visitor = await signedIn();
    for (const id of ["wh_00000000000000000000000000", "wh_1", "constructor"]) {
      expect((await visitor.get(`${PATH}/${id}`)).status, id).toBe(404);
      expect((await visitor.get(`${PATH}/${id}/edit`)).status, id).toBe(404);
    }
  });
});

describe("the audit log", () => {
  it("reads as what differs: webhooks by their names, events as the way to them, times as everywhere, lists with commas", async () => {
    const { id } = await register({ description: "CRM", events: ["message.sent"] });
    await api("PATCH", `/v1/webhooks/${id}`, { events: ["a.b", "c.d"], rateLimit: 2 });
    const event = await newEvent();
    await consume([event]);
    await api("POST", `/v1/events/${event.id}/replay`, { webhookIds: [id] });
    const since = "2020-01-01T00:00:00Z";
    await api("POST", `/v1/webhooks/${id}/replay`, { since, only: "all" });
    const page = (await shown("/dashboard/audit")).replaceAll(/<[^>]*>/g, " ").replace(/\s+/g, " ");
    expect(page).toMatch(
      /webhook\.updated CRM events message\.sent → a\.b , c\.d rateLimit none → 2/,
    );
    expect(page).toMatch(new RegExp(`event\\.replayed id ${event.id} webhookIds CRM deliveries 1`));
    expect(page).toMatch(
      /webhook\.replayed CRM since [\d,]+ days ago \(1 Jan 2020, 00:00\) until just now/,
    );
  });
});

describe("webhooks that are called alike", () => {
  it.each(["CRM", "x".repeat(80)])(
    "are told apart by their ids wherever one is named: %s",
    async (description) => {
      const [one, two] = [await register({ description }), await register({ description })];
      const other = await register({ description: "ERP" });
      const event = await newEvent();
      await consume([event]);
      const pages = [PATH, "/dashboard", "/dashboard/audit", "/dashboard/deliveries"];
      for (const path of [...pages, `/dashboard/events/${event.id}`]) {
        const page = await shown(path);
        for (const { id } of [one, two]) {
          expect(page, path).toMatch(
            new RegExp(`<bdi>${description.slice(0, 40)}[^<]*: ${id}</bdi>`),
          );
        }
        expect(page, path).toContain("<bdi>ERP</bdi>");
        expect(page, path).not.toContain(`: ${other.id}`);
      }
    },
  );
});

describe("C4: what others wrote", () => {
  it("is spelled out where it would not be seen, and cannot turn the line around", async () => {
    const hidden = "in\u202evoice\u200b \u0007\ufeff!";
    const { id } = await register({ description: hidden });
    const spelled = "in\\u202evoice\\u200b \\u0007\\ufeff!";
    for (const path of [
      PATH,
      `${PATH}/${id}`,
      `${PATH}/${id}/delete`,
      "/dashboard",
      "/dashboard/audit",
    ]) {
      const page = await shown(path);
      expect(page, path).toContain(spelled);
      for (const unseen of ["\u202e", "\u200b", "\u0007", "\ufeff"]) {
        expect(page, path).not.toContain(unseen);
      }
    }
    expect(await shown(PATH)).toContain(`<bdi>${spelled}</bdi>`);
  });

  it("stays as it is where joiners make one emoji of several, or a line ends", async () => {
    await register({ description: "👩‍🚒 ❤️ Équipe" });
    expect(await shown(PATH)).toContain("👩‍🚒 ❤️ Équipe");
  });

  it("is spelled out in what a service answers, and in what came in", async () => {
    const { id } = await register();
    service.answer = () => new Response("no\u202e\u0000\nway", { status: 500 });
    const event = await newEvent();
    await accept(id, [event]);
    await deliverAll(id, clock);
    const page = await shown(`${PATH}/${id}/deliveries/${event.id}`);
    expect(page).toContain("no\\u202e\\u0000\nway");
  });

  it("is spelled out in a filter, on page and form, and in what is tried of one", async () => {
    const { id } = await register({ filter: { "data.team\u202e": "a\u{e0001}b" } });
    for (const page of [await seen(`${PATH}/${id}`), await seen(`${PATH}/${id}/edit`)]) {
      expect(page).toContain("data.team\\u202e");
      expect(page).toContain("a\\udb40\\udc01b");
      expect(page).not.toMatch(/\u202e|\u{e0001}/u);
    }
    const trial = await (await signedIn()).post(`${PATH}/filter-trial`, {
      events: "*",
      filter: '{"data.te\u202eam": "x"}',
    });
    const tried = await trial.text();
    expect(tried).toContain("data.te\\u202eam");
    expect(tried).not.toContain("\u202e");
  });

  it("is spelled out in a campaign and in why an event went nowhere", async () => {
    const { id } = await register({ filter: { "data.campaignId": "x" } });
    const event = await newEvent({ campaignId: "cam\u2066p" });
    await consume([event]);
    for (const path of ["/dashboard/events", `/dashboard/events/${event.id}`]) {
      const page = await seen(path);
      expect(page, path).toContain("<bdi>cam\\u2066p</bdi>");
      expect(page, path).not.toContain("\u2066");
    }
    expect(await shown(`/dashboard/events/${event.id}`)).toContain(id);
  });
});

describe("C5: a long description", () => {
  it("is cut as a long URL is, in headings, choices and the way to a page", async () => {
    const { id } = await register({
      url: `https://crm.example.com/${"a-long-way/".repeat(150)}end`,
    });
    for (const path of [PATH, `${PATH}/${id}/delete`, "/dashboard/deliveries", "/dashboard"]) {
      expect((await shown(path)).replaceAll(/<small[^>]*>[^<]*<\/small>/g, ""), path).not.toContain(
        "a-long-way/".repeat(20),
      );
    }
    const [, heading = ""] =
      /<h1><bdi>([^<]*)<\/bdi><\/h1>/.exec(await shown(`${PATH}/${id}`)) ?? [];
    expect(heading.length).toBeLessThanOrEqual(80);
  });

  it("is cut at 80 characters, between two of them: one of two halves is shown whole or not at all", async () => {
    const nameOf = async (description: string) => {
      const { id } = await register({ description });
      return /<h1><bdi>([^<]*)<\/bdi><\/h1>/.exec(await shown(`${PATH}/${id}`))?.[1];
    };
    for (const before of ["", "x"]) {
      expect(await nameOf(before + "😀".repeat(80 - before.length))).toBe(
        before + "😀".repeat(80 - before.length),
      );
      expect(await nameOf(before + "😀".repeat(81 - before.length))).toBe(
        `${before}${"😀".repeat(79 - before.length)}…`,
      );
    }
  });

  it("is a heading of a line or two, and stands whole once", async () => {
    const description = `${"word ".repeat(199)}end.`;
    const { id } = await register({ description });
    const page = await shown(`${PATH}/${id}`);
    const [, heading = ""] = /<h1><bdi>([^<]*)<\/bdi><\/h1>/.exec(page) ?? [];
    expect(heading.length).toBeLessThanOrEqual(80);
    expect(heading).toMatch(/^word word .*…$/);
    expect(page.split(description)).toHaveLength(2);
    expect(await shown(PATH)).not.toContain(description);
  });
});

describe("a webhook as configuration", () => {
  it("is what npm run apply takes, without a secret and without what has its default", async () => {
    const { id } = await register({
      name: "crm",
      url: "https://crm.example.com/in?token=hush",
      concurrency: 12,
      headers: { "X-Token": "a-value-that-is-never-shown" },
    });
    const page = await textOf(`/dashboard/webhooks/${id}`, await signedIn());
    const [, shown = ""] = /<details id="configuration">([\s\S]*?)<\/details>/.exec(page) ?? [];
    const text = shown.replaceAll("&quot;", '"').replaceAll(/<[^>]+>/g, "");
    expect(JSON.parse(text.slice(text.indexOf("{"), text.lastIndexOf("}") + 1))).toEqual({
      name: "crm",
      url: "https://crm.example.com/in?…",
      events: ["*"],
      concurrency: 12,
      headers: { "x-token": { $env: "CRM_X_TOKEN" } },
    });
  });

  it("needs a name", async () => {
    const { id } = await register();
    expect(await textOf(`/dashboard/webhooks/${id}`, await signedIn())).toContain(
      "kept in a file by its name",
    );
  });
});
