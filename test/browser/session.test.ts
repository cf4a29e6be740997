/** Signing in, in a browser: with the right key, a wrong one, and from a link on another site. */
import { createServer } from "node:http";
import { expect, it, onTestFinished } from "vitest";
import { closeServer, listen } from "../../scripts/loopback.ts";
import { API_KEY, READ_ONLY_API_KEY } from "../journey/relay.ts";
import { describeInBrowser, signIn } from "./rig.ts";

describeInBrowser("signing in", (rig) => {
  it("takes a configured key, keeps to it, and leads to the page that was asked for", async () => {
    const page = await rig.open();
    await page.goto("/dashboard/audit");
    await page.waitForURL(/\/dashboard\/sign-in\?next=/);
    await page.getByLabel("API key").fill("a-key-that-nobody-configured");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("alert").getByText("not a configured API key").waitFor();
    await page.getByLabel("API key").fill(API_KEY);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.waitForURL(/\/dashboard\/audit$/);
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.waitForURL(/\/dashboard\/sign-in$/);
    await page.goto("/dashboard");
    await page.waitForURL(/\/dashboard\/sign-in/);
  });

  it("leads a link from another site to its page, still signed in", async () => {
    const page = await rig.signedIn();
    const target = `${rig.relay.url}/dashboard/audit`;
    await page.goto(await anotherSite(target));
    await page.getByRole("link", { name: "look" }).click();
    await page.waitForURL(target);
    await page.getByRole("heading", { name: "Audit", level: 1 }).waitFor();
  });

  it("asks whoever follows a link from another site to sign in first, and leads there then", async () => {
    const page = await rig.open();
    const target = `${rig.relay.url}/dashboard/events?email=ava@acmecorp.com`;
    await page.goto(await anotherSite(target));
    await page.getByRole("link", { name: "look" }).click();
    await page.getByLabel("API key").fill(API_KEY);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.waitForURL(target);
  });

  it("C2: ends on an open page with a word on since when it is not up to date, and the way back in", async () => {
    const page = await rig.signedIn();
    const notice = page.locator("#not-current");
    expect(await notice.isVisible()).toBe(false);
    const cookies = await page.context().cookies();
    await page.context().clearCookies({ name: /^leadterra-relay-\d+$/ });
    await notice.getByText(/not up to date since \d\d:\d\d/).waitFor();
    const link = notice.getByRole("link", { name: /sign in/ });
    expect(await link.getAttribute("href")).toBe("/dashboard/sign-in?next=%2Fdashboard");
    // Signed in elsewhere: the page follows again by itself, and says no more.
    await page.context().addCookies(cookies);
    await notice.waitFor({ state: "hidden" });
  });

  it("C2: is not what an open page says has ended when the relay is away, or what it shows is", async () => {
    const webhook = await rig.register({ description: "Gone soon" });
    const page = await rig.signedIn();
    await page.goto(`/dashboard/webhooks/${webhook.id}`);
    const notice = page.locator("#not-current");
    await page.context().setOffline(true);
    await notice.getByText("The relay does not answer").waitFor();
    expect(await notice.getByRole("link").isVisible()).toBe(false);
    await page.context().setOffline(false);
    await notice.waitFor({ state: "hidden" });
    await rig.relay.request("DELETE", `/v1/webhooks/${webhook.id}`);
    await notice.getByText("What it shows is not there any more").waitFor();
  });

  it("C2: is said to have ended where whatever stands before the relay leads to another host", async () => {
    const page = await rig.signedIn();
    const headers = { location: "https://team.cloudflareaccess.com/login" };
    await page.route("/dashboard", (route) => route.fulfill({ status: 302, headers }));
    await page
      .locator("#not-current")
      .getByRole("link", { name: /sign in/ })
      .waitFor();
  });

  it("C2: ends under a filter that is being tried: the answer to another one does not stay", async () => {
    const page = await rig.signedIn();
    await page.goto("/dashboard/webhooks/new");
    const trial = page.locator("#trial");
    await trial.getByText("it would get").waitFor();
    await page.context().clearCookies({ name: /^leadterra-relay-\d+$/ });
    await page.getByLabel("Filter", { exact: true }).fill("{}");
    await trial.getByText("Not tried: the session has ended").waitFor();
    expect(await trial.getByText("it would get").count()).toBe(0);
  });

  it("C3: may end while a form is filled in: the key is asked for on the way, and nothing typed is lost", async () => {
    const page = await rig.signedIn();
    await page.goto("/dashboard/webhooks/new");
    await page.getByLabel("URL", { exact: true }).fill(`${rig.service.url}/kept`);
    await page.getByLabel("Description").fill('Kept "as typed"');
    await page.context().clearCookies({ name: /^leadterra-relay-\d+$/ });
    await page.getByRole("button", { name: "Register the webhook" }).click();
    await page.getByText("The session has ended").waitFor();
    await page.getByLabel("API key").fill(API_KEY);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("heading", { name: "The webhook is registered" }).waitFor();
    await page.goto("/dashboard/webhooks");
    await page.getByRole("link", { name: 'Kept "as typed"' }).waitFor();
  });

  it("tells times in the browser's zone, from the second page on without the script", async () => {
    const page = await rig.signedIn({ timezoneId: "Europe/Berlin" });
    await page.goto("/dashboard/events");
    await page.getByText("From (Europe/Berlin)").waitFor();
    await page.getByText("Times are those of Europe/Berlin").waitFor();
  });

  it("tells all times of a page in one zone, also where it is the first", async () => {
    const page = await rig.signedIn({ timezoneId: "Europe/Berlin" });
    await rig.relay.accept({ event: "custom.zoned", data: {} });
    await page.context().clearCookies({ name: "leadterra-relay-zone" });
    await page.goto("/dashboard/events");
    await page.getByText("Times are those of UTC").waitFor();
    const row = page.getByRole("row", { name: "custom.zoned" });
    const words = async () => (await row.locator("time").textContent()) ?? "";
    const datetime = (await row.locator("time").getAttribute("datetime")) ?? "";
    const utc = datetime.slice(11, 16);
    await expect.poll(words, { timeout: 20_000 }).toMatch(/^\d+ seconds? ago/);
    expect(await words()).toContain(`(${utc})`);
    await page.reload();
    await page.getByText("Times are those of Europe/Berlin").waitFor();
    expect(await words()).not.toContain(`(${utc})`);
  });

  it("shows a key that only reads no form that changes anything", async () => {
    const webhook = await rig.register({ description: "CRM" });
    const eventId = await rig.relay.accept({ event: "custom.seen", data: {} });
    await rig.relay.finished(webhook.id, eventId);
    const page = await rig.open();
    await signIn(page, READ_ONLY_API_KEY);
    await page.waitForURL(/\/dashboard$/);
    for (const path of [
      "/dashboard",
      "/dashboard/webhooks",
      `/dashboard/webhooks/${webhook.id}`,
      `/dashboard/webhooks/${webhook.id}/deliveries/${eventId}`,
      "/dashboard/events",
      `/dashboard/events/${eventId}`,
      "/dashboard/dead-letters",
    ]) {
      expect((await page.goto(path))?.status(), path).toBe(200);
      const actions = await page
        .locator("form[method=post]")
        .evaluateAll((forms) => forms.map((form) => form.getAttribute("action")));
      expect(actions, path).toEqual(["/dashboard/sign-out"]);
    }
  });
});

/** The address of a page with a link; localhost and 127.0.0.1 are two sites. */
async function anotherSite(target: string): Promise<string> {
  const server = createServer((_, response) => {
    response.writeHead(200, { "content-type": "text/html" });
    response.end(`<title>Chat</title><a href="${target}">look</a>`);
  });
  const port = await listen(server);
  onTestFinished(() => closeServer(server));
  return `http://localhost:${port}/`;
}
