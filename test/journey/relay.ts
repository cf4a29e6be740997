/**
 * The relay of a file of journeys: with every variable set but DELIVERY_TIMEOUT, whose default one of them waits for,
 * and webhooks that are gone when their test is.
 */
import { inject, onTestFinished } from "vitest";
import type { RegisteredWebhook } from "../rig/api.ts";
import { Relay, type RelayOptions } from "../rig/relay.ts";

export const SIGNING_SECRET = "journey-signing-secret";
export const API_KEY = "journey-key-with-all-rights";
export const READ_ONLY_API_KEY = "journey-key-that-only-reads";

const VARIABLES = {
  READ_ONLY_API_KEYS: READ_ONLY_API_KEY,
  RETRY_SCHEDULE: "1m 5m 30m 2h 8h",
  IDEMPOTENCY_TTL: "7d",
  RETENTION: "30d",
  ALLOW_PRIVATE_DESTINATIONS: "true",
  ALERT_URL: "",
  SILENCE_ALERT: "",
};
export type Variables = Partial<Record<keyof typeof VARIABLES | "DELIVERY_TIMEOUT", string>>;

/** The defaults for what is not given. */
export function relayOptions(variables: Variables = {}): RelayOptions {
  return {
    build: { directory: inject("build") },
    variables: { ...VARIABLES, ...variables },
    keys: { signingSecret: SIGNING_SECRET, apiKey: API_KEY },
    keepsLog: true,
  };
}

export class JourneyRelay extends Relay {
  /** Registers a webhook, which is deleted with the test. */
  override async register(draft: Record<string, unknown>): Promise<RegisteredWebhook> {
    const webhook = await super.register(draft);
    onTestFinished(async () => {
      await this.request("DELETE", `/v1/webhooks/${webhook.id}`);
    });
    return webhook;
  }

  override redeploy(variables: Variables): Promise<void> {
    return super.redeploy({ ...VARIABLES, ...variables });
  }
}

/** Starts the relay with these variables, the defaults for the others: one for each file. */
export async function startRelay(variables: Variables = {}): Promise<JourneyRelay> {
  const relay = new JourneyRelay(relayOptions(variables));
  await relay.start();
  return relay;
}
