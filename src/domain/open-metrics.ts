/** OpenMetrics 1.0, the text that Prometheus reads (https://prometheus.io/docs/specs/om/open_metrics_spec/). Pure. */

export const OPEN_METRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Readonly<Record<string, string>>;
export type Sample = { labels?: Labels; value: number };
type Histogram = {
  labels?: Labels;
  /** Not cumulative; one more than there are bounds. */
  counts: readonly number[];
  sum: number;
};

export type Family = { name: string; help: string } & (
  | { type: "counter" | "gauge"; samples: readonly Sample[] }
  | { type: "histogram"; bounds: readonly number[]; histograms: readonly Histogram[] }
);

export function renderMetrics(families: readonly Family[]): string {
  return `${families.flatMap(linesOf).join("\n")}\n# EOF\n`;
}

function linesOf(family: Family): string[] {
  const { name, type, help } = family;
  const unit = name.endsWith("_seconds") ? [`# UNIT ${name} seconds`] : [];
  const head = [`# TYPE ${name} ${type}`, ...unit, `# HELP ${name} ${escaped(help)}`];
  if (family.type === "histogram") {
    const { bounds, histograms } = family;
    return [...head, ...histograms.flatMap((each) => histogramLines(name, bounds, each))];
  }
  const suffix = type === "counter" ? "_total" : "";
  const samples = family.samples.map(({ labels, value }) => line(name + suffix, labels, value));
  return [...head, ...samples];
}

function histogramLines(
  name: string,
  bounds: readonly number[],
  { labels, counts, sum }: Histogram,
): string[] {
  let below = 0;
  const buckets = [...bounds, Number.POSITIVE_INFINITY].map((bound, index) => {
    below += counts[index] ?? 0;
    return line(`${name}_bucket`, { ...labels, le: number(bound, true) }, below);
  });
  return [...buckets, line(`${name}_count`, labels, below), line(`${name}_sum`, labels, sum)];
}

function line(name: string, labels: Labels = {}, value: number): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`);
  return `${name}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`} ${number(value)}`;
}

/** @param canonical as the label `le` wants it: with a point, also for whole numbers. */
function number(value: number, canonical = false): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  return canonical && Number.isInteger(value) ? value.toFixed(1) : String(value);
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"');
}
