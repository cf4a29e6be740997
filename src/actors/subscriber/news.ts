/** What the Registry is to hear of a webhook, for the relay's own events: told by alarm until it has answered. */
import { Backoff } from "../../domain/backoff";
import type { EventId } from "../../domain/ids";
import { answered } from "../../domain/no-answer";
import { MINUTE_MS } from "../../domain/time";
import { errorText, logWarning } from "../../log";
import type { WebhookNews } from "../outbox";
import type { Engine } from "./engine";

type NewsHost = {
  engine(): Pick<Engine, "ledger" | "deliveries">;
  tell(news: Omit<WebhookNews, "webhookId">): Promise<unknown>;
};

export class News {
  readonly #host: NewsHost;
  /** What only counts is told once a minute. */
  #countedAgainAtMs = 0;
  #triedAgainAtMs = 0;
  readonly #backoff = new Backoff();
  /** Of what is told until it is answered, and grows meanwhile. */
  #id: number | null = null;

  constructor(host: NewsHost) {
    this.#host = host;
  }

  /** When there is something to tell, Unix milliseconds; null when there is not. */
  nextAtMs(): number | null {
    const { happenings } = this.#host.engine().ledger.tally;
    if (happenings.length === 0) return null;
    const isCount = happenings.every(({ eventId }) => eventId !== null);
    return Math.max(this.#triedAgainAtMs, isCount ? this.#countedAgainAtMs : 0);
  }

  /** Tells what is due. Never throws: deliveries do not wait for news. */
  async tell(): Promise<void> {
    const nextMs = this.nextAtMs();
    if (nextMs === null || nextMs > Date.now()) return;
    const { ledger, deliveries } = this.#host.engine();
    const told = ledger.tally.telling().map(({ eventId, ...each }) => {
      const logged = eventId === null ? null : deliveries.one(eventId as EventId);
      if (logged === null) return { ...each, delivery: null };
      // What services answered is not told.
      const { attemptLog: _, ...delivery } = logged;
      return { ...each, delivery };
    });
    try {
      this.#id ??= Math.random();
      answered(await this.#host.tell({ id: this.#id, told, health: deliveries.health() }));
      this.#id = null;
      ledger.tally.told();
      this.#backoff.succeeded();
      this.#countedAgainAtMs = Date.now() + MINUTE_MS;
    } catch (thrown) {
      logWarning("news.not_told", { error: errorText(thrown) });
      this.#triedAgainAtMs = Date.now() + this.#backoff.failed();
    }
  }
}
