/**
 * A relay, a service and a browser for the tests of one file. Whatever a page does that it must not is an offence:
 * a dialog, an error in the console, a violation of the Content-Security-Policy, a request to anyone but the relay,
 * a page that is wider than the window. There must be none after any test.
 */
import { createServer } from "node:http";
import type { Browser, BrowserContext, BrowserContextOptions, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, inject } from "vitest";
import { launchChromium } from "../../scripts/chromium.ts";
import { listen } from "../../scripts/loopback.ts";
import { API_KEY, relayOptions, type Variables } from "../journey/relay.ts";
import type { RegisteredWebhook } from "../rig/api.ts";
import { answering, Receiver } from "../rig/receiver.ts";
import { Relay } from "../rig/relay.ts";

/** How long a page may take to show what has happened; it asks every two seconds at first. */
const PATIENCE_MS = 15_000;
/** The relay's own answers to what a test does wrong on purpose, and a network that it takes away, are no errors of the page. */
const EXPECTED =
  /^Failed to load resource: (?:the server responded with a status of 4\d\d|net::ERR_INTERNET_DISCONNECTED)/;
const VIOLATION = "content security policy violated";

export type Rig = {
  relay: Relay;
  /** The service; it answers 200 until told otherwise. */
  service: Receiver;
  browser: Browser;
  offences: string[];
  /** A window of its own. */
  open(options?: BrowserContextOptions): Promise<Page>;
  /** The same, signed in with this key. */
  signedIn(options?: BrowserContextOptions & { key?: string }): Promise<Page>;
  /** A webhook that leads to the service; it stays for the file. */
  register(draft?: Record<string, unknown>): Promise<RegisteredWebhook>;
  /** Puts a dead letter where the consumer would, through the Worker of these tests. */
  keepDeadLetter(draft: DeadLetterDraft): Promise<void>;
  /** The sweep that finds what has failed until now failing for a quarter of an hour, through the Worker of these tests. */
  sweepLater(): Promise<void>;
};

/** What a file's tests are about, skipped where there is no browser. @param variablesFor of the relay, beside the defaults. */
export function describeInBrowser(
  name: string,
  tests: (rig: Rig) => void,
  variablesFor: (service: Receiver) => Variables = () => ({}),
): void {
  const executable = inject("chromium");
  describe.skipIf(executable === null)(name, () => {
    const rig = { offences: [] as string[] } as Rig;
    const contexts: BrowserContext[] = [];

    beforeAll(async () => {
      const server = createServer({ requestTimeout: 0, headersTimeout: 0 });
      rig.service = new Receiver(server, await listen(server), answering(200));
      [rig.relay, rig.browser] = await Promise.all([
        Relay.start(relayOptions(variablesFor(rig.service))),
        launchChromium(executable ?? ""),
      ]);
    });
    afterAll(async () => {
      await rig.browser?.close();
      await rig.service?.close();
      await rig.relay?.close();
    });
    afterEach(async () => {
      rig.service.answer = answering(200);
      for (const context of contexts.splice(0)) await context.close();
      expect(rig.offences.splice(0)).toEqual([]);
    });

    rig.open = async (options = {}) => {
      const context = await rig.browser.newContext({ baseURL: rig.relay.url, ...options });
      contexts.push(context);
      context.setDefaultTimeout(PATIENCE_MS);
      await watch(context, rig);
      return context.newPage();
    };
    rig.signedIn = async ({ key = API_KEY, ...options } = {}) => {
      const page = await rig.open(options);
      await signIn(page, key);
      await page.waitForURL(/\/dashboard$/);
      return page;
    };
    rig.register = (draft = {}) => rig.relay.register({ url: `${rig.service.url}/in`, ...draft });
    const bringAbout = async (path: string, draft?: object) => {
      const body = JSON.stringify(draft ?? {});
      const { status } = await rig.relay.fetch(path, { method: "POST", body });
      if (status !== 204) throw new Error(`${path} answered ${status}`);
    };
    rig.keepDeadLetter = (draft) => bringAbout("/test/dead-letters", draft);
    rig.sweepLater = () => bringAbout("/test/sweep-later");
    tests(rig);
  });
}

export async function signIn(page: Page, key: string): Promise<void> {
  await page.goto("/dashboard/sign-in");
  await page.getByLabel("API key").fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
}

async function watch(context: BrowserContext, { offences, relay }: Rig): Promise<void> {
  await context.addInitScript(`document.addEventListener("securitypolicyviolation", (event) =>
    console.error(${JSON.stringify(VIOLATION)}, event.violatedDirective, event.blockedURI))`);
  context.on("dialog", (dialog) => {
    offences.push(`a dialog at ${dialog.page()?.url()}: ${dialog.message()}`);
    void dialog.dismiss();
  });
  context.on("weberror", (error) => {
    offences.push(`an error at ${error.page()?.url()}: ${error.error()}`);
  });
  context.on("console", (message) => {
    if (message.type() !== "error" || EXPECTED.test(message.text())) return;
    offences.push(`an error at ${message.page()?.url()}: ${message.text()}`);
  });
  context.on("request", (request) => {
    const { origin, protocol } = new URL(request.url());
    if (origin === relay.url || protocol === "data:" || origin === "null") return;
    // A page of another site, which a test opens itself.
    if (request.isNavigationRequest()) return;
    offences.push(`a request to ${request.url()} from ${request.frame().url()}`);
  });
}

export type DeadLetterDraft = {
  id: string;
  /** null for a message that is no event. */
  event: string | null;
  reason: string;
  webhookIds: readonly string[] | null;
};
