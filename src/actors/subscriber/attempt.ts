/** One attempt: URL rules, signatures, headers, and what must not be kept of the answer. */
import { configOf, targetRules } from "../../config";
import type { AttemptRecord } from "../../domain/delivery";
import { standardHeaders } from "../../domain/headers";
import { randomEventId } from "../../domain/ids";
import { MAX_TIMEOUT_MS } from "../../domain/schedule";
import { createSigner, type Signer } from "../../domain/signature";
import { checkTarget, type TargetCheck } from "../../domain/target";
import { liveSecrets, timeoutMsOf, type Webhook } from "../../domain/webhook";
import { VERSION } from "../../version";
import { Deadlines } from "./deadlines";
import type { Listener } from "./listener";
import { type Answer, send, unanswered } from "./send";
import type { Slots } from "./slots";

/** Shorter values, such as "1" or "true", stand in many an answer by chance. */
const MIN_REDACTED_CHARACTERS = 8;

/** What is sent; `attempt` is its number. */
export type Sending = { eventId: string; event: string; body: Uint8Array; attempt: number };

type Facts = { version: number; check: TargetCheck; timeoutMs: number; secrets: string[] };

export class Attempts {
  readonly #env: Env;
  readonly #listener: Listener | null;
  #signer: { secrets: string; sign: Signer } | null = null;
  readonly #deadlines = new Deadlines();
  #known: Facts | null = null;

  /** @param listener null where no webhook is a `listener:`. */
  constructor(env: Env, listener: Listener | null = null) {
    this.#env = env;
    this.#listener = listener;
  }

  /** Signs an attempt and makes its request, in the same turn: nothing can change in between. */
  async make(webhook: Webhook, sending: Sending): Promise<Answer> {
    const { check, secrets, timeoutMs } = this.#facts(webhook);
    if (!check.ok) {
      return { ...unanswered("forbidden_target", Date.now()), refused: false };
    }
    const nowMs = Date.now();
    const unixSeconds = Math.floor(nowMs / 1_000);
    const sign = this.#signerFor(liveSecrets(webhook.secrets, nowMs));
    const signatures = sign(sending.eventId, unixSeconds, sending.body);
    const { eventId, event, attempt } = sending;
    const head = { eventId, event, attempt, unixSeconds, ...signatures, version: VERSION };
    const headers = { ...webhook.headers, ...standardHeaders(head) };
    const outgoing = {
      target: check.target,
      headers,
      body: sending.body,
      startedAtMs: nowMs,
      timeoutMs,
      deadlines: this.#deadlines,
      overSocket: (signal: AbortSignal) =>
        this.#listener?.deliver({ eventId, attempt, headers, body: sending.body }, signal) ??
        Promise.reject(new Error("no socket")),
      secrets: () => [
        ...secrets,
        signatures.leadterra,
        signatures.leadterra.toUpperCase(),
        ...signatures.standard.split(" ").map((signature) => signature.slice("v1,".length)),
      ],
    };
    return send(outgoing, this.#env);
  }

  /**
   * A test: a signed example that goes out at once, even while held. It is no delivery: nothing is stored. It takes the
   * slot that comes free next: the clock of a request must not run while it waits for a connection.
   *
   * @param inForce what is in force when it leaves, which is after the wait; null when there is none any more.
   * @returns null when it was not sent; `by`: what was in force.
   */
  async makeExample(
    { event, body }: { event: string; body: Uint8Array },
    slots: Slots,
    inForce: () => Webhook | null,
  ): Promise<{ attempt: AttemptRecord; by: Webhook } | null> {
    const eventId = randomEventId(crypto.getRandomValues(new Uint8Array(16)));
    await slots.takeNext();
    try {
      const by = inForce();
      if (by === null) return null;
      const answer = await this.make(by, { eventId, event, body, attempt: 1 });
      const { retryAfterMs: _, refused: __, ranOut: ___, ...outcome } = answer;
      return { by, attempt: { ...outcome, number: 1, trigger: "test" } };
    } finally {
      slots.release();
    }
  }

  /** Once for each version of the one webhook; the configuration cannot change while the object lives. */
  #facts(webhook: Webhook): Facts {
    const { version } = webhook;
    if (this.#known?.version !== version) {
      const { delivery } = configOf(this.#env);
      const check = checkTarget(webhook.url, targetRules(this.#env, webhook.relayHost));
      // A test goes out, too, while a variable that does not parse holds deliveries.
      const timeoutMs = timeoutMsOf(webhook, delivery?.timeoutMs ?? MAX_TIMEOUT_MS);
      this.#known = { version, check, timeoutMs, secrets: secretsOf(webhook) };
    }
    return this.#known;
  }

  /** Keys are imported once for each set of live secrets. */
  #signerFor(secrets: string[]): Signer {
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
  const given = Object.values(headers);
  // `Bearer …` and its like: a service names the token that it refuses.
  const tokens = given.map((value) => value.replace(/^[\w-]+ +(?=\S+$)/, ""));
  const values = new Set([...given, ...tokens, query, ...new URLSearchParams(query).values()]);
  return [
    ...secrets.flatMap(({ value }) => [value, value.slice("whsec_".length)]),
    ...[...values].filter(({ length }) => length >= MIN_REDACTED_CHARACTERS),
  ];
}
