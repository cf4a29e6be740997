import { describe, expect, it } from "vitest";
import { renderMetrics } from "../../src/domain/open-metrics";
import { countEnding, countOutcome, DURATION_BOUNDS, storedTotals } from "../../src/domain/totals";

describe("the totals of a webhook", () => {
  it("count attempts by outcome, and the time that answers took", () => {
    const totals = storedTotals.parse({});
    countOutcome(totals, { error: null, durationMs: 50, statusCode: 200 });
    countOutcome(totals, { error: null, durationMs: 51, statusCode: 200 });
    countOutcome(totals, { error: "status", durationMs: 61_000, statusCode: 500 });
    countOutcome(totals, { error: "timeout", durationMs: 10_000, statusCode: null });
    expect(totals.attempts).toEqual({ success: 2, status: 1, timeout: 1 });
    expect(totals.durations).toHaveLength(DURATION_BOUNDS.length + 1);
    expect(totals.durations.slice(0, 3)).toEqual([1, 1, 0]);
    expect(totals.durations.at(-1)).toBe(1);
    expect(totals.durationSumMs).toBe(61_101);
  });

  it("count deliveries by how they ended, as often as they end", () => {
    const totals = storedTotals.parse({});
    for (const status of ["undeliverable", "delivered", "undeliverable"] as const) {
      countEnding(totals, status);
    }
    expect(totals.deliveries).toEqual({ undeliverable: 2, delivered: 1 });
  });
});

describe("OpenMetrics text", () => {
  it("has a type, a unit where there is one, a help text and an end", () => {
    const text = renderMetrics([
      {
        name: "relay_events",
        type: "counter",
        help: "Events.",
        samples: [{ labels: { event: "a" }, value: 3 }],
      },
      { name: "relay_oldest_due_seconds", type: "gauge", help: "An age.", samples: [] },
      { name: "relay_dead_letters", type: "gauge", help: "Now.", samples: [{ value: 0.5 }] },
    ]);
    expect(text).toBe(
      [
        "# TYPE relay_events counter",
        "# HELP relay_events Events.",
        'relay_events_total{event="a"} 3',
        "# TYPE relay_oldest_due_seconds gauge",
        "# UNIT relay_oldest_due_seconds seconds",
        "# HELP relay_oldest_due_seconds An age.",
        "# TYPE relay_dead_letters gauge",
        "# HELP relay_dead_letters Now.",
        "relay_dead_letters 0.5",
        "# EOF",
        "",
      ].join("\n"),
    );
  });

  it("has cumulative buckets up to infinity", () => {
    const lines = renderMetrics([
      {
        name: "relay_attempt_duration_seconds",
        type: "histogram",
        help: "How long.",
        bounds: [0.5, 10],
        histograms: [{ labels: { webhook: "crm" }, counts: [2, 0, 1], sum: 12.5 }],
      },
    ]).split("\n");
    expect(lines.slice(3, 8)).toEqual([
      'relay_attempt_duration_seconds_bucket{webhook="crm",le="0.5"} 2',
      'relay_attempt_duration_seconds_bucket{webhook="crm",le="10.0"} 2',
      'relay_attempt_duration_seconds_bucket{webhook="crm",le="+Inf"} 3',
      'relay_attempt_duration_seconds_count{webhook="crm"} 3',
      'relay_attempt_duration_seconds_sum{webhook="crm"} 12.5',
    ]);
  });

  it("escapes what stands in labels and help texts", () => {
    const text = renderMetrics([
      {
        name: "a",
        type: "gauge",
        help: 'x\\y\n"z"',
        samples: [{ labels: { l: 'q"\\\n' }, value: 1 }],
      },
    ]);
    expect(text).toContain('# HELP a x\\\\y\\n\\"z\\"');
    expect(text).toContain('a{l="q\\"\\\\\\n"} 1');
  });
});
