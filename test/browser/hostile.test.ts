/** Strangers fill what the pages show: leads, services, campaigns, links. It must come out as text, everywhere. */
import type { Page } from "playwright-core";
import { expect, it } from "vitest";
import { pagesOf } from "../../scripts/screenshots.ts";
import { answering } from "../rig/receiver.ts";
import { describeInBrowser, type Rig } from "./rig.ts";

const IMAGE = "<img src=x onerror=alert(1)>";
const SCRIPT = "</script><script>alert(2)</script>";
const VECTOR = '"><svg onload=alert(3)>';
const QUOTE = "' autofocus onfocus=alert(4) x='";
const LINK = "javascript:alert(5)";
const TEMPLATE = "{{constructor.constructor('alert(6)')()}}";
const COMMENT = "--><!--<iframe srcdoc='<script>alert(7)</script>'>";
const TITLE = "</title></textarea></style><script>alert(8)</script>";
const ALL = [IMAGE, SCRIPT, VECTOR, QUOTE, LINK, TEMPLATE, COMMENT, TITLE].join(" ");

let replies = 0;

/** An event whose every field is hostile, but for its name, which is checked. */
const newEvent = (id = `rpl_${++replies}`) => ({
  event: "reply.received",
  timestamp: ALL,
  webhookId: ALL,
  [ALL]: ALL,
  data: {
    campaignId: `${ALL} campaign`,
    lead: { email: `${IMAGE}@example.com`, firstName: SCRIPT, lastName: VECTOR, company: ALL },
    reply: { id, classification: VECTOR, receivedAt: LINK, threadSnippet: ALL },
    [IMAGE]: [SCRIPT, { [VECTOR]: TEMPLATE }],
  },
});

/** A page has no more scripts and handlers than the dashboard gave it, and no link that runs anything. */
async function expectHarmless(page: Page, what: string): Promise<void> {
  const found = await page.evaluate(`({
    scripts: [...document.scripts].map(({ src }) => new URL(src, location).pathname),
    handlers: [...document.querySelectorAll("*")].flatMap((element) =>
      element.getAttributeNames().filter((name) => /^on|^style$|^srcdoc$/.test(name))),
    strangers: document.querySelectorAll("iframe, object, embed, base, svg[onload], img:not(.brand img)").length,
    links: [...document.querySelectorAll("[href], [action], [formaction], [src]")]
      .flatMap((element) => ["href", "action", "formaction", "src"].map((name) => element.getAttribute(name)))
      .filter((address) => address !== null && !/^(?:\\/|#|\\?|$)/.test(address)),
  })`);
  expect(found, what).toEqual({
    scripts: ["/dashboard/live.js"],
    handlers: [],
    strangers: 0,
    links: [],
  });
}

async function stage(rig: Rig): Promise<{ webhookId: string; eventId: string }> {
  rig.service.answer = answering(500, {
    headers: { "content-type": "text/html", "x-evil": SCRIPT },
    body: `<html><title>${TITLE}</title><body onload=alert(9)>${ALL}</body></html>`,
  });
  const webhook = await rig.register({
    url: `${rig.service.url}/${encodeURIComponent(ALL)}/<b>'"?token=${encodeURIComponent(ALL)}`,
    description: ALL,
    headers: { "x-!#$%&'*+-.^_`|~": ALL },
    filter: { $or: [{ [`data.${IMAGE}`]: VECTOR }, { "data.reply.id": { $exists: true } }] },
  });
  const eventId = await rig.relay.accept(newEvent());
  await rig.relay.attempted(webhook.id, eventId);
  await rig.keepDeadLetter({ id: "dl_1", event: ALL, reason: ALL, webhookIds: [webhook.id] });
  await rig.keepDeadLetter({ id: "dl_2", event: null, reason: "unreadable", webhookIds: null });
  return { webhookId: webhook.id, eventId };
}

describeInBrowser("markup in what strangers fill", (rig) => {
  it("comes out as text on every page", async () => {
    const { webhookId, eventId } = await stage(rig);
    const page = await rig.signedIn();
    for (const [name, path] of Object.entries(pagesOf(webhookId, eventId))) {
      await page.goto(path);
      await expectHarmless(page, name);
    }
    await page.goto(`/dashboard/events/${eventId}`);
    const payload = await page.locator("#content").textContent();
    for (const text of [IMAGE, SCRIPT, LINK, TEMPLATE]) expect(payload).toContain(text);
    await page.goto(`/dashboard/webhooks/${webhookId}/deliveries/${eventId}`);
    expect(await page.locator("#content").textContent()).toContain("<body onload=alert(9)>");
    await page.goto("/dashboard/dead-letters");
    expect(await page.locator("#letters").textContent()).toContain(IMAGE);
    await page.goto("/dashboard");
    expect(await page.locator("#condition").textContent()).toContain(IMAGE);
  });

  it("comes out as text from the address bar", async () => {
    const page = await rig.signedIn();
    const evil = encodeURIComponent(ALL);
    const short = encodeURIComponent(VECTOR);
    for (const path of [
      `/dashboard?over=${evil}&done=${evil}&failed=${evil}&count=${evil}`,
      `/dashboard?done=created&count=${short}`,
      `/dashboard/events?email=${evil}&campaignId=${short}&event=${short}&within=${short}`,
      `/dashboard/events?id=${short}`,
      `/dashboard/events?since=${short}&until=${short}`,
      `/dashboard/events?cursor=${short}`,
      `/dashboard/deliveries?status=${short}&webhook=${short}&event=${short}&within=${short}`,
      `/dashboard/webhooks?cursor=${short}`,
      `/dashboard/dead-letters?cursor=${short}`,
      `/dashboard/audit?cursor=${short}`,
      `/dashboard/${short}`,
      `/dashboard/webhooks/${short}`,
      `/dashboard/events/${short}`,
      `/dashboard/sign-in?next=${short}`,
    ]) {
      const answer = await page.goto(path);
      expect(answer?.status(), path).toBeLessThan(500);
      await expectHarmless(page, path);
    }
    await page.goto(`/dashboard/continue?next=${encodeURIComponent(LINK)}`);
    await page.waitForURL(/\/dashboard$/);
  });

  it("comes out as text from a form that is refused", async () => {
    const page = await rig.signedIn();
    await page.goto("/dashboard/webhooks/new");
    await page.getByLabel("URL", { exact: true }).fill(ALL);
    await page.getByLabel("Description").fill(ALL);
    await page.getByLabel("Only these").check();
    await page.getByLabel("Other events, by name").fill(ALL);
    await page.getByLabel("Filter").fill(`{"${IMAGE}": ${SCRIPT}`);
    await page.getByRole("button", { name: "Register the webhook" }).click();
    await page.getByText("Nothing was changed yet").waitFor();
    await expectHarmless(page, "the refused form");
    expect(await page.getByLabel("Description").inputValue()).toBe(ALL);
  });

  it("comes out as text in what arrives while the page is open", async () => {
    const { webhookId } = await stage(rig);
    const page = await rig.signedIn();
    await page.goto("/dashboard/events");
    const before = await page.locator("#events [data-row]").count();
    const campaignId = `${ALL} live`;
    await rig.relay.accept({
      event: "custom.live",
      data: { campaignId, reply: { id: "rpl_live" } },
    });
    await page.locator("#events [data-row]").nth(before).waitFor();
    expect(await page.locator("#events").textContent()).toContain(VECTOR);
    await expectHarmless(page, "events, live");
    await page.goto(`/dashboard/webhooks/${webhookId}/edit`);
    await page.getByLabel("Filter").fill(`{"data.campaignId": "${IMAGE}"}`);
    await page.getByText("Of the latest").waitFor();
    await expectHarmless(page, "the filter trial");
  });
});
