import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { unstable_readConfig } from "wrangler";
import { deadLetterReason } from "../../src/domain/dead-letter";
import type { WebhookId } from "../../src/domain/ids";
import { DAY_MS, HOUR_MS, SECOND_MS } from "../../src/domain/time";
import { type Fate, KEEP_AGAIN_SECONDS, MAX_RETRIES, verdictOn } from "../../src/domain/verdict";

const [A, B] = ["wh_a", "wh_b"] as [WebhookId, WebhookId];
const LAST = MAX_RETRIES + 1;
const routed = (owed: WebhookId[], full: WebhookId[] = []): Fate => ({
  kind: "routed",
  owed,
  full,
});

describe("the verdict on a message", () => {
  it.each<[string, Fate, number, ReturnType<typeof verdictOn>]>([
    ["that everyone has", routed([]), 1, { keep: null, retryAfter: null }],
    ["that everyone has at last", routed([]), LAST, { keep: null, retryAfter: null }],
    ["that is owed", routed([A]), 3, { keep: null, retryAfter: 8 }],
    [
      "that is owed too long",
      routed([A]),
      LAST,
      { keep: { because: "subscriber_unreachable", owed: [A] }, retryAfter: null },
    ],
    [
      "for one that is full",
      routed([], [A]),
      1,
      { keep: { because: "full", owed: [A] }, retryAfter: null },
    ],
    [
      "for one that is full, and owed to another",
      routed([A], [B]),
      10,
      { keep: { because: "full", owed: [B] }, retryAfter: 900 },
    ],
    [
      "for one that is full, and owed to another too long",
      routed([A], [B]),
      LAST,
      { keep: { because: "subscriber_unreachable", owed: [A, B] }, retryAfter: null },
    ],
    [
      "that is no event",
      { kind: "unreadable" },
      1,
      { keep: { because: "unreadable", owed: null }, retryAfter: null },
    ],
    [
      "that the platform gave up",
      { kind: "not_consumed", mayBeErased: false },
      1,
      { keep: { because: "not_consumed", owed: null }, retryAfter: null },
    ],
    [
      "that the platform gave up, and perhaps erased",
      { kind: "not_consumed", mayBeErased: true },
      5,
      { keep: null, retryAfter: KEEP_AGAIN_SECONDS },
    ],
    [
      "that the platform gave up, and perhaps erased, for too long",
      { kind: "not_consumed", mayBeErased: true },
      6,
      { keep: { because: "not_consumed", owed: null }, retryAfter: null },
    ],
    [
      "whose day is full",
      { kind: "not_routed", reason: "journal_full" },
      1,
      { keep: { because: "journal_full", owed: null }, retryAfter: null },
    ],
    [
      "that is not routed",
      { kind: "not_routed", reason: "journal_unreachable" },
      MAX_RETRIES,
      { keep: null, retryAfter: 900 },
    ],
    [
      "that is not routed too long",
      { kind: "not_routed", reason: "registry_unreachable" },
      LAST,
      { keep: { because: "registry_unreachable", owed: null }, retryAfter: null },
    ],
    ["that a route may want", { kind: "half_routed" }, 1, { keep: null, retryAfter: 2 }],
    [
      "that a route may have wanted too long",
      { kind: "half_routed" },
      LAST,
      { keep: { because: "subscriber_unreachable", owed: null }, retryAfter: null },
    ],
  ])("%s", (_, fate, attempts, verdict) => {
    expect(verdictOn(fate, attempts)).toEqual(verdict);
  });
});

type Consumer = {
  queue: string;
  max_retries?: number;
  retry_delay?: number;
  dead_letter_queue?: string;
};

describe("the time that a message has", () => {
  /** https://developers.cloudflare.com/queues/platform/limits/ */
  const LONGEST_RETENTION_MS = 14 * DAY_MS;
  const FREE_RETENTION_MS = DAY_MS;
  const consumers: Consumer[] =
    unstable_readConfig({ config: "wrangler.toml" }).queues.consumers ?? [];
  const consumerOf = (name: string) => {
    const found = consumers.find((each) => each.queue === name);
    if (found?.max_retries === undefined || found.retry_delay === undefined) {
      throw new Error(`wrangler.toml does not say how ${name} is retried`);
    }
    return { retries: found.max_retries, delayMs: found.retry_delay * SECOND_MS, ...found };
  };
  const events = consumerOf("leadterra-events");
  const letters = consumerOf("leadterra-dead-letters");

  it("is some 20 hours when an object does not answer", () => {
    let waitedMs = 0;
    for (let attempts = 1; attempts <= MAX_RETRIES; attempts++) {
      const { retryAfter } = verdictOn(routed([A]), attempts);
      waitedMs += (retryAfter ?? 0) * SECOND_MS;
    }
    expect(waitedMs).toBeGreaterThan(20 * HOUR_MS);
    expect(waitedMs).toBeLessThan(FREE_RETENTION_MS);
  });

  it("is no longer than those who have its event know that, but for the first quarter of an hour", () => {
    const half: Fate = { kind: "half_routed" };
    const nobodyHasIt: Fate = { kind: "not_routed", reason: "registry_unreachable" };
    const isOver = (fate: Fate, attempts: number, knownForMs: number) =>
      verdictOn(fate, attempts, knownForMs).retryAfter === null;
    for (const fate of [routed([A]), routed([A], [B]), half]) {
      expect(isOver(fate, 20, HOUR_MS)).toBe(false);
      expect(isOver(fate, 20, HOUR_MS / 2)).toBe(true);
      expect(isOver(fate, 9, -DAY_MS)).toBe(false);
      expect(isOver(fate, 10, -DAY_MS)).toBe(true);
    }
    expect(isOver(nobodyHasIt, 20, -DAY_MS)).toBe(false);
  });

  it("is a day when the code throws, and then there is the dead-letter queue", () => {
    expect(events.retries * events.delayMs).toBeGreaterThan(23 * HOUR_MS);
    expect(events.retries * events.delayMs).toBeLessThan(FREE_RETENTION_MS);
    expect(events.dead_letter_queue).toBe(letters.queue);
    expect(MAX_RETRIES).toBeLessThan(events.retries);
  });

  it("outlasts every retention in the dead-letter queue, when the code throws and when nothing can be kept", () => {
    expect(letters.retries * letters.delayMs).toBeGreaterThan(LONGEST_RETENTION_MS);
    expect(letters.retries * KEEP_AGAIN_SECONDS * SECOND_MS).toBeGreaterThan(LONGEST_RETENTION_MS);
    expect(letters.dead_letter_queue).toBeUndefined();
  });

  it("is said to the operator as it is", () => {
    expect(readFileSync("wrangler.toml", "utf8")).toContain(`after ${MAX_RETRIES} retries`);
  });
});

describe("a reason of release 0.1.0", () => {
  it.each([
    ["unreadable: invalid_json", "unreadable"],
    ["given_up", "unreadable"],
    ["journal_full", "journal_full"],
    ["not_consumed", "not_consumed"],
  ])("%s reads as %s", (stored, reason) => {
    expect(deadLetterReason(stored)).toBe(reason);
  });
});
