/** /docs, under its own policy: it draws the API, finds every call, asks nobody but the relay, and can make a call. */
import type { Page } from "playwright-core";
import { expect, it } from "vitest";
import { API_KEY } from "../journey/relay.ts";
import { STANDARDS, violationsOf } from "./axe.ts";
import { describeInBrowser } from "./rig.ts";

type Document = { paths: Record<string, Record<string, { summary: string }>> };

/** Five megabytes of script, on a machine that may have other work. */
const DRAWN_WITHIN_MS = 60_000;

function drawn(page: Page): Promise<void> {
  const heading = page.getByRole("heading", { name: "Leadterra Relay" });
  return heading.waitFor({ timeout: DRAWN_WITHIN_MS });
}

describeInBrowser("the page of the API", (rig) => {
  async function summaries(): Promise<string[]> {
    const response = await rig.relay.fetch("/openapi.json");
    const { paths } = (await response.json()) as Document;
    return Object.values(paths).flatMap((item) => Object.values(item).map((call) => call.summary));
  }

  it("draws every call, and finds each by its search", async () => {
    const page = await rig.open({ viewport: { width: 1_400, height: 900 } });
    await page.goto("/docs");
    await drawn(page);
    await page.keyboard.press("Control+k");
    const dialog = page.getByRole("dialog");
    for (const summary of await summaries()) {
      await dialog.locator("input").fill(summary);
      await dialog.getByRole("option").filter({ hasText: summary }).first().waitFor();
    }
  });

  it.each([
    ["light", 1_400],
    ["light", 390],
    ["dark", 1_400],
    ["dark", 390],
  ] as const)(
    "has no serious faults that axe finds, Scalar's own part included: %s, %i px",
    async (colorScheme, width) => {
      const page = await rig.open({ colorScheme, viewport: { width, height: 900 } });
      await page.goto("/docs");
      await drawn(page);
      expect(await violationsOf(page, STANDARDS)).toEqual([]);
    },
  );

  it.each([1_400, 390])("is led to by the dashboard, and leads back: %i px", async (width) => {
    const page = await rig.signedIn({ viewport: { width, height: 900 } });
    await page.getByRole("contentinfo").getByRole("link", { name: "API" }).click();
    await drawn(page);
    await page.getByRole("link", { name: "To the dashboard" }).click();
    await page.getByRole("heading", { name: "Overview", level: 1 }).waitFor();
  });

  it("makes a call to the relay itself", async () => {
    const page = await rig.open({ viewport: { width: 1_400, height: 900 } });
    await page.goto("/docs");
    await drawn(page);
    const status = await page.evaluate(
      (key) =>
        fetch("/v1/webhooks", { headers: { authorization: `Bearer ${key}` } }).then(
          (response) => response.status,
        ),
      API_KEY,
    );
    expect(status).toBe(200);
  });

  it("points to the document where there are no scripts", async () => {
    const page = await rig.open({ javaScriptEnabled: false });
    await page.goto("/docs");
    await page.getByRole("link", { name: "/openapi.json" }).click();
    expect(await page.locator("body").textContent()).toContain('"openapi": "3.1.0"');
  });
});
