/** What is done to many, a page of work with each form: by itself with the script, by a button without. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Page } from "playwright-core";
import { beforeAll, expect, it } from "vitest";
import type { RegisteredWebhook } from "../rig/api.ts";
import { eventually } from "../rig/eventually.ts";
import { describeInBrowser } from "./rig.ts";

/** A page of work, and some. */
const MANY = 1_002;
const SENT_AT_ONCE = 100;
/** Longer than a page waits before it goes on. */
const SLOWLY_MS = 1_500;

/** Holds the forms that go on until the test has looked; each `next` lets one through. */
async function holdingForms(page: Page, path: string) {
  const waiting: (() => void)[] = [];
  let free = 0;
  let held = 0;
  const isGoingOn = (body: string | null) => body?.includes("so_far=") ?? false;
  await page.route(`**${path}`, async (route) => {
    if (!isGoingOn(route.request().postData())) return route.continue();
    held += 1;
    if (free > 0) free -= 1;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    return route.continue();
  });
  return {
    held: () => held,
    next: () => {
      const resolve = waiting.shift();
      if (resolve === undefined) free += 1;
      else resolve();
    },
  };
}

async function follow(page: Page): Promise<string[]> {
  await page.getByRole("link", { name: /^See what/ }).click();
  await page.getByRole("heading", { name: "Deliveries", level: 1 }).waitFor();
  const rows = page.locator("#deliveries [data-row]");
  await rows.first().waitFor();
  return rows.evaluateAll((all) => all.map((row) => row.getAttribute("data-row") ?? ""));
}

describeInBrowser("whoever does something to many", (rig) => {
  let webhook: RegisteredWebhook;
  let ids: string[];

  beforeAll(async () => {
    webhook = await rig.register({ description: "Backlog", status: "paused" });
    ids = [];
    while (ids.length < MANY) {
      const some = Array.from({ length: Math.min(SENT_AT_ONCE, MANY - ids.length) }, (_, index) =>
        rig.relay.accept({ event: "custom.one", data: { number: ids.length + index } }),
      );
      ids.push(...(await Promise.all(some)));
    }
    const pending = async () =>
      (await rig.relay.call<{ pending: number }>(`/webhooks/${webhook.id}/health`)).pending;
    await eventually(async () => expect(await pending()).toBe(MANY), { timeout: 60_000 });
  });

  const keyOf = (id: string) => `${webhook.id}/${id}`;

  it("sees a discard go on by itself to its end, with how far it is, and finds what it touched", async () => {
    const page = await rig.signedIn();
    const path = `/dashboard/webhooks/${webhook.id}/discard`;
    const forms = await holdingForms(page, path);
    await page.goto(path);
    await page.getByRole("button", { name: "Count them first" }).click();
    await page.getByText("1,002 deliveries would be discarded").waitFor();
    await page.getByRole("button", { name: "Discard them" }).click();
    await page.getByText("1,000 deliveries discarded so far.").waitFor();
    await page.getByText("1,000 of 1,002", { exact: true }).waitFor();
    const bar = page.getByRole("progressbar", { name: "So far" });
    expect(await bar.evaluate((at) => [at.getAttribute("value"), at.getAttribute("max")])).toEqual([
      "1000",
      "1002",
    ]);
    forms.next();
    await page.getByText("1,002 deliveries discarded.").waitFor();
    const listed = await follow(page);
    expect(listed).toHaveLength(50);
    expect(listed.filter((key) => !ids.map(keyOf).includes(key))).toEqual([]);
    expect(await page.locator("#deliveries .badge").allTextContents()).toEqual(
      listed.map(() => "cancelled"),
    );
  });

  it("has a replay go on by its button where there is no script", async () => {
    const page = await rig.signedIn({ javaScriptEnabled: false });
    await page.goto(`/dashboard/webhooks/${webhook.id}/replay`);
    await page.getByLabel(/^All of them/).check();
    await page.getByRole("button", { name: "Count them first" }).click();
    await page.getByRole("button", { name: "Replay them" }).click();
    await page.getByText("1,000 of 1,002", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Go on" }).click();
    await page.getByText("1,002 deliveries replayed:").waitFor();
    expect(await follow(page)).toHaveLength(50);
  });

  it("retries all that a page shows, and is led to just those", async () => {
    const page = await rig.signedIn();
    const forms = await holdingForms(page, "/dashboard/deliveries/retry");
    await page.goto(`/dashboard/deliveries?webhook=${webhook.id}`);
    const rows = page.locator("#deliveries [data-row]");
    const shown = await rows.evaluateAll((all) => all.map((row) => row.getAttribute("data-row")));
    await page.getByLabel("Select all shown").check();
    await page.getByRole("button", { name: "Retry the selected" }).click();
    for (const done of [10, 20, 30, 40]) {
      await page.getByText(`${done} of 50`, { exact: true }).waitFor();
      forms.next();
    }
    await page.getByText("50 deliveries retried").waitFor();
    expect(new URL(page.url()).search).toBe(`?webhook=${webhook.id}`);
    expect((await follow(page)).toSorted()).toEqual(shown.toSorted());
  });

  it("stops it by the link beside, however slowly that leads away", async () => {
    const page = await rig.signedIn();
    const forms = await holdingForms(page, "/dashboard/deliveries/retry");
    await page.goto(`/dashboard/deliveries?webhook=${webhook.id}`);
    await page.getByLabel("Select all shown").check();
    await page.getByRole("button", { name: "Retry the selected" }).click();
    await page.getByText("10 of 50", { exact: true }).waitFor();
    await page.route(/\/dashboard\/deliveries\?webhook=/, async (route) => {
      await sleep(SLOWLY_MS);
      await route.continue();
    });
    await page.getByRole("link", { name: "Stop here" }).click();
    await page.getByRole("heading", { name: "Deliveries", level: 1 }).waitFor();
    expect(forms.held()).toBe(0);
  });

  it("sees a redrive go on by itself, and by its button", async () => {
    for (const javaScriptEnabled of [true, false]) {
      const letters = Array.from({ length: MANY - 1 }, (_, index) => ({
        id: `dl_${javaScriptEnabled}_${index}`,
        event: "custom.dead",
        reason: "full",
        webhookIds: [webhook.id],
      }));
      while (letters.length > 0) {
        await Promise.all(letters.splice(0, SENT_AT_ONCE).map(rig.keepDeadLetter));
      }
      const page = await rig.signedIn({ javaScriptEnabled });
      const forms = await holdingForms(page, "/dashboard/dead-letters/redrive");
      await page.goto("/dashboard/dead-letters");
      await page.getByRole("button", { name: "Redrive them" }).click();
      await page.getByText("1,000 of 1,001", { exact: true }).waitFor();
      forms.next();
      if (!javaScriptEnabled) await page.getByRole("button", { name: "Go on" }).click();
      await page.getByText("1,001 dead letters were sent on the way again.").waitFor();
      await page.getByText("There are no dead letters.").waitFor();
    }
  });
});
