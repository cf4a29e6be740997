/** States of the dashboard that no running relay is in by itself, brought about through the API, to be looked at. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Page } from "playwright-core";
import { exampleEvent } from "./leadterra.ts";
import { startReceiver } from "./receiver.ts";

/** What somebody does on a page to be shown something else. */
export type Doing = { path: string; act: (page: Page) => Promise<unknown> };

/** A relay to bring them about in. */
export type Means = {
  call: <T>(method: string, path: string, body?: unknown) => Promise<T>;
  /** Signed, as Leadterra sends it. */
  send: (event: unknown) => Promise<void>;
};

/** What is due counts as late after a minute. */
const LATE_MS = 65_000;
/** Twenty hours between two deliveries, nearly. */
const SLOWEST_A_SECOND = 0.000_015;
const SENT = 3;
/** Leadterra's queue, the relay's and the service. */
const ARRIVAL_MS = 4_000;

export const press = (page: Page, name: string | RegExp) =>
  page.getByRole("button", { name }).click();

/** How the Worker of the browser tests is told of a dead letter: by itself one takes 90 failed retries. */
async function keepDeadLetter({ call }: Means, webhookIds: readonly string[]): Promise<void> {
  const letter = { id: "dl_pictured", event: "reply.received", reason: "full", webhookIds };
  await call("POST", "/test/dead-letters", letter);
}

/** Brings them about. @param look gets where each is seen, and what has to be done there. */
export async function bringAbout(
  means: Means,
  look: (states: Record<string, Doing>) => Promise<void>,
): Promise<void> {
  const well = await startReceiver({ behaviour: () => 204 });
  const gone = await startReceiver({ behaviour: () => 410 });
  try {
    await look(await statesOf(means, { well: well.url, gone: gone.url }));
  } finally {
    await Promise.all([well.close(), gone.close()]);
  }
}

async function statesOf(
  means: Means,
  { well, gone }: Record<"well" | "gone", string>,
): Promise<Record<string, Doing>> {
  const { call, send } = means;
  const register = async (fields: object) =>
    (await call<{ webhook: { id: string } }>("POST", "/v1/webhooks", { events: ["*"], ...fields }))
      .webhook.id;
  const disabled = await register({ url: gone, name: "archive" });
  const late = await register({ url: well, name: "billing", rateLimit: SLOWEST_A_SECOND });
  const listener = await register({ url: "listener:", name: "laptop", events: ["message.sent"] });
  const edited = await register({ url: well, name: "crm", description: "Replies for sales" });
  for (let sent = 0; sent < SENT; sent++) await send(exampleEvent("message.sent"));
  await sleep(ARRIVAL_MS);
  const { data } = await call<{ data: { id: string }[] }>("GET", "/v1/events");
  const erased = data[0]?.id ?? "";
  await call("DELETE", `/v1/events/${erased}`);
  await keepDeadLetter(means, [edited, disabled]);
  await sleep(LATE_MS);
  const pathOf = (id: string) => `/dashboard/webhooks/${id}`;
  const seen = (path: string, text: string): Doing => ({
    path,
    act: (page) => page.getByText(text).first().waitFor(),
  });
  const graceOf = async (gracePeriodSeconds: number) =>
    call("POST", `/v1/webhooks/${edited}/rotate-secret`, { gracePeriodSeconds });
  let edits = 0;
  return {
    "event, erased": seen(`/dashboard/events/${erased}`, "The payload was erased"),
    "webhook, disabled": seen(pathOf(disabled), "410"),
    "webhook, late": seen(pathOf(late), "rate limit"),
    "webhook, no listener": seen(pathOf(listener), "no listener is connected"),
    "webhooks, in trouble": seen("/dashboard/webhooks", "archive"),
    "overview, in trouble": seen("/dashboard", "archive"),
    "edit, overtaken": {
      path: `${pathOf(edited)}/edit`,
      act: async (page) => {
        edits += 1;
        const description = `Replies for sales, by the night shift ${edits}`;
        await call("PATCH", `/v1/webhooks/${edited}`, { description });
        await page.getByLabel("Description").fill("Replies for sales and support");
        await press(page, "Save the changes");
        await page.getByText(description).first().waitFor();
      },
    },
    "secret of somebody else, refused": {
      path: `${pathOf(edited)}/rotate`,
      act: async (page) => {
        const own = page.locator("[name=signingSecret]");
        if (!(await own.isVisible())) await page.getByText("of your own").first().click();
        await own.fill("whsec_c2hvcnQ=");
        await press(page, "Rotate the secret");
        await page
          .getByText("Nothing was changed yet")
          .or(page.locator(".wrong"))
          .first()
          .waitFor();
      },
    },
    "secret, with a grace period": {
      path: `${pathOf(edited)}/rotate`,
      act: async (page) => {
        // Only so many sign along.
        await graceOf(0);
        await page.getByLabel("an hour", { exact: true }).check();
        await press(page, "Rotate the secret");
        await page.getByText("Until the grace period ends").waitFor();
      },
    },
    "webhook, in a grace period": seen(pathOf(edited), "Signing secret"),
    "dead letter, opened": {
      path: "/dashboard/dead-letters",
      act: async (page) =>
        page
          .getByText(/^Delete/)
          .first()
          .click(),
    },
    "deliveries, opened again": {
      path: `${pathOf(edited)}/replay`,
      act: async (page) => {
        await page.getByLabel(/^All of them/).check();
        await press(page, "Count them first");
        await press(page, "Replay them");
        await page.getByRole("link", { name: /^See what/ }).waitFor();
      },
    },
  };
}
