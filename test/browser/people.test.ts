/** What the two people do whom the dashboard is for: connect a service, and put one right that gets nothing. */
import type { Page, Request } from "playwright-core";
import { expect, it } from "vitest";
import { answering } from "../rig/receiver.ts";
import { describeInBrowser } from "./rig.ts";

const BODY = "Billing is being upgraded.";

/** A page that is marked keeps the mark until it is loaded again. */
async function mark(page: Page): Promise<void> {
  await page.evaluate("window.marked = true");
}

function isMarked(page: Page): Promise<unknown> {
  return page.evaluate("window.marked === true");
}

async function register(page: Page, url: string): Promise<string> {
  await page.goto("/dashboard/webhooks/new");
  await page.getByLabel("URL", { exact: true }).fill(url);
  await page.getByLabel("Description").fill("The CRM");
  await page.getByRole("button", { name: "Register the webhook" }).click();
  await page.getByRole("heading", { name: "The webhook is registered" }).waitFor();
  return secretOn(page);
}

async function secretOn(page: Page): Promise<string> {
  const text = (await page.locator("#content").textContent()) ?? "";
  return /whsec_[A-Za-z0-9+/=]{44}/.exec(text)?.[0] ?? "";
}

describeInBrowser("whoever has to do with a service", (rig) => {
  it("registers a webhook, tests it, and sees the first event arrive without a reload", async () => {
    const page = await rig.signedIn();
    await page.getByRole("heading", { name: "To the first event" }).waitFor();
    const secret = await register(page, `${rig.service.url}/first?token=hidden-token`);
    expect(secret).not.toBe("");
    await page.getByRole("button", { name: "Send a test" }).click();
    await page.getByText("200").first().waitFor();
    expect((await rig.service.last()).path).toBe("/first?token=hidden-token");

    await page.goto("/dashboard");
    await mark(page);
    const eventId = await rig.relay.accept({ event: "custom.first", data: {} });
    await page.locator("#events").getByRole("link", { name: eventId }).waitFor();
    await page.locator("#condition").getByText("All is well").waitFor();
    await page.locator("#first-steps > *").waitFor({ state: "detached" });
    expect(await isMarked(page)).toBe(true);

    await page.goto("/dashboard/events");
    await mark(page);
    const next = await rig.relay.accept({ event: "custom.second", data: {} });
    await page.locator(`#events [data-row="${next}"]`).waitFor();
    expect(await isMarked(page)).toBe(true);

    for (const path of ["/dashboard", "/dashboard/webhooks", "/dashboard/audit"]) {
      await page.goto(path);
      const shown = await page.content();
      expect(shown, path).not.toContain("hidden-token");
      expect(shown, path).not.toContain(secret);
    }
  });

  it("looks at the bars of yesterday on a phone while events come in: the chart stays where it was scrolled to", async () => {
    const { id } = await rig.register();
    const arrive = async (number: number) => {
      const eventId = await rig.relay.accept({ event: "custom.scrolled", data: { number } });
      await rig.relay.finished(id, eventId);
    };
    await arrive(0);
    const page = await rig.signedIn({ viewport: { width: 390, height: 740 } });
    await mark(page);
    const wide = page.locator(".chart .wide");
    await wide.evaluate((element) => element.scrollTo({ left: -120 }));
    const said = await page.locator(".chart [role=img]").getAttribute("aria-label");
    await arrive(1);
    await expect
      .poll(() => page.locator(".chart [role=img]").getAttribute("aria-label"), { timeout: 15_000 })
      .not.toBe(said);
    expect(await wide.evaluate(({ scrollLeft }) => Math.round(scrollLeft))).toBe(-120);
    expect(await isMarked(page)).toBe(true);
  });

  it("chooses some events, and changes them without touching anything else", async () => {
    const page = await rig.signedIn();
    await page.goto("/dashboard/webhooks/new");
    await page.getByLabel("URL", { exact: true }).fill(`${rig.service.url}/some`);
    await page.getByLabel("Only these").check();
    await page.getByRole("checkbox", { name: /^reply\.received/ }).check();
    await page.getByRole("button", { name: "Register the webhook" }).click();
    await page.getByRole("heading", { name: "The webhook is registered" }).waitFor();
    await page.getByRole("link", { name: /^To the page of/ }).click();
    await page.getByRole("link", { name: "Edit the settings" }).click();
    await page.getByRole("button", { name: "Save the changes" }).click();
    await page.getByRole("status").getByText("Nothing was changed in the form").waitFor();
    await page.getByRole("link", { name: "Edit the settings" }).click();
    await page.getByLabel("Other events, by name").fill("link.clicked");
    await page.getByRole("button", { name: "Save the changes" }).click();
    await page.getByRole("status").getByText("The change is in force").waitFor();
    const { data } = await rig.relay.call<{ data: { events: string[] }[] }>("/webhooks");
    expect(data[0]?.events).toEqual(["reply.received", "link.clicked"]);
  });

  it("changes whatever the form has: headers, pace, filter, and a service that has moved", async () => {
    const { id } = await rig.register({ filter: { "data.plan": "gold" } });
    const page = await rig.signedIn();
    const edit = () => page.goto(`/dashboard/webhooks/${id}/edit`);
    const save = async () => {
      await page.getByRole("button", { name: "Save the changes" }).click();
      await page.getByRole("status").getByText("The change is in force").waitFor();
    };
    const settings = async () =>
      (await rig.relay.call<{ webhook: Record<string, unknown> }>(`/webhooks/${id}`)).webhook;
    await edit();
    await page.getByText("Headers", { exact: true }).click();
    await page.getByRole("button", { name: "One more" }).click();
    for (const [index, name] of [
      [0, "x-a"],
      [2, "x-b"],
    ] as const) {
      await page.locator("input[name=headerName]").nth(index).fill(name);
      await page.locator("input[name=headerValue]").nth(index).fill("1");
    }
    await save();
    expect(await settings()).toMatchObject({ headers: ["x-a", "x-b"] });

    await edit();
    await page.getByText("Headers (2)").click();
    await page.getByLabel("Send none of them any more").check();
    await page.getByLabel("Filter", { exact: true }).fill("");
    await page.getByText("Order, pace and retries").click();
    await page.getByLabel("One event at a time").check();
    await page.getByLabel("At once").fill("3");
    await page.getByLabel("Statuses to give up on").fill("404, 422");
    await save();
    const changed = { headers: [], filter: null, ordered: true, concurrency: 3 };
    expect(await settings()).toMatchObject({ ...changed, giveUpOn: [404, 422] });

    await edit();
    const moved = `${rig.service.url.replace("127.0.0.1", "localhost")}/moved`;
    await page.getByLabel("URL", { exact: true }).fill(moved);
    await page.getByRole("button", { name: "Save the changes" }).click();
    await page.getByText("must be answered").waitFor();
    await page.getByLabel("The service has moved").check();
    await save();
    expect(await settings()).toMatchObject({ ...changed, url: moved });
  });

  it("sees while typing what a filter would let through", async () => {
    await rig.relay.accept({ event: "custom.filtered", data: { plan: "gold" } });
    await rig.relay.accept({ event: "custom.filtered", data: { plan: "tin" } });
    const page = await rig.signedIn();
    await page.goto("/dashboard/webhooks/new");
    const trial = page.locator("#trial");
    await trial.getByText("Of the latest").waitFor();
    await page.getByLabel("Filter", { exact: true }).pressSequentially('{"data.plan": "gold"');
    await trial.getByText("The filter").waitFor();
    await page.getByLabel("Filter", { exact: true }).pressSequentially("}");
    await trial.getByText("it would get 1.").waitFor();
  });

  // --- and puts one right that gets nothing -------------------------------------------------------------------

  it("finds the failing delivery, reads the answer, and retries it", async () => {
    rig.service.answer = ({ request, response }) => {
      const isBilling = request.path === "/billing";
      response.writeHead(isBilling ? 503 : 200).end(isBilling ? BODY : "");
    };
    const webhook = await rig.register({
      url: `${rig.service.url}/billing`,
      description: "Billing",
    });
    const eventId = await rig.relay.accept({ event: "custom.failing", data: {} });
    await rig.relay.attempted(webhook.id, eventId);

    const page = await rig.signedIn();
    const condition = page.locator("#condition .problems");
    await condition.getByText("503 refused").waitFor();
    await condition.getByRole("link", { name: "Billing" }).click();
    await page.getByRole("link", { name: "custom.failing" }).first().click();
    await page.getByRole("heading", { name: "Attempt 1" }).getByText("503").waitFor();
    await page.getByText(BODY).waitFor();
    await page.getByText("The next attempt is").waitFor();

    rig.service.answer = answering(204);
    await page.getByRole("button", { name: "Try now" }).click();
    await page.getByRole("status").getByText("The service took it").waitFor();
    await page.getByRole("heading", { name: "Attempt 2" }).getByText("204").waitFor();
    await page.getByText("The service has it").waitFor();
    const { attempts } = await rig.relay.finished(webhook.id, eventId);
    expect(attempts).toBe(2);
  });

  it("reads on in an answer while the page goes on: what is open stays open, the focus where it is", async () => {
    const answer = (words: string) => answering(503, { headers: { "x-node": "7" }, body: words });
    rig.service.answer = answer("The first answer.");
    const webhook = await rig.register({ url: `${rig.service.url}/followed` });
    const eventId = await rig.relay.accept({ event: "custom.followed", data: {} });
    await rig.relay.attempted(webhook.id, eventId);
    const page = await rig.signedIn();
    await page.goto(`/dashboard/webhooks/${webhook.id}`);
    await mark(page);
    const health = page.locator("#health");
    const headers = health.locator("details", { hasText: "Its headers" });
    const body = health.locator("details", { hasText: "Its body" });
    await body.locator("summary").click();
    await headers.locator("summary").focus();
    await page.keyboard.press("Enter");
    await headers.getByText("x-node: 7").waitFor();

    rig.service.answer = answer("The second answer.");
    await rig.relay.call(`/webhooks/${webhook.id}/deliveries/${eventId}/retry`, {});
    await health.getByText("“The second answer.”").waitFor();
    await headers.getByText("x-node: 7").waitFor();
    expect(await body.getAttribute("open")).toBeNull();
    expect(await headers.locator("summary").and(page.locator(":focus")).count()).toBe(1);
    expect(await isMarked(page)).toBe(true);

    // A click that has begun is one, whatever the page learns meanwhile.
    const pause = health.getByRole("button", { name: "Pause" });
    await pause.hover();
    await page.mouse.down();
    rig.service.answer = answer("The third answer.");
    await rig.relay.call(`/webhooks/${webhook.id}/deliveries/${eventId}/retry`, {});
    const learnt = async () => (await (await page.waitForResponse(/webhooks/)).text()) ?? "";
    await expect.poll(learnt, { timeout: 30_000 }).toContain("“<bdi>The third answer.");
    await page.mouse.up();
    await page.getByRole("status").getByText("Paused").waitFor();
  });

  it("sees how much of what waited has left since the page was opened", async () => {
    const webhook = await rig.register({ url: `${rig.service.url}/leaving`, status: "paused" });
    const eventIds: string[] = [];
    for (const n of [1, 2, 3, 4]) {
      eventIds.push(await rig.relay.accept({ event: "custom.leaving", data: { n } }));
    }
    for (const id of eventIds) {
      await rig.relay.deliveryOnce(webhook.id, id, ({ status }) => status === "pending");
    }
    const page = await rig.signedIn();
    await page.goto(`/dashboard/webhooks/${webhook.id}`);
    await mark(page);
    await page.getByText("4 deliveries are held.").waitFor();
    const bar = page.locator("#health progress");
    expect(await bar.isVisible()).toBe(false);
    for (const [index, id] of eventIds.slice(0, 2).entries()) {
      await rig.relay.call(`/webhooks/${webhook.id}/deliveries/${id}/cancel`, {});
      await page.getByText(`${3 - index} deliveries are held.`).waitFor();
      expect(await bar.isVisible()).toBe(true);
      expect(await bar.getAttribute("max")).toBe("4");
      expect(await bar.getAttribute("value")).toBe(String(index + 1));
    }
    expect(await isMarked(page)).toBe(true);
  });

  it("keeps a part of a page as it is while nothing is new but the token of its form", async () => {
    rig.service.answer = answering(422);
    const url = `${rig.service.url}/unwanted`;
    const webhook = await rig.register({ url, giveUpOn: [422] });
    const eventId = await rig.relay.accept({ event: "custom.unwanted", data: {} });
    await rig.relay.finished(webhook.id, eventId);
    rig.service.answer = answering(200);
    const page = await rig.signedIn();
    await page.goto(`/dashboard/webhooks/${webhook.id}`);
    await page.getByRole("button", { name: "Replay 1" }).waitFor();
    const asked = () => page.waitForResponse((response) => response.url() === page.url());
    // Taken over once: what the first answer has is compared from then on.
    await asked();
    await asked();
    await page.evaluate("document.querySelector('#health').kept = true");
    await asked();
    await asked();
    expect(await page.evaluate("document.querySelector('#health').kept")).toBe(true);
  });

  it("sees on an open page what somebody else sets, and that there is something to redrive", async () => {
    const { id } = await rig.register({ concurrency: 3 });
    const page = await rig.signedIn();
    await page.goto(`/dashboard/webhooks/${id}`);
    await page.getByText("As configuration").click();
    const settings = page.getByRole("region", { name: "Settings" });
    await settings.getByText("3", { exact: true }).waitFor();
    await rig.relay.change(id, { concurrency: 5, name: "seen" });
    await settings.getByText("5", { exact: true }).waitFor();
    // What was opened in it stays open.
    await settings.getByRole("region", { name: "The webhook as configuration" }).waitFor();

    await page.goto("/dashboard/dead-letters");
    const redrive = page.getByRole("button", { name: "Redrive them" });
    expect(await redrive.isVisible()).toBe(false);
    const keep = (letter: string) =>
      rig.keepDeadLetter({ id: letter, event: null, reason: "unreadable", webhookIds: null });
    await keep("dl_first");
    await redrive.waitFor();
    const reason = page.getByLabel("Many at once");
    await reason.selectOption("unreadable");
    await redrive.focus();
    await keep("dl_second");
    await page.getByText("This part stands still").waitFor();
    expect(await reason.inputValue()).toBe("unreadable");
    await reason.selectOption("");
    await redrive.focus();
    for (const letter of ["dl_first", "dl_second"]) {
      await rig.relay.request("DELETE", `/v1/dead-letters/${letter}`);
    }
    await redrive.waitFor({ state: "detached" });
  });

  it("does not go on showing what somebody else erases", async () => {
    const lead = { email: "gone@example.com" };
    const id = await rig.relay.accept({ event: "custom.gone", data: { lead } });
    const page = await rig.signedIn();
    await page.goto(`/dashboard/events/${id}`);
    await page.getByText(lead.email).first().waitFor();
    const erase = page.getByRole("link", { name: "Erase this event…" });
    expect(await erase.isVisible()).toBe(true);
    await rig.relay.request("DELETE", `/v1/events/${id}`);
    await page.getByText("The payload was erased").waitFor();
    await page.getByText(lead.email).first().waitFor({ state: "detached" });
    expect(await erase.count()).toBe(0);
  });

  it("is told that a list stands still while something in it is ticked, and sees what is new once nothing is", async () => {
    const webhook = await rig.register({ url: `${rig.service.url}/still` });
    const accept = (n: number) => rig.relay.accept({ event: "custom.still", data: { n } });
    const first = await accept(1);
    await rig.relay.finished(webhook.id, first);
    const page = await rig.signedIn();
    await page.goto(`/dashboard/deliveries?webhook=${webhook.id}`);
    const said = page.getByText("This part stands still while you type, tick or select in it.");
    const tick = page.getByLabel(`Select custom.still ${first}`);
    const bar = page.locator(".chosen");
    expect(await bar.isVisible()).toBe(false);
    await tick.check();
    expect(await bar.isVisible()).toBe(true);
    expect(await said.isVisible()).toBe(false);
    const second = await accept(2);
    await said.waitFor();
    expect(await page.getByLabel(`Select custom.still ${second}`).isVisible()).toBe(false);
    await tick.uncheck();
    await page.getByLabel(`Select custom.still ${second}`).waitFor();
    expect(await said.isVisible()).toBe(false);
  });

  it("finds a lead's reply by e-mail: its text, and who got it or why not", async () => {
    await rig.register({ events: ["reply.received"], description: "Takes replies" });
    await rig.register({ events: ["link.clicked"], description: "Takes clicks" });
    const reply = (name: string) =>
      rig.relay.accept({
        event: "reply.received",
        data: {
          lead: { email: `${name}@found.example` },
          reply: { id: `rpl_${name}`, threadSnippet: `${name} would like a demo.` },
        },
      });
    const [wanted, other] = [await reply("ava"), await reply("ben")];
    const page = await rig.signedIn();
    await page.getByRole("link", { name: "Events", exact: true }).click();
    await page.locator(`#events [data-row="${other}"]`).waitFor();
    await page.getByLabel("Lead's e-mail").fill("Ava@found.example");
    await page.getByRole("button", { name: "Search" }).click();
    await page.locator(`#events [data-row="${other}"]`).waitFor({ state: "detached" });
    await page.getByRole("link", { name: wanted }).click();
    await page.locator("section.json").getByText("ava would like a demo.").waitFor();
    const whyOf = (webhook: string) => page.getByRole("row", { name: webhook });
    await whyOf("Takes replies").getByText("200").waitFor();
    await whyOf("Takes clicks").getByText("link.clicked").waitFor();
  });

  it("sees a list, and not its search first, on a phone: it folds until something is asked, without a script too", async () => {
    const phone = { viewport: { width: 390, height: 800 }, javaScriptEnabled: false };
    for (const page of [await rig.signedIn(), await rig.signedIn(phone)]) {
      const isPhone = page.viewportSize()?.width === phone.viewport.width;
      const field = page.getByLabel("Event name");
      for (const [list, verb] of Object.entries({ events: "Search", deliveries: "Filter" })) {
        await page.goto(`/dashboard/${list}`);
        expect(await field.isVisible()).toBe(!isPhone);
        if (isPhone) await page.getByText(verb, { exact: true }).first().click();
        await field.fill("message.sent");
        await page.getByRole("button", { name: verb }).click();
        await page.waitForURL(/event=message\.sent/);
        expect(await field.isVisible()).toBe(true);
      }
    }
  });

  it("folds a payload, and finds in it what is folded", async () => {
    const data = {
      lead: { email: "zoe@prospect.example" },
      notes: { inner: { animal: "hedgehog" } },
    };
    const id = await rig.relay.accept({ event: "custom.folded", data });
    const page = await rig.signedIn();
    await page.goto(`/dashboard/events/${id}`);
    const payload = page.locator("section.json");
    const line = payload.locator(".line", { hasText: "hedgehog" });
    expect(await line.isVisible()).toBe(true);
    await payload.locator("summary", { hasText: "notes" }).click();
    expect(await line.isVisible()).toBe(false);
    expect(await payload.locator(".line", { hasText: "zoe@" }).isVisible()).toBe(true);
    await page.getByRole("searchbox", { name: /^Search/ }).fill("Hedgehog");
    expect(await line.isVisible()).toBe(true);
    expect(await payload.locator(".hit").allTextContents()).toEqual([await line.textContent()]);
  });

  it("says of a name that is no event's what one is, and keeps what was typed", async () => {
    const webhook = await rig.register({ url: `${rig.service.url}/misspelt` });
    const path = `/dashboard/webhooks/${webhook.id}/replay`;
    const page = await rig.signedIn();
    await page.goto(path);
    const name = page.getByLabel("Only events named");
    await name.fill("reply received");
    await page.getByRole("button", { name: "Count them first" }).click();
    expect(await page.locator("input:invalid").count()).toBe(1);
    expect(new URL(page.url()).pathname).toBe(path);
    expect(await name.inputValue()).toBe("reply received");
    await name.fill(" reply.received ");
    await page.getByRole("button", { name: "Count them first" }).click();
    await page.getByText("There is nothing of this kind to replay.").waitFor();
  });

  it("replays what was delivered, with the same id", async () => {
    const webhook = await rig.register({ url: `${rig.service.url}/replayed` });
    const eventId = await rig.relay.accept({ event: "custom.replayed", data: {} });
    await rig.relay.finished(webhook.id, eventId);
    const page = await rig.signedIn();
    await page.goto(`/dashboard/webhooks/${webhook.id}/replay`);
    await page.getByLabel("All of them").check();
    await page.getByRole("button", { name: "Count them first" }).click();
    await page.getByText("1 delivery would be replayed.").waitFor();
    await page.getByRole("button", { name: "Replay them" }).click();
    await page.getByRole("status").getByText("1 delivery replayed:").waitFor();
    await rig.relay.attempted(webhook.id, eventId, 2);
    const ids = rig.service.requests
      .filter(({ path }) => path === "/replayed")
      .map(({ headers }) => headers["webhook-id"]);
    expect(ids).toEqual([eventId, eventId]);
  });

  it("sends a form once however often it is pressed, and once more after its answer was given up on", async () => {
    const { id } = await rig.register({ url: `${rig.service.url}/pressed` });
    const eventId = await rig.relay.accept({ event: "custom.pressed", data: {} });
    await rig.relay.finished(id, eventId);
    const page = await rig.signedIn();
    const browser = await page.context().newCDPSession(page);
    const isPost = (request: Request) => request.method() === "POST";
    let sent = 0;
    await page.route("**/*", (route) => {
      if (!isPost(route.request())) return route.continue();
      // It gets no answer.
      sent += 1;
    });
    for (const [path, action] of [
      [`/dashboard/events/${eventId}`, "replay"],
      [`/dashboard/webhooks/${id}`, "test"],
      [`/dashboard/webhooks/${id}/deliveries/${eventId}`, "retry"],
    ] as const) {
      await page.goto(path);
      sent = 0;
      const send = `document.querySelector("form[action$='/${action}']").requestSubmit()`;
      // Nothing else can be asked of a page that waits for its answer.
      const pressTwice = async () => {
        const pressed = page.waitForEvent("console");
        const twice = `${send}; setTimeout(() => (${send}, console.log("pressed")), 100)`;
        await page.evaluate(`void setTimeout(() => { ${twice} })`);
        await pressed;
        await browser.send("Page.stopLoading");
      };
      await pressTwice();
      expect(sent, action).toBe(1);
      await pressTwice();
      expect(sent, action).toBe(2);
    }
  });

  it("rotates a secret, which is shown once", async () => {
    const webhook = await rig.register();
    const page = await rig.signedIn();
    await page.goto(`/dashboard/webhooks/${webhook.id}`);
    await page.getByRole("link", { name: /^Rotate/ }).click();
    await page.getByRole("button", { name: "Rotate the secret" }).click();
    await page.getByRole("heading", { name: "The new signing secret" }).waitFor();
    const secret = await secretOn(page);
    expect(secret).not.toBe("");
    expect(secret).not.toBe(webhook.signingSecret);
    // Sends the form once more.
    await page.reload();
    expect(await page.content()).not.toContain(secret);
    expect(await secretOn(page)).toBe("");
    const { body } = await rig.relay.request("GET", "/v1/audit");
    const { data } = body as { data: { action: string; webhookId: string }[] };
    const rotations = data.filter(
      ({ action, webhookId }) => action.includes("rotated") && webhookId === webhook.id,
    );
    expect(rotations).toHaveLength(1);
  });

  it("pauses a webhook, sees what is held, and resumes it", async () => {
    const webhook = await rig.register({ url: `${rig.service.url}/paused` });
    const page = await rig.signedIn();
    await page.goto(`/dashboard/webhooks/${webhook.id}`);
    await page.getByRole("button", { name: "Pause" }).click();
    await page.getByRole("status").getByText("Paused").waitFor();
    const eventId = await rig.relay.accept({ event: "custom.held", data: {} });
    await rig.relay.deliveryOnce(webhook.id, eventId, ({ status }) => status === "pending");
    await page.goto("/dashboard");
    await page.locator("#condition").getByText("1 delivery is held.").waitFor();
    expect(rig.service.requests.filter(({ path }) => path === "/paused")).toEqual([]);
    await page.goto(`/dashboard/webhooks/${webhook.id}`);
    await page.getByRole("button", { name: "Resume" }).click();
    await page.getByRole("status").getByText("Resumed").waitFor();
    const { status } = await rig.relay.finished(webhook.id, eventId);
    expect(status).toBe("delivered");
  });

  it("is not told in green that it resumed a webhook above what has become of it since", async () => {
    const webhook = await rig.register({ url: `${rig.service.url}/resumed`, status: "paused" });
    const page = await rig.signedIn();
    await page.goto(`/dashboard/webhooks/${webhook.id}`);
    await page.getByRole("button", { name: "Resume" }).click();
    const told = page.locator("main > .notice", { hasText: "Resumed" });
    await told.waitFor();
    expect(await told.getAttribute("class")).toBe("notice good");
    await rig.relay.request("POST", `/v1/webhooks/${webhook.id}/pause`);
    await page.locator("#health").getByText("Paused").first().waitFor();
    expect(await told.getAttribute("class")).toBe("notice");
    expect(await told.textContent()).toMatch(/^Resumed: .* \(\d\d:\d\d\)$/);
  });
});
