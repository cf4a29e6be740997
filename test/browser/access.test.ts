/** Who looks at the dashboard, and with what: a phone, a keyboard, a screen reader, in light and dark, without scripts. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Locator, Page } from "playwright-core";
import { expect, it, onTestFinished } from "vitest";
import { pagesOf, take } from "../../scripts/screenshots.ts";
import { API_KEY, READ_ONLY_API_KEY } from "../journey/relay.ts";
import { answering } from "../rig/receiver.ts";
import { COLOURS, STANDARDS, violationsOf } from "./axe.ts";
import { describeInBrowser, type Rig, signIn } from "./rig.ts";

const PHONE = { width: 360, height: 740 } as const;
/** A small phone, a usual one, a desk at 200 %, a tablet, one that lies, a laptop, a desk. */
const WIDTHS = [PHONE.width, 390, 720, 768, 1_024, 1_280, 1_440] as const;
/** No page has more to tab through than this. */
const MOST_TABS = 120;
const LONG = "a-rather-long-name-that-nobody-breaks-".repeat(4);
/** No browser breaks it of its own accord. */
const SOLID = LONG.replaceAll("-", "_");

async function expectAccessible(page: Page, name: string): Promise<void> {
  await page.emulateMedia({ colorScheme: "light" });
  expect.soft(await violationsOf(page, STANDARDS), name).toEqual([]);
  await page.emulateMedia({ colorScheme: "dark" });
  // Only colours differ.
  expect.soft(await violationsOf(page, COLOURS), `${name}, in the dark`).toEqual([]);
  await expectFits(page, name);
}

/** The page as it is opened, and with all that is folded in it unfolded. */
async function expectAccessibleUnfolded(page: Page, name: string): Promise<void> {
  await expectAccessible(page, name);
  const unfolded = await page.evaluate<number>(`(() => {
    const folded = document.querySelectorAll("details:not([open], .who *)");
    for (const each of folded) each.open = true;
    return folded.length;
  })()`);
  if (unfolded > 0) await expectAccessible(page, `${name}, unfolded`);
}

/** Nothing makes the page scroll sideways, and each table fits its box. */
async function expectFits(page: Page, name: string): Promise<void> {
  const before = page.viewportSize() ?? PHONE;
  for (const width of WIDTHS) {
    await page.setViewportSize({ ...PHONE, width });
    const [whole, tables] = await page.evaluate<[number, string[]]>(`[
      document.documentElement.scrollWidth,
      [...document.querySelectorAll("section.scroll")]
        .filter((box) => box.scrollWidth > box.clientWidth)
        .map((box) => box.ariaLabel + ": " + box.scrollWidth + " in " + box.clientWidth),
    ]`);
    expect.soft(whole, `${name}, ${width} px`).toBeLessThanOrEqual(width);
    expect.soft(tables, `${name}, ${width} px`).toEqual([]);
  }
  await page.setViewportSize(before);
}

/** One of everything: a webhook that fails, one that is well, a paused one; events, a dead letter, an audit log. */
async function stage(rig: Rig): Promise<Record<string, string>> {
  rig.service.answer = ({ request, response }) => {
    response.writeHead(request.path.startsWith("/bad") ? 503 : 200).end("The answer of a service.");
  };
  const failing = await rig.register({
    url: `${rig.service.url}/bad/${LONG}`,
    description: LONG,
    events: ["*"],
    filter: { "data.campaignId": SOLID },
  });
  await rig.register({
    url: `${rig.service.url}/named/${LONG.replaceAll("-", "")}`,
    description: LONG.replaceAll("-", ""),
    events: Array.from({ length: 5 }, (_, index) =>
      `${index}.${LONG.replaceAll("-", ".")}`.slice(0, 128),
    ),
  });
  const other = await rig.register({ description: "CRM", headers: { "x-team": "sales" } });
  await rig.relay.request("POST", `/v1/webhooks/${other.id}/pause`);
  const eventId = await rig.relay.accept({
    event: `campaign.${SOLID.slice(0, 100)}`,
    data: {
      campaignId: SOLID,
      lead: { email: `${SOLID}@example.com` },
      text: SOLID,
      at: performance.now(),
    },
  });
  await rig.relay.attempted(failing.id, eventId);
  await rig.keepDeadLetter({
    id: "dl_1",
    event: "reply.received",
    reason: "subscriber_unreachable",
    webhookIds: [failing.id],
  });
  return pagesOf(failing.id, eventId);
}

describeInBrowser("the dashboard", (rig) => {
  it("is pictured with all of a form, whose filter is tried once the page is there", async () => {
    const folder = mkdtempSync(join(tmpdir(), "leadterra-pictures-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    await rig.relay.accept({ event: "custom.pictured", data: {} });
    const page = await rig.signedIn();
    await page.route("**/filter-trial", async (route) => {
      await sleep(1_000);
      await route.continue();
    });
    await page.goto("/dashboard/webhooks/new");
    const file = join(folder, "form.png");
    await take(page, file, 6_000);
    await page.locator("#trial").waitFor();
    const height = await page.evaluate<number>("document.documentElement.scrollHeight");
    // The header of a PNG has width and height from here on.
    expect(readFileSync(file).readUInt32BE(20)).toBe(height);
  });

  it("has no such fault where there is nothing yet", async () => {
    const page = await rig.signedIn();
    for (const name of ["", "/webhooks", "/deliveries", "/events", "/dead-letters", "/audit"]) {
      await page.goto(`/dashboard${name}`);
      await expectAccessible(page, `empty: ${name}`);
    }
  });

  it("has no such fault in what a form is answered: refused, a secret, a test, what was counted, what was tried", async () => {
    rig.service.answer = answering(503, { headers: { "x-node": "7" }, body: "The answer." });
    const page = await rig.signedIn();
    await page.goto("/dashboard/webhooks/new");
    await page.getByLabel("URL", { exact: true }).fill("ftp://nowhere");
    await page.getByRole("button", { name: "Register the webhook" }).click();
    await page.getByRole("alert").first().waitFor();
    await expectAccessible(page, "refused");
    await page.getByLabel("URL", { exact: true }).fill(`${rig.service.url}/answered`);
    await page.getByRole("button", { name: "Register the webhook" }).click();
    await page.getByRole("heading", { name: "The webhook is registered" }).waitFor();
    await expectAccessible(page, "the secret");
    await page.getByRole("button", { name: "Send a test" }).click();
    await page.getByRole("heading", { name: "The test failed" }).waitFor();
    await expectAccessible(page, "the answer to a test");

    const { id } = await newestWebhook(rig);
    const eventId = await rig.relay.accept({ event: "custom.tried", data: {} });
    await rig.relay.attempted(id, eventId);
    await page.goto(`/dashboard/webhooks/${id}`);
    await page.getByRole("button", { name: "Try now" }).click();
    await page.getByRole("status").getByText("It was tried, and failed").waitFor();
    await page.getByText("Its headers").click();
    await expectAccessible(page, "what was tried");
    await page.goto(`/dashboard/webhooks/${id}/replay`);
    await page.getByLabel("All of them").check();
    await page.getByRole("button", { name: "Count them first" }).click();
    await page.getByText("1 delivery would be replayed.").waitFor();
    await expectAccessible(page, "what was counted");
    await page.goto(`/dashboard/deliveries?status=cancelled&webhook=${id}`);
    await expectAccessible(page, "nothing found");
    await page.locator(".who summary").click();
    await expectAccessible(page, "who is signed in");
  });

  it("has no such fault in what stands in the way of a change: another origin, somebody else's, a new secret, what is discarded", async () => {
    const { id } = await rig.register({ url: `${rig.service.url}/changed`, description: "CRM" });
    const path = `/dashboard/webhooks/${id}`;
    const page = await rig.signedIn();
    const save = () => page.getByRole("button", { name: "Save the changes" }).click();
    await page.goto(`${path}/edit`);
    const moved = `${rig.service.url.replace("127.0.0.1", "localhost")}/moved`;
    await page.getByLabel("URL", { exact: true }).fill(moved);
    await save();
    await page.getByText("must be answered").waitFor();
    await expectAccessible(page, "another origin");
    await page.getByLabel("It now leads to another service").check();
    await save();
    await page.getByRole("heading", { name: "The webhook leads to another service" }).waitFor();
    await expectAccessible(page, "the secret of another service");

    await page.goto(`${path}/edit`);
    await rig.relay.change(id, { description: "Theirs" });
    await page.getByLabel("Description").fill("Mine");
    await save();
    await page.getByRole("alert").getByText("Theirs").first().waitFor();
    await expectAccessible(page, "changed by somebody else");

    await page.goto(`${path}/rotate`);
    await page.getByRole("button", { name: "Rotate the secret" }).click();
    await page.getByRole("heading", { name: "The new signing secret" }).waitFor();
    await expectAccessible(page, "the rotated secret");

    await rig.relay.request("POST", `/v1/webhooks/${id}/pause`);
    const eventId = await rig.relay.accept({ event: "custom.discarded", data: {} });
    await rig.relay.deliveryOnce(id, eventId, ({ waitingFor }) => waitingFor === "hold");
    await page.goto(`${path}/discard`);
    await page.getByRole("button", { name: "Count them first" }).click();
    await page.getByText("1 delivery would be discarded.").waitFor();
    await expectAccessible(page, "what would be discarded");
  });

  it("has no such fault in what goes on by itself, or in what a webhook's page begins with: disabled, unconnected, late", async () => {
    const draft = (event: string) => ({ events: [`custom.${event}`], description: event });
    // Late in a minute.
    const slow = await rig.register({ ...draft("slow"), rateLimit: 0.001 });
    for (const number of [1, 2]) await rig.relay.accept({ event: "custom.slow", data: { number } });
    const held = await rig.register({ ...draft("held"), status: "paused" });
    for (let number = 0; number < 11; number++) {
      const id = await rig.relay.accept({ event: "custom.held", data: { number } });
      await rig.relay.deliveryOnce(held.id, id, ({ waitingFor }) => waitingFor === "hold");
    }
    const page = await rig.signedIn();
    await page.goto(`/dashboard/deliveries?webhook=${held.id}`);
    await page.getByLabel("Select all shown").check();
    await expectAccessible(page, "what is ticked");
    // The form that goes on brings no other page for as long as somebody looks.
    await page.route("**/deliveries/retry", (route) =>
      route.request().postData()?.includes("so_far=")
        ? route.fulfill({ status: 204 })
        : route.continue(),
    );
    await page.getByRole("button", { name: "Retry the selected" }).click();
    await page.getByText("10 of 11", { exact: true }).waitFor();
    await expectAccessible(page, "going on");
    await page.close();

    rig.service.answer = ({ request, response }) => {
      response.writeHead(request.path === "/gone" ? 410 : 204).end();
    };
    const gone = await rig.register({ ...draft("gone"), url: `${rig.service.url}/gone` });
    const absent = await rig.register({ ...draft("absent"), url: "listener:" });
    for (const event of ["gone", "absent"]) {
      await rig.relay.accept({ event: `custom.${event}`, data: { at: performance.now() } });
    }
    const other = await rig.signedIn();
    for (const [{ id }, state] of [
      [gone, "disabled"],
      [absent, "unconnected"],
      [slow, "late"],
    ] as const) {
      const health = () => rig.relay.call<{ state: string }>(`/webhooks/${id}/health`);
      await expect.poll(async () => (await health()).state, { timeout: 120_000 }).toBe(state);
      await other.goto(`/dashboard/webhooks/${id}`);
      await expectAccessible(other, state);
    }
    await other.goto("/dashboard");
    await expectAccessible(other, "the overview of them");
  }, 300_000);

  it("has no such fault when the session has ended: under a form that was filled in, and on an open page", async () => {
    const page = await rig.signedIn();
    const endSession = () => page.context().clearCookies({ name: /^leadterra-relay-\d+$/ });
    await page.goto("/dashboard/webhooks/new");
    await page.getByLabel("URL", { exact: true }).fill(`${rig.service.url}/kept`);
    await endSession();
    await page.getByRole("button", { name: "Register the webhook" }).click();
    await page.getByText("The session has ended").waitFor();
    await expectAccessible(page, "signing in with a form on the way");
    await page.getByLabel("API key").fill("a-key-that-nobody-configured");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("alert").getByText("not a configured API key").waitFor();
    await expectAccessible(page, "the same, with a wrong key");
    await page.getByLabel("API key").fill(API_KEY);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("heading", { name: "The webhook is registered" }).waitFor();

    await page.goto("/dashboard/deliveries");
    await endSession();
    await page.locator("#not-current").getByText("not up to date").waitFor();
    await expectAccessible(page, "not up to date");
  });

  it("has no page that axe finds serious faults with, in light and dark, that is wider than its window, or whose table is wider than its box", async () => {
    const pages = await stage(rig);
    const page = await rig.open();
    await page.goto("/dashboard/sign-in");
    await expectAccessible(page, "signing in");
    await signIn(page, API_KEY);
    await page.waitForURL(/\/dashboard$/);
    for (const [name, path] of Object.entries(pages)) {
      await page.goto(path);
      await expectAccessibleUnfolded(page, name);
    }
    const reader = await rig.signedIn({ key: READ_ONLY_API_KEY });
    for (const [name, path] of Object.entries(pages)) {
      await reader.goto(path);
      await expectAccessibleUnfolded(reader, `${name}, to be read only`);
    }
  }, 600_000);

  it("has no such fault where something is refused, does not answer or is erased", async () => {
    const { id } = await rig.register({ headers: { "x-team": "sales" } });
    const eventId = await rig.relay.accept({
      event: "custom.erased",
      data: { lead: { email: "a@example.com" } },
    });
    await rig.relay.finished(id, eventId);
    const page = await rig.signedIn();
    await page.goto(`/dashboard/events/${eventId}/erase`);
    await page.getByRole("button", { name: "Erase it" }).click();
    await page.getByRole("status").getByText("The payload is erased").waitFor();
    await expectAccessibleUnfolded(page, "the event that was erased");
    await page.goto(`/dashboard/webhooks/${id}/deliveries/${eventId}`);
    await expectAccessibleUnfolded(page, "the delivery of an event that was erased");
    await page.goto("/dashboard/events?email=b@example.com");
    await page.getByRole("button", { name: "Erase this person…" }).click();
    await page.getByText("0 events with b@example.com would be erased.").waitFor();
    await expectAccessibleUnfolded(page, "who would be erased");
    await page.getByRole("button", { name: "Erase this person" }).click();
    await page.getByRole("status").getByText("Nothing that is kept holds").waitFor();

    const reader = await rig.signedIn({ key: READ_ONLY_API_KEY });
    const forbidden = await reader.goto(`/dashboard/webhooks/${id}/edit`);
    expect(forbidden?.status()).toBe(403);
    await expectAccessibleUnfolded(reader, "what a key may not do");

    const setBroken = async (letters: boolean) => {
      const body = JSON.stringify({ letters });
      expect((await rig.relay.fetch("/test/broken", { method: "POST", body })).status).toBe(204);
    };
    onTestFinished(() => setBroken(false));
    await setBroken(true);
    const silent = await page.goto("/dashboard/dead-letters");
    expect(silent?.status()).toBe(503);
    await expectAccessibleUnfolded(page, "what does not answer");
    expect(rig.offences.splice(0)).toEqual([expect.stringContaining("a status of 503")]);
  });

  it("breaks nothing that is read as one, and covers nothing: a URL in the audit log, a time that was taken, the first card", async () => {
    rig.service.answer = answering(503);
    const port = new URL(rig.service.url).port;
    const url = `http://127.0.0.1:${port}/`.padEnd(40, "webhooks/");
    const { id } = await rig.register({ url });
    const eventId = await rig.relay.accept({ event: "custom.whole", data: {} });
    await rig.relay.attempted(id, eventId);
    const lines = (text: Locator) =>
      text.evaluate((element) => {
        const range = element.ownerDocument.createRange();
        range.selectNodeContents(element);
        return new Set([...range.getClientRects()].map(({ top }) => top)).size;
      });
    const page = await rig.signedIn({ viewport: { width: 1_280, height: 800 } });
    await page.goto("/dashboard/audit");
    expect(await lines(page.getByText(url).first())).toBe(1);

    await page.setViewportSize({ width: 390, height: 740 });
    await page.goto(`/dashboard/webhooks/${id}/deliveries/${eventId}`);
    // However little room there is for it.
    const took = page.locator("#delivery").getByText(/^[\d.]+ m?s$/);
    await took.evaluate(({ parentElement }) => parentElement?.style.setProperty("width", "1ch"));
    expect(await lines(took)).toBe(1);
    await page.goto(`/dashboard/events/${eventId}`);
    const card = page.locator("tbody tr").first();
    await card.evaluate((element) => element.scrollIntoView({ block: "end" }));
    const [box, bar] = [await card.boundingBox(), await page.locator(".chosen").boundingBox()];
    expect(bar?.y).toBeGreaterThanOrEqual((box?.y ?? 0) + (box?.height ?? 0) - 1);
  });

  it("has the numbers of a chart in sight beside its newest bar and beside its oldest, on a phone and on a desk", async () => {
    await rig.register();
    await rig.relay.accept({ event: "custom.chart", data: {} });
    const page = await rig.signedIn();
    const chart = page.locator(".chart");
    const now = chart.getByText("now", { exact: true });
    const oldest = chart.locator(".hit").first();
    const edges = async (part: Locator) => {
      const { x = Number.NaN, width = Number.NaN } = (await part.boundingBox()) ?? {};
      return { left: x, right: x + width };
    };
    for (const width of WIDTHS) {
      await page.setViewportSize({ ...PHONE, width });
      await page.goto("/dashboard");
      const plot = await edges(chart);
      for (const [name, part, scrollLeft] of [
        ["now", now, 0],
        ["the oldest", oldest, -width * 10],
      ] as const) {
        const about = `${name}, ${width} px`;
        await chart
          .locator(".wide")
          .evaluate((element, left) => element.scrollTo({ left }), scrollLeft);
        const numbers = await chart.locator(".tick", { hasText: /^\d+$/ }).all();
        expect(numbers.length, about).toBe(3);
        const all = await Promise.all(numbers.map(edges));
        for (const { left } of all) expect(left, about).toBeGreaterThanOrEqual(plot.left);
        const seen = await edges(part);
        expect(seen.left, about).toBeGreaterThanOrEqual(Math.max(...all.map(({ right }) => right)));
        expect(seen.right, about).toBeLessThanOrEqual(plot.right + 1);
      }
    }
  });

  it("says in forced colours too which bars are which, and which attempts failed", async () => {
    const { id } = await rig.register();
    const eventId = await rig.relay.accept({ event: "custom.colours", data: {} });
    await rig.relay.finished(id, eventId);
    const page = await rig.signedIn({ forcedColors: "active" });
    const colourOf = (css: string, property: string, part = "null") =>
      page.evaluate(`getComputedStyle(document.querySelector("${css}"), ${part})["${property}"]`);
    for (const name of ["events", "delivered", "failedAttempts"]) {
      const bar = await colourOf(`.chart rect.${name}`, "fill");
      expect(await colourOf(`.key.${name}`, "backgroundColor", "'::before'"), name).toBe(bar);
    }
    const delivered = await colourOf(".chart rect.delivered", "fill");
    await page.goto(`/dashboard/webhooks/${id}/deliveries/${eventId}`);
    const dot = await colourOf(".timeline > li.good", "backgroundColor", "'::before'");
    expect(dot).toBe(delivered);
  });

  it("is worked by the keyboard alone: signing in, registering, retrying", async () => {
    const page = await rig.open();
    await page.goto("/dashboard/webhooks/new");
    await page.getByLabel("API key").and(page.locator(":focus")).waitFor();
    await page.keyboard.type(API_KEY);
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/dashboard\/webhooks\/new$/);

    await tabTo(page, page.getByLabel("URL", { exact: true }));
    await page.keyboard.type(`${rig.service.url}/keyboard`);
    await tabTo(page, page.getByText("Order, pace and retries"));
    await page.keyboard.press("Space");
    await tabTo(page, page.getByRole("checkbox", { name: /^One event at a time/ }));
    await page.keyboard.press("Space");
    await tabTo(page, page.getByRole("button", { name: "Register the webhook" }));
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "The webhook is registered" }).waitFor();

    rig.service.answer = answering(500);
    const eventId = await rig.relay.accept({ event: "custom.keyboard", data: {} });
    const webhook = await newestWebhook(rig);
    expect(webhook.ordered).toBe(true);
    await rig.relay.attempted(webhook.id, eventId);
    rig.service.answer = answering(200);
    await page.goto(`/dashboard/webhooks/${webhook.id}/deliveries/${eventId}`);
    await tabTo(page, page.getByRole("button", { name: "Try now" }));
    await page.keyboard.press("Space");
    await page.getByRole("status").getByText("The service took it").waitFor();
    await rig.relay.finished(webhook.id, eventId);
  });

  it("works with JavaScript off: signing in, registering, retrying, pausing, deleting a dead letter", async () => {
    const page = await rig.signedIn({ javaScriptEnabled: false });
    await page.goto("/dashboard/webhooks/new");
    await page.getByLabel("URL", { exact: true }).fill(`${rig.service.url}/plain`);
    await page.getByRole("button", { name: "Register the webhook" }).click();
    await page.getByRole("heading", { name: "The webhook is registered" }).waitFor();
    // What only a script can do is not offered.
    expect(await page.locator("[data-copy]:visible").count()).toBe(0);

    const webhook = await newestWebhook(rig);
    rig.service.answer = answering(500);
    const eventId = await rig.relay.accept({ event: "custom.plain", data: {} });
    await rig.relay.attempted(webhook.id, eventId);
    rig.service.answer = answering(200);
    await page.goto(`/dashboard/webhooks/${webhook.id}/deliveries/${eventId}`);
    await page.getByRole("button", { name: "Try now" }).click();
    await page.getByRole("status").getByText("The service took it").waitFor();
    expect((await rig.relay.finished(webhook.id, eventId)).status).toBe("delivered");

    await page.goto(`/dashboard/webhooks/${webhook.id}`);
    await page.getByRole("button", { name: "Pause" }).click();
    await page.getByRole("status").getByText("Paused").waitFor();

    const letter = { id: "dl_plain", event: "custom.dead", reason: "full", webhookIds: null };
    await rig.keepDeadLetter(letter);
    await page.goto("/dashboard/dead-letters");
    await page.locator("summary", { hasText: "dl_plain" }).click();
    await page.getByRole("button", { name: "Delete dl_plain for good" }).click();
    await page.getByRole("status").getByText("The dead letter is deleted.").waitFor();
  });
});

async function newestWebhook({ relay }: Rig): Promise<{ id: string; ordered: boolean }> {
  const { body } = await relay.request("GET", "/v1/webhooks");
  const [webhook] = (body as { data: { id: string; ordered: boolean }[] }).data;
  if (webhook === undefined) throw new Error("there is no webhook");
  return webhook;
}

/** Presses Tab until this has the focus; whatever has it on the way shows it. */
async function tabTo(page: Page, goal: Locator): Promise<void> {
  for (let tabs = 0; tabs < MOST_TABS; tabs++) {
    await page.keyboard.press("Tab");
    const { name, isVisible } = await page.evaluate<{ name: string; isVisible: boolean }>(`(() => {
      const { activeElement } = document;
      const { outlineStyle, outlineWidth } = getComputedStyle(activeElement);
      const isVisible = outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
      return { name: activeElement.outerHTML.slice(0, 200), isVisible };
    })()`);
    expect(isVisible, `the focus is not seen on ${name}`).toBe(true);
    if ((await goal.and(page.locator(":focus")).count()) > 0) return;
  }
  throw new Error(`${MOST_TABS} tabs do not lead to it`);
}
