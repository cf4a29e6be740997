/** Calls with an `Idempotency-Key`: the same call is made once, and answered as often as it comes. */
import { DAY_MS, MINUTE_MS } from "../domain/time";
import type { RegistryStore, StoredAnswer } from "../storage/registry-store";

/** How long a call gets the same answer. */
const ANSWERS_KEPT_MS = DAY_MS;
/** A call that runs for longer has died with its Worker. */
const MAX_CALL_MS = 2 * MINUTE_MS;

/** `caller` with `key` says which call it is, and `call`, a hash of method, path and body, what it asks for. */
export type Call = { caller: string; key: string; call: string };

/** `begun`: go on, then `end`; or the answer it was given before; or why it may not go on. */
export type Begun = {
  state: "begun" | "running" | "reused" | "answered";
  answer: StoredAnswer | null;
};

export class Calls {
  readonly #store: RegistryStore;

  constructor(store: RegistryStore) {
    this.#store = store;
  }

  begin({ caller, key, call }: Call): Begun {
    const nowMs = Date.now();
    const keptFromMs = nowMs - ANSWERS_KEPT_MS;
    this.#store.deleteAnswersBefore(keptFromMs);
    const found = this.#store.answer(caller, key);
    const stored = found !== null && found.atMs >= keptFromMs ? found : null;
    const died = stored?.answer === null && stored.atMs < nowMs - MAX_CALL_MS;
    if (stored === null || (died && stored.call === call)) {
      this.#store.saveAnswer(caller, key, { call, atMs: nowMs, answer: null });
      return { state: "begun", answer: null };
    }
    if (stored.call !== call) return { state: "reused", answer: null };
    return { state: stored.answer === null ? "running" : "answered", answer: stored.answer };
  }

  /** @param answer null when it is not to be kept: the call may be made again. */
  end({ caller, key, call }: Call, answer: StoredAnswer | null): void {
    if (answer === null) this.#store.deleteAnswer(caller, key);
    else this.#store.saveAnswer(caller, key, { call, atMs: Date.now(), answer });
  }
}
