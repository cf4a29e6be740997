/**
 * Alerts: what a person should know is told once when it begins, once a day while it lasts, and once when it is over.
 * They leave from the Registry; nobody who raises one waits for it to be sent.
 */
import { Buffer } from "node:buffer";
import { configOf } from "../config";
import {
  type AlertText,
  endsByHand,
  isOfSending,
  isOver,
  type OpenAlert,
  overAlert,
  toldText,
  webhookOf,
} from "../domain/alert";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../domain/time";
import { errorText, logError } from "../log";
import { type Alert, AlertStore } from "../storage/alert-store";
import { oneRun } from "./one-run";
import type { RegistryHost } from "./pushes";

const ALERT_TIMEOUT_MS = 10_000;
/** What was looked for and not found for so long, two sweeps, is over: one that comes and goes is one. */
const GONE_AFTER_MS = 10 * MINUTE_MS;
/** What nobody looks for, and only says itself when it happens, is over after so long. */
const QUIET_AFTER_MS = DAY_MS;
/** Older ones are not worth a word: the relay was away, or runs this release for the first time. */
const STALE_AFTER_MS = 2 * DAY_MS;
const MIN_BACKOFF_MS = MINUTE_MS;
const MAX_BACKOFF_MS = HOUR_MS;

/** What the sweep found; `looked` are the causes that it looked for, `sinceMs` when it began: 0.1.0 does not say. */
export type Findings = { raised: AlertText[]; looked: string[]; sinceMs?: number };

export class Alerts {
  readonly #host: RegistryHost;
  readonly #store: AlertStore;

  constructor(host: RegistryHost) {
    this.#host = host;
    this.#store = new AlertStore(host.tables);
  }

  /** Keeps it, for the overview too; `send` tells it. */
  raise(alert: AlertText): void {
    this.#store.forget(overAlert(alert).cause);
    this.#store.raise(alert, Date.now());
  }

  /** Keeps what was found, and ends what was looked for and is not so any more. */
  report({ raised, looked, sinceMs = Date.now() - GONE_AFTER_MS }: Findings): void {
    for (const alert of raised) if (!this.#isMoot(alert)) this.raise(alert);
    const nowMs = Date.now();
    for (const alert of this.#store.all()) {
      const absentMs = nowMs - alert.raisedAtMs;
      // What a person ended is over at once; what began while the sweep looked is not.
      const goneAfterMs = endsByHand(alert) ? nowMs - sinceMs : GONE_AFTER_MS;
      const lastsMs = looked.includes(alert.cause) ? goneAfterMs : QUIET_AFTER_MS;
      if (absentMs >= lastsMs && !(isOver(alert) && alert.sentAtMs === null))
        this.#end(alert, nowMs);
    }
  }

  /** Forgets what is not so any more and is no news either. */
  forgetMoot(): void {
    for (const alert of this.#store.all()) {
      if (this.#isMoot(alert)) this.#store.forget(alert.cause);
    }
  }

  /** Its webhook is deleted; or is held now, which a person did or is told. */
  #isMoot(alert: AlertText): boolean {
    const id = webhookOf(alert);
    if (id === null) return false;
    const webhook = this.#host.webhooks().find((each) => each.id === id);
    return webhook === undefined || (webhook.status !== "active" && isOfSending(alert));
  }

  /** What is so, as far as was found, and when that was. */
  open(): OpenAlert[] {
    const sinceMs = Date.now() - QUIET_AFTER_MS;
    return this.#store
      .all()
      .filter((alert) => !isOver(alert) && alert.raisedAtMs > sinceMs)
      .map(({ cause, text, raisedAtMs: foundAtMs }) => ({ cause, text, foundAtMs }));
  }

  /** Since when `ALERT_URL` takes no alerts, Unix milliseconds; null while it does. */
  refusedSince(): { refusedSinceMs: number; statusCode: number | null } | null {
    const url = this.#url;
    const refusals = url && this.#store.refusals(markOf(url));
    if (!refusals) return null;
    return { refusedSinceMs: refusals.sinceMs, statusCode: refusals.statusCode };
  }

  /** Sends what is due, one after the other; after a refusal not before its backoff has passed. Never throws. */
  readonly send = oneRun(async () => {
    try {
      while (await this.#sendNext());
    } catch (thrown) {
      logError("alert.not_sent", { error: errorText(thrown) });
    }
  });

  /** Whether another may follow. */
  async #sendNext(): Promise<boolean> {
    const url = this.#url;
    if (url === null) return false;
    const mark = markOf(url);
    if ((this.#store.refusals(mark)?.askAgainAtMs ?? 0) > Date.now()) return false;
    const alert = this.#store.firstDue(Date.now());
    if (alert === null) return false;
    const { taken, statusCode } = await post(url, toldText(alert, this.#host.webhooks()));
    if (!taken) {
      this.#refused(mark, statusCode);
      return false;
    }
    this.#store.accepted();
    if (isOver(alert)) this.#store.forget(alert.cause);
    else this.#store.sent(alert.cause, Date.now());
    return true;
  }

  #refused(mark: number, statusCode: number | null): void {
    const nowMs = Date.now();
    const before = this.#store.refusals(mark);
    const count = (before?.count ?? 0) + 1;
    const backoffMs = Math.min(MIN_BACKOFF_MS * 2 ** (count - 1), MAX_BACKOFF_MS);
    const sinceMs = before?.sinceMs ?? nowMs;
    this.#store.refused(mark, { sinceMs, statusCode, count, askAgainAtMs: nowMs + backoffMs });
  }

  /** Who was told that it began is told that it is over. */
  #end(alert: Alert, nowMs: number): void {
    this.#store.forget(alert.cause);
    const isNews = alert.sentAtMs !== null && nowMs - alert.raisedAtMs < STALE_AFTER_MS;
    if (isNews && !isOver(alert)) this.#store.raise(overAlert(alert), nowMs);
  }

  get #url(): string | null {
    return configOf(this.#host.env()).alertUrl;
  }
}

/** By which a URL is known again: it may hold a secret, and is not stored. */
function markOf(url: string): number {
  return [...url].reduce((mark, each) => (Math.imul(mark, 31) + each.charCodeAt(0)) | 0, 7);
}

/** Posts `{"text": …}`, the form of Slack's incoming webhooks. */
async function post(url: string, text: string) {
  try {
    const { target, headers } = requestTo(url);
    const response = await fetch(target, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify({ text }),
      redirect: "manual",
      signal: AbortSignal.timeout(ALERT_TIMEOUT_MS),
    });
    await response.body?.cancel();
    if (!response.ok) logError("alert.not_sent", { status: response.status });
    return { taken: response.ok, statusCode: response.status };
  } catch (thrown) {
    // The message of a failed fetch may hold the URL, which is a secret: its name tells enough.
    const error = thrown instanceof Error ? thrown.name : errorText(thrown);
    logError("alert.not_sent", { error });
    return { taken: false, statusCode: null };
  }
}

/** `fetch` leaves the credentials of a URL out; they go as Basic (RFC 7617). */
function requestTo(url: string): { target: string; headers: Record<string, string> } {
  const target = new URL(url);
  const { username, password } = target;
  if (username === "" && password === "") return { target: url, headers: {} };
  target.username = "";
  target.password = "";
  // Byte by byte: a % that escapes nothing is one.
  const given = `${username}:${password}`.replace(/%([\da-f]{2})/gi, (_, hex) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  const authorization = `Basic ${Buffer.from(given, "latin1").toString("base64")}`;
  return { target: target.href, headers: { authorization } };
}
