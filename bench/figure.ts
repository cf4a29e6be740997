/** One line of the table of benchmarks: what was measured, against which bar, and whether it was met. */
export type Figure = {
  name: string;
  measured: string;
  /** What is not as it is deployed, so that this can be measured. */
  changed?: string;
  /** The median of the runs. */
  value: number;
  /** Lowest and highest of the runs; null when there is nothing to spread. */
  spread: [number, number] | null;
  runs: number;
  /** With its unit; empty when there is none to meet. */
  bar: string;
  met: boolean | null;
  details?: Record<string, unknown>;
};

/** What `npm run bench -- NAME` runs. */
export type Benchmark = {
  name: string;
  run(options: BenchmarkOptions): Promise<Figure[]>;
};

export type BenchmarkOptions = {
  /** Says what goes on, one line each. */
  progress: (text: string) => void;
  /** How long the soak lasts. */
  minutes: number;
};

/** What a figure must reach. */
export type Bar = { text: string; isMet(value: number): boolean };

export function atLeast(limit: number): Bar {
  return { text: `>= ${limit.toFixed(2)}`, isMet: (value) => value >= limit };
}

/** @param unit as printed, with its space: ` ms`. */
export function atMost(limit: number, unit = ""): Bar {
  return { text: `<= ${limit}${unit}`, isMet: (value) => value <= limit };
}

/** The figure of several runs: their median against the bar, if there is one. */
export function figureOf(
  { bar, ...named }: { name: string; measured: string; changed?: string; bar: Bar | null },
  values: readonly number[],
  details?: Record<string, unknown>,
): Figure {
  const value = median(values);
  return {
    ...named,
    value,
    spread: values.length < 2 ? null : [Math.min(...values), Math.max(...values)],
    runs: values.length,
    bar: bar?.text ?? "",
    met: bar?.isMet(value) ?? null,
    ...(details === undefined ? {} : { details }),
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

/** @param share 0.99 for the p99, by the nearest rank. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.ceil(sorted.length * share) - 1] ?? Number.NaN;
}

/** Digits that mean something in a table and in a file. */
export function rounded(value: number): number {
  return Number(value.toPrecision(4));
}

/**
 * Runs each side `times` times, A B B A A B …, so that what drifts weighs on all of them.
 *
 * @returns what each side brought, in the order of its runs.
 */
export async function interleave<Side extends string>(
  sides: readonly Side[],
  times: number,
  run: (side: Side, time: number) => Promise<number>,
): Promise<Record<Side, number[]>> {
  const found = Object.fromEntries(sides.map((side) => [side, []])) as unknown as Record<
    Side,
    number[]
  >;
  for (let time = 0; time < times; time++) {
    const order = time % 2 === 0 ? sides : sides.toReversed();
    for (const side of order) found[side].push(await run(side, time));
  }
  return found;
}

/** Run by run: each pair was measured one right after the other. */
export function ratios(above: readonly number[], below: readonly number[]): number[] {
  return above.map((value, index) => value / (below[index] ?? Number.NaN));
}

/** Median, lowest and highest, for the details of a figure. */
export function summary(values: readonly number[]) {
  return {
    median: rounded(median(values)),
    min: rounded(Math.min(...values)),
    max: rounded(Math.max(...values)),
  };
}
