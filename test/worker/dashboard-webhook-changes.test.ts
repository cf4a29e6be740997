/** What a webhook's page does: hold, release, test, rotate, replay, discard, delete. */
import { describe, expect, vi } from "vitest";
import { Subscriber } from "../../src/actors/subscriber/subscriber";
import { eventually } from "../rig/eventually";
import {
  goingOn,
  it,
  leadsTo,
  rowsOf,
  signedIn,
  textOf,
  touchedBy,
  visitor,
} from "../rig/worker/dashboard";
import {
  accept,
  deliverAll,
  duesOf,
  newEvents,
  register,
  ring,
  settingsOf,
  subscriber,
  tally,
} from "../rig/worker/engine";
import { answering, clock, gate, HOUR, holding, service } from "../rig/worker/fixture";
import { consume } from "../rig/worker/queue";
import { api, READ_ONLY_API_KEY } from "../rig/worker/requests";

const PATH = "/dashboard/webhooks";
const DAY_SECONDS = 86_400;

type Deed = { action: string; webhookId: string; key: string; after: Record<string, unknown> };

async function deeds(): Promise<Deed[]> {
  return (await (await api("GET", "/v1/audit")).json<{ data: Deed[] }>()).data;
}

/** The hidden fields of the form on a page that posts to this path. */
function fieldsOf(page: string, action: string): Record<string, string> {
  const [, form = ""] = page.split(`action="${action}"`);
  const inputs = form.slice(0, form.indexOf("</form>")).matchAll(/<input[^>]*type="hidden"[^>]*>/g);
  return Object.fromEntries(
    [...inputs].map(([input]) => [
      /name="([^"]*)"/.exec(input)?.[1] ?? "",
      /value="([^"]*)"/.exec(input)?.[1] ?? "",
    ]),
  );
}

describe("pausing and resuming", () => {
  it("holds and releases, and leads back to the page that says so", async () => {
    const { id } = await register();
    const paused = await visitor.post(`${PATH}/${id}/pause`);
    expect(paused.status).toBe(303);
    expect(leadsTo(paused)).toBe(`${PATH}/${id}?done=paused`);
    expect((await settingsOf(id)).status).toBe("paused");
    await visitor.post(`${PATH}/${id}/resume`);
    expect((await settingsOf(id)).status).toBe("active");
    expect((await deeds()).map(({ action }) => action)).toEqual([
      "webhook.resumed",
      "webhook.paused",
      "webhook.created",
    ]);
    expect((await visitor.post(`${PATH}/wh_00000000000000000000000000/pause`)).status).toBe(404);
  });

  it("says what a resume lets go: what is due, one after a disable, nothing while a listener is away or a service asked for a pause", async () => {
    const resumed = async (id: string) => {
      const answer = await visitor.post(`${PATH}/${id}/resume`);
      return /role="status">([^<]+)/.exec(await textOf(leadsTo(answer).split("?")[0] ?? ""))?.[1];
    };
    const paused = await register({ status: "paused" });
    expect(await resumed(paused.id)).toBe("Resumed: what was due goes out. ");
    const absent = await register({ url: "listener:", status: "paused" });
    expect(await resumed(absent.id)).toContain("held all the same");
    service.answer = answering(503, { headers: { "retry-after": "600" } });
    const busy = await register({ url: "https://busy.example.com/in" });
    await accept(busy.id, await newEvents(1));
    await ring(subscriber(busy.id));
    await api("POST", `/v1/webhooks/${busy.id}/pause`);
    expect(await resumed(busy.id)).toContain("held all the same");
    service.answer = answering(410);
    const { id } = await register({ url: "https://gone.example.com/in" });
    await accept(id, await newEvents(1));
    await deliverAll(id, clock);
    await accept(id, await newEvents(8));
    service.answer = answering(500);
    const made = service.requests.length;
    expect(await resumed(id)).toContain("one delivery at a time is tried");
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(made + 1);
  });
});

describe("a notice", () => {
  it("tells what was done and when, and nothing that the next minute makes untrue", async () => {
    const { id } = await register();
    await accept(id, await newEvents(2));
    const path = `${PATH}/${id}/replay`;
    const counted = await visitor.post(path, { step: "count", only: "all", span: "week" });
    await goingOn(path, fieldsOf(await counted.text(), path));
    const page = await textOf(`${PATH}/${id}`);
    const [, told = ""] = /<p class="notice good" role="status">(.*?)<\/p>/.exec(page) ?? [];
    expect(told).toMatch(/^2 deliveries replayed: .*<time datetime="[^"]+"[^>]*>just now \(/);
    expect(told).not.toMatch(/will be|now\./);
  });
});

/** Takes longer than the second that it is given. */
async function givenUp(): Promise<never> {
  clock.advance(1_000);
  await scheduler.wait(1_500);
  throw new Error("it was given up");
}

describe("a test", () => {
  it("shows what the service answered, as text", async () => {
    service.answer = () => new Response("<script>alert(1)</script>", { status: 500 });
    const { id } = await register();
    const response = await visitor.post(`${PATH}/${id}/test`, { event: "message.bounced" });
    expect(response.status).toBe(200);
    const page = await response.text();
    expect(service.requests[0]?.headers.get("x-leadterra-event")).toBe("message.bounced");
    expect(page).toContain("The test failed");
    expect(page).toContain("It answered 500");
    expect(page).toContain("&lt;script&gt;alert(1)");
    expect(page).not.toContain("<script>alert");
  });

  it("goes out once for each form: a reload of what came of it sends none", async () => {
    const { id } = await register();
    const shown = await (await visitor.get(`${PATH}/${id}`)).text();
    const fields = fieldsOf(shown, `${PATH}/${id}/test`);
    expect(await (await visitor.post(`${PATH}/${id}/test`, fields)).text()).toContain("arrived");
    const again = await visitor.post(`${PATH}/${id}/test`, fields);
    expect(leadsTo(again)).toBe(`${PATH}/${id}?done=sent_before`);
    expect(service.requests).toHaveLength(1);
  });

  it("is not said to have been shown to who sends the form again while it is on its way", async () => {
    const late = holding();
    const { id } = await register();
    const path = `${PATH}/${id}`;
    const fields = fieldsOf(await textOf(path), `${path}/test`);
    const first = visitor.post(`${path}/test`, fields);
    await eventually(() => expect(service.requests).toHaveLength(1));
    const again = leadsTo(await visitor.post(`${path}/test`, fields));
    const told = await textOf(path);
    late.open();
    expect(await (await first).text()).toContain("arrived");
    expect(again).toBe(`${path}?done=sent_before`);
    expect(told).toContain("nothing was sent to the service again. What comes of it");
    expect(service.requests).toHaveLength(1);
  });

  it("says so when it arrived", async () => {
    const { id } = await register({ events: ["link.clicked"] });
    const page = await (await visitor.post(`${PATH}/${id}/test`)).text();
    expect(page).toContain("The test arrived");
    expect(service.requests[0]?.headers.get("x-leadterra-event")).toBe("link.clicked");
    expect((await visitor.post(`${PATH}/${id}/test`, { event: "$" })).status).toBe(422);
    expect(service.requests).toHaveLength(1);
  });

  it.each([
    [204, "It answered 204: the service has the test."],
    [500, "It answered 500; only 200 to 299 means that it has the test."],
    [410, "a delivery that is answered so disables its webhook, a test does not."],
  ])("is called no event, and disables nothing, when it is answered %i", async (status, said) => {
    service.answer = answering(status);
    const { id } = await register();
    const page = await (await visitor.post(`${PATH}/${id}/test`)).text();
    expect(page).toContain(said);
    expect(page).not.toContain("the webhook was disabled");
  });

  it.each([
    {
      name: "no answer came in time",
      badge: "bad",
      words: "no answer in time",
      answer: givenUp,
      said: "No answer came in time. The service may have the test all the same.",
    },
    {
      name: "the platform did not let it go out",
      badge: "warn",
      words: "interrupted",
      answer: () => {
        throw new Error("Too many subrequests by single Worker invocation.");
      },
      said: "The attempt was cut short: the relay was restarted, the platform did not let it go out, or the listener went away. The service may have the test.",
    },
    {
      name: "nobody listened",
      badge: "bad",
      words: "not reached",
      answer: () => {
        throw new Error("Network connection lost.");
      },
      said: "The service was not reached, or it hung up: its name, its certificate, its network, a process that is down, or a listener that is not connected.",
    },
  ])(
    "says why it failed when $name, and promises nothing that goes out again",
    async ({ answer, badge, words, said }) => {
      service.answer = answer;
      const { id } = await register({ timeout: "1s" });
      const page = await (await visitor.post(`${PATH}/${id}/test`)).text();
      expect(page).toContain("<h1><bdi>The test failed</bdi></h1>");
      expect(page).toContain(`<span class="badge ${badge}">${words}</span>`);
      expect(page).toContain(`<strong>${said}</strong>`);
      expect(page).not.toContain("Its body");
      expect(page).not.toContain("No body is kept");
      expect(service.requests).toHaveLength(1);
    },
  );
});

describe("trying now", () => {
  it("makes the attempt that is to come, leads to its answer, and the backlog goes after a success", async () => {
    service.answer = () => new Response("no disk", { status: 500, headers: { "x-node": "7" } });
    const { id } = await register({ ordered: true });
    await accept(id, await newEvents(3));
    await deliverAll(id, clock);
    const failed = await visitor.post(`${PATH}/${id}/try`);
    expect(leadsTo(failed)).toMatch(/\?tried=evt_\w{26}&done=attempt_failed$/);
    const page = await textOf(failed.headers.get("location") ?? "");
    for (const text of [
      "The last attempt at this delivery",
      "x-node: 7",
      "no disk",
      "took ",
      "It answered 500",
    ]) {
      expect(page, text).toContain(text);
    }
    service.answer = answering(204);
    const worked = await visitor.post(`${PATH}/${id}/try`);
    expect(leadsTo(worked)).toMatch(/&done=attempt_worked&count=\d$/);
    expect(await textOf(worked.headers.get("location") ?? "")).toContain("It answered 204");
    await deliverAll(id, clock);
    expect(await textOf(`${PATH}/${id}`)).toContain("All is well.");
  });

  it("makes the first attempt in order, however many wait behind it", async () => {
    service.answer = answering(500);
    const { id } = await register({ ordered: true });
    await accept(id, await newEvents(52));
    await deliverAll(id, clock);
    service.answer = answering(204);
    expect(leadsTo(await visitor.post(`${PATH}/${id}/try`))).toContain("done=attempt_worked");
    await deliverAll(id, clock);
    expect(await tally(id)).toEqual({ delivered: 52 });
  });

  it("lets all go that waited for a retry after its success, however much came since", async () => {
    service.answer = answering(500);
    const { id } = await register({ retrySchedule: "1h 8h" });
    await accept(id, await newEvents(10));
    await deliverAll(id, clock);
    for (let batch = 0; batch < 12; batch++) await accept(id, await newEvents(100));
    const late = gate();
    let asked = 0;
    service.answer = async () => {
      if (asked++ > 0) await late.opened;
      return answering(204)();
    };
    const worked = await visitor.post(`${PATH}/${id}/try`);
    expect(leadsTo(worked)).toContain("done=attempt_worked&count=10");
    late.open();
    await deliverAll(id, clock);
    expect([...(await duesOf(id)).values()]).toEqual([]);
    const after = { only: "pending", deliveries: 10 };
    expect((await deeds())[0]).toMatchObject({ action: "webhook.replayed", webhookId: id, after });
  });

  it.for([{ ordered: false }, { ordered: true }])(
    "waits for the attempt that is under way where no other is to come: %j",
    async (draft) => {
      service.answer = answering(500);
      const { id } = await register(draft);
      await accept(id, await newEvents(1));
      await deliverAll(id, clock);
      const late = holding();
      using waiting = vi.spyOn(Subscriber.prototype, "attemptOf");
      clock.advance(HOUR);
      const rung = ring(subscriber(id));
      await eventually(() => expect(service.requests).toHaveLength(2));
      const tried = visitor.post(`${PATH}/${id}/try`);
      await eventually(() => expect(waiting).toHaveBeenCalled());
      late.open();
      await rung;
      expect(leadsTo(await tried)).toMatch(/\?tried=evt_\w{26}&done=attempt_worked&count=0$/);
      expect(service.requests).toHaveLength(2);
      expect(await textOf((await tried).headers.get("location") ?? "")).toContain(
        "It answered 204",
      );
      expect((await deeds()).map(({ action }) => action)).toEqual(["webhook.created"]);
    },
  );

  /** A webhook that waits for its retry, and the form of its page. */
  async function failed() {
    service.answer = answering(500);
    const { id } = await register({ retrySchedule: "1h" });
    await accept(id, await newEvents(1));
    await deliverAll(id, clock);
    const path = `${PATH}/${id}/try`;
    return { id, path, fields: fieldsOf(await textOf(`${PATH}/${id}`), path) };
  }

  it("sends a test where nothing waits once for each form: a reload of what came of it sends none", async () => {
    const { id, path, fields } = await failed();
    await api("POST", `/v1/webhooks/${id}/discard`, {});
    const before = service.requests.length;
    expect(await (await visitor.post(path, fields)).text()).toContain("The test failed");
    expect(leadsTo(await visitor.post(path, fields))).toBe(`${PATH}/${id}?done=sent_before`);
    expect(service.requests).toHaveLength(before + 1);
  });

  it("tries a delivery once for each form, and says of no delivery that its answer is shown once", async () => {
    const { path, fields } = await failed();
    const tried = leadsTo(await visitor.post(path, fields));
    expect(tried).toMatch(/\?tried=evt_\w{26}&done=attempt_failed$/);
    const again = await visitor.post(path, fields);
    expect(leadsTo(again)).toBe(tried.replace("attempt_failed", "sent_before"));
    expect(service.requests).toHaveLength(2);
    const told = await textOf(again.headers.get("location") ?? "");
    expect(told).toContain("What comes of it is shown once where it is a test: another");
    expect(told).toContain("It answered 500");
  });

  it("sends a test where nothing waits, and says so with the event's name", async () => {
    const { id } = await register({ events: ["link.clicked"] });
    const page = await (await visitor.post(`${PATH}/${id}/try`)).text();
    expect(page).toContain("The test arrived");
    expect(page).toContain("No delivery waits to be tried, so a test was sent.");
    expect(page).toContain("<code>link.clicked</code> to crm.example.com/in");
  });
});

describe("what stopped retrying", () => {
  it("is no less a problem of a webhook that is paused", async () => {
    service.answer = answering(500);
    const { id } = await register({ retrySchedule: "1s" });
    await consume(await newEvents(1));
    await deliverAll(id, clock);
    clock.advance(60_000);
    await deliverAll(id, clock);
    await api("POST", `/v1/webhooks/${id}/pause`);
    for (const path of ["/dashboard", `${PATH}/${id}`]) {
      const page = await textOf(path);
      expect(page, path).toContain(">Replay 1</button>");
      expect(page, path).toContain("1 undeliverable: it stopped retrying.");
      expect(page, path).not.toContain("All is well");
    }
  });

  it("is replayed by the one button of the page and of the overview", async () => {
    service.answer = answering(500);
    const { id } = await register({ retrySchedule: "1s" });
    await consume(await newEvents(2));
    await deliverAll(id, clock);
    clock.advance(60_000);
    await deliverAll(id, clock);
    for (const path of ["/dashboard", `${PATH}/${id}`]) {
      expect(await textOf(path), path).toContain(">Replay 2</button>");
    }
    service.answer = answering(204);
    const form = fieldsOf(await textOf("/dashboard"), `${PATH}/${id}/replay`);
    const replayed = await visitor.post(`${PATH}/${id}/replay`, form);
    expect(leadsTo(replayed)).toContain("done=replayed&count=2");
    await deliverAll(id, clock);
    expect(await textOf("/dashboard")).not.toContain("Replay 2");
  });
});

describe("rotating the secret", () => {
  it("shows the new one once, and the old one signs along for the grace period", async () => {
    const { id, signingSecret } = await register();
    const path = `${PATH}/${id}/rotate`;
    const { token = "" } = fieldsOf(await (await visitor.get(path)).text(), path);
    const page = await (await visitor.post(path, { token, grace: String(DAY_SECONDS) })).text();
    const { secrets } = await settingsOf(id);
    expect(secrets.map(({ value }) => value)[0]).toBe(signingSecret);
    expect(secrets[0]?.expiresAtMs).toBeGreaterThan(clock.nowMs() + 0.99 * DAY_SECONDS * 1_000);
    expect(page).toContain(secrets[1]?.value);
    expect(page).not.toContain(signingSecret);

    const again = await visitor.post(path, { token, grace: String(DAY_SECONDS) });
    expect(leadsTo(again)).toBe(`${PATH}/${id}?done=rotated_before`);
    expect((await settingsOf(id)).secrets).toEqual(secrets);
    expect((await deeds()).map(({ action }) => action)).toEqual([
      "webhook.secret_rotated",
      "webhook.created",
    ]);
  });

  it("is done by a form that was refused before: it is not said to have been done then", async () => {
    const { id } = await register();
    const path = `${PATH}/${id}/rotate`;
    const { token = "" } = fieldsOf(await textOf(path), path);
    for (let live = 1; live < 5; live++) await api("POST", `/v1/webhooks/${id}/rotate-secret`);
    const refused = await visitor.post(path, { token, grace: String(DAY_SECONDS) });
    expect(leadsTo(refused)).toBe(`${PATH}/${id}?failed=too_many_secrets`);
    const page = await (await visitor.post(path, { token, grace: "0" })).text();
    const { secrets } = await settingsOf(id);
    expect(secrets).toHaveLength(1);
    expect(page).toContain(secrets[0]?.value);
  });

  it("keeps the grace period that was chosen where the secret is refused", async () => {
    const { id } = await register();
    const path = `${PATH}/${id}/rotate`;
    const checked = (page: string) => /value="(\d+)" checked/.exec(page)?.[1];
    expect(checked(await textOf(path))).toBe(String(DAY_SECONDS));
    const refused = await visitor.post(path, { grace: "0", signingSecret: "whsec_c2hvcnQ=" });
    expect(refused.status).toBe(422);
    expect(checked(await refused.text())).toBe("0");
  });

  it("takes a secret of one's own, and says what is wrong with one", async () => {
    const { id } = await register();
    const own = `whsec_${btoa("y".repeat(32))}`;
    const wrong = await visitor.post(`${PATH}/${id}/rotate`, {
      grace: "0",
      signingSecret: "short",
    });
    expect(wrong.status).toBe(422);
    expect(await wrong.text()).toContain("Signing secret must be");
    expect((await visitor.post(`${PATH}/${id}/rotate`, { grace: "soon" })).status).toBe(422);
    await visitor.post(`${PATH}/${id}/rotate`, { grace: "0", signingSecret: own });
    expect((await settingsOf(id)).secrets).toEqual([{ value: own, expiresAtMs: null }]);
  });
});

describe("sending again", () => {
  it("counts first, then does it", async () => {
    service.answer = answering(500);
    const { id } = await register({ retrySchedule: "1s" });
    const events = await newEvents(3);
    await consume(events);
    const keys = events.map((event) => `${id}/${event.id}`);
    await deliverAll(id, clock);
    clock.advance(5_000);
    await deliverAll(id, clock);
    expect(await tally(id)).toEqual({ undeliverable: 3 });
    clock.advance(HOUR);

    const path = `${PATH}/${id}/replay`;
    const counted = await (
      await visitor.post(path, { step: "count", only: "undeliverable", span: "day" })
    ).text();
    expect(counted).toContain("3 deliveries would be replayed");
    expect(await tally(id)).toEqual({ undeliverable: 3 });
    expect((await deeds())[0]?.action).toBe("webhook.created");

    const fields = fieldsOf(counted, path);
    const done = await visitor.post(path, fields);
    expect(leadsTo(done)).toBe(`${PATH}/${id}?done=replayed&count=3`);
    const touched = touchedBy(done);
    expect(await textOf(`${PATH}/${id}`)).toContain(
      `<a href="${touched.replaceAll("&", "&amp;")}">See what became of them</a>`,
    );
    expect(rowsOf(await textOf(touched)).toSorted()).toEqual(keys.toSorted());
    expect(await tally(id)).toEqual({ pending: 3 });
    expect((await deeds())[0]).toMatchObject({
      action: "webhook.replayed",
      webhookId: id,
      after: { only: "undeliverable", deliveries: 3 },
    });
  });

  it("sends what it never had, but nothing that came after the count", async () => {
    const missed = await newEvents(2);
    await consume(missed);
    const { id } = await register();
    await consume(await newEvents(1));
    clock.advance(1_000);
    const path = `${PATH}/${id}/replay`;
    const counted = await (
      await visitor.post(path, { step: "count", only: "missing", span: "hour" })
    ).text();
    expect(counted).toContain("2 deliveries would be replayed");
    clock.advance(60_000);
    await api("PATCH", `/v1/webhooks/${id}`, { events: ["other"] });
    await consume(await newEvents(1), { atMs: clock.nowMs() });
    await api("PATCH", `/v1/webhooks/${id}`, { events: ["*"] });
    const done = await visitor.post(path, fieldsOf(counted, path));
    expect(await tally(id)).toEqual({ pending: 3 });
    const listed = rowsOf(await textOf(touchedBy(done)));
    expect(listed.toSorted()).toEqual(missed.map((event) => `${id}/${event.id}`).toSorted());
  });

  it("goes on page by page, with the progress so far", async () => {
    const { id } = await register();
    await api("POST", `/v1/webhooks/${id}/pause`);
    await accept(id, await newEvents(600));
    await accept(id, await newEvents(600));
    const path = `${PATH}/${id}/replay`;
    const counted = await (
      await visitor.post(path, { step: "count", only: "all", span: "week" })
    ).text();
    expect(counted).toContain("1,200 deliveries would be replayed");
    const { pages, answer } = await goingOn(path, fieldsOf(counted, path));
    expect(pages).toHaveLength(1);
    expect(pages[0]).toContain("1,000 deliveries replayed so far");
    expect(pages[0]).toContain("1,000 of 1,200<");
    expect(leadsTo(answer)).toBe(`${PATH}/${id}?done=replayed&count=1200`);
    expect((await deeds()).filter(({ action }) => action === "webhook.replayed")).toHaveLength(2);
  });

  it("says so when there is nothing, and refuses nonsense", async () => {
    const { id } = await register();
    const path = `${PATH}/${id}/replay`;
    const asked = { step: "count", only: "all", span: "day" };
    expect(await (await visitor.post(path, asked)).text()).toContain(
      "There is nothing of this kind",
    );
    for (const nonsense of [{ only: "some" }, { event: "$" }, { cursor: "x" }, { since: "then" }]) {
      const step = { ...asked, step: "go", ...nonsense };
      expect((await visitor.post(path, step)).status, JSON.stringify(nonsense)).toBe(422);
    }
    expect((await deeds()).map(({ action }) => action)).toEqual(["webhook.created"]);
  });
});

describe("giving up on what waits", () => {
  it("counts first, then does it, only for the event that was named", async () => {
    const { id } = await register();
    await api("POST", `/v1/webhooks/${id}/pause`);
    await accept(id, await newEvents(2));
    const clicks = await newEvents(3, { event: "link.clicked" });
    await accept(id, clicks);
    const path = `${PATH}/${id}/discard`;
    const counted = await (
      await visitor.post(path, { step: "count", span: "", event: "link.clicked" })
    ).text();
    expect(counted).toContain("3 deliveries would be discarded");
    expect(await tally(id)).toEqual({ pending: 5 });
    const done = await visitor.post(path, fieldsOf(counted, path));
    expect(leadsTo(done)).toBe(`${PATH}/${id}?done=discarded&count=3`);
    const listed = rowsOf(await textOf(touchedBy(done)));
    expect(listed.toSorted()).toEqual(clicks.map((event) => `${id}/${event.id}`).toSorted());
    expect(await tally(id)).toEqual({ pending: 2, cancelled: 3 });
    expect((await deeds())[0]).toMatchObject({ action: "webhook.discarded", webhookId: id });
    const older = { step: "count", span: "hour" };
    expect(await (await visitor.post(path, older)).text()).toContain("Nothing of this kind waits");
  });
});

describe("deleting a webhook", () => {
  it("wants its host to be typed", async () => {
    const { id } = await register({ url: "https://crm.example.com:8443/in" });
    for (const host of ["", "crm.example.com", "https://crm.example.com:8443"]) {
      const refused = await visitor.post(`${PATH}/${id}/delete`, { host });
      expect(refused.status, host).toBe(422);
      expect(await refused.text()).toContain("nothing was deleted");
    }
    expect((await api("GET", `/v1/webhooks/${id}`)).status).toBe(200);
    const deleted = await visitor.post(`${PATH}/${id}/delete`, { host: " CRM.example.com:8443 " });
    expect(leadsTo(deleted)).toBe(`${PATH}?done=deleted`);
    expect((await api("GET", `/v1/webhooks/${id}`)).status).toBe(404);
    expect((await deeds())[0]?.action).toBe("webhook.deleted");
  });

  it("wants the whole URL of one that has no host", async () => {
    const { id } = await register({ url: "listener:" });
    expect(await textOf(`${PATH}/${id}/delete`)).toContain("type <code>listener:</code>");
    expect((await visitor.post(`${PATH}/${id}/delete`, { host: "" })).status).toBe(422);
    const deleted = await visitor.post(`${PATH}/${id}/delete`, { host: "listener:" });
    expect(leadsTo(deleted)).toBe(`${PATH}?done=deleted`);
  });
});

describe("whoever may only read", () => {
  it("changes nothing, and is shown no form for it", async () => {
    const { id } = await register();
    const before = await settingsOf(id);
    const reader = await signedIn(READ_ONLY_API_KEY);
    for (const change of ["rotate", "delete", "replay", "discard"]) {
      expect((await reader.get(`${PATH}/${id}/${change}`)).status, change).toBe(403);
    }
    const all = { host: "crm.example.com", grace: "0", step: "go", only: "all", span: "day" };
    for (const change of ["pause", "resume", "test", "rotate", "delete", "replay", "discard"]) {
      expect((await reader.post(`${PATH}/${id}/${change}`, all)).status, change).toBe(403);
    }
    expect(await settingsOf(id)).toEqual(before);
    expect(service.requests).toEqual([]);
    expect((await deeds()).map(({ action }) => action)).toEqual(["webhook.created"]);
  });
});
