/** Makes attempts ready to leave: URL rules, signatures, headers, and what must not be kept of the answer. */
import { configOf, serviceBindings } from "../config";
import { standardHeaders } from "../domain/headers";
import { createSigner, type Signer } from "../domain/signature";
import { checkTarget, type TargetCheck } from "../domain/target";
import { liveSecrets, type Webhook } from "../domain/webhook";
import { VERSION } from "../version";
import { type Answer, send, unanswered } from "./send";

/** Shorter values, such as "1" or "true", would blacken half of every answer. */
const MIN_REDACTED_CHARACTERS = 8;

/** What is sent; `attempt` is its number. */
export type Sending = { eventId: string; event: string; body: Uint8Array; attempt: number };

export class Departures {
  readonly #env: Env;
  #signer: { secrets: string; sign: Promise<Signer> } | null = null;
  #target: { webhook: Webhook; check: TargetCheck } | null = null;

  constructor(env: Env) {
    this.#env = env;
  }

  /** Signs an attempt; what it returns makes the request at once when called, and never throws. */
  async prepare(webhook: Webhook, sending: Sending): Promise<() => Promise<Answer>> {
    const delivering = configOf(this.#env).delivery;
    const check = this.#check(webhook);
    if (!check.ok || delivering === null) {
      return async () => ({ ...unanswered("forbidden_target", Date.now()), refused: false });
    }
    const nowMs = Date.now();
    const unixSeconds = Math.floor(nowMs / 1_000);
    const sign = await this.#signerFor(liveSecrets(webhook.secrets, nowMs));
    const signatures = await sign(sending.eventId, unixSeconds, sending.body);
    const headers = new Headers(webhook.headers);
    const { eventId, event, attempt } = sending;
    const head = { eventId, event, attempt, unixSeconds, ...signatures, version: VERSION };
    for (const [name, value] of standardHeaders(head)) headers.set(name, value);
    const departure = {
      target: check.target,
      headers,
      body: sending.body,
      timeoutMs: delivering.timeoutMs,
      secrets: [
        ...secretsOf(webhook),
        signatures.leadterra,
        ...signatures.standard.split(" ").map((signature) => signature.slice("v1,".length)),
      ],
    };
    return () => send(departure, this.#env);
  }

  /** Once for each version of the webhook; the configuration cannot change while the object lives. */
  #check(webhook: Webhook): TargetCheck {
    if (this.#target?.webhook !== webhook) {
      const check = checkTarget(webhook.url, {
        allowPrivate: configOf(this.#env).allowPrivateDestinations,
        relayHost: webhook.relayHost,
        services: serviceBindings(this.#env),
      });
      this.#target = { webhook, check };
    }
    return this.#target.check;
  }

  /** Keys are imported once for each set of live secrets. */
  #signerFor(secrets: string[]): Promise<Signer> {
    const wanted = secrets.join(" ");
    if (this.#signer?.secrets !== wanted) {
      this.#signer = { secrets: wanted, sign: createSigner(secrets) };
    }
    return this.#signer.sign;
  }
}

/** What an answer that echoes the request must not leave in the attempt log: secrets, headers, the URL's query. */
function secretsOf({ secrets, headers, url }: Webhook): string[] {
  const queryAt = url.indexOf("?");
  const query = queryAt < 0 ? "" : url.slice(queryAt + 1);
  const values = [...Object.values(headers), query, ...new URLSearchParams(query).values()];
  return [
    ...secrets.flatMap(({ value }) => [value, value.slice("whsec_".length)]),
    ...values.filter(({ length }) => length >= MIN_REDACTED_CHARACTERS),
  ];
}
