/** Bars over time as SVG: what came in beside what went out, each step with its numbers on hover. */
import { type Step, sumOf } from "../../operations/stats";
import { CLOCK, exactTime, timesAs } from "./time";

/** What a bar is drawn of, from its foot up, with the words for many of it and for one. */
const IN = [["events", "events in", "event in"]] as const;
const OUT = [
  ["delivered", "delivered", "delivered"],
  ["failedAttempts", "failed attempts", "failed attempt"],
] as const;
type Part = (typeof IN | typeof OUT)[number];

const tickOf = timesAs({ weekday: "short", ...CLOCK });
const COMPACT = new Intl.NumberFormat("en", { notation: "compact" });
const WIDTH = 720;
const HEIGHT = 140;
const GAP = 0.25;
/** Room for the numbers at the side and below. */
const LEFT = 40;
const BOTTOM = 18;
const FLOOR = HEIGHT - BOTTOM;
const MARKS = 6;

type ChartProps = {
  /** Oldest first, of equal length. */
  steps: readonly Step[];
  label: string;
  /** A webhook's own chart has no events. */
  showsEvents?: boolean;
};

export function Chart({ steps, label, showsEvents = true }: ChartProps) {
  const bars: readonly (readonly Part[])[] = showsEvents ? [IN, OUT] : [OUT];
  const parts = bars.flat();
  const most = Math.max(1, ...steps.flatMap((step) => bars.map((bar) => countIn(step, bar))));
  // Its half is a whole number too.
  const highest = 2 * Math.ceil(most / 2);
  const heightOf = (value: number) => (value / highest) * (FLOOR - 8);
  const topOf = (value: number) => FLOOR - heightOf(value);
  const width = (WIDTH - LEFT) / Math.max(1, steps.length);
  const every = Math.max(1, Math.ceil(steps.length / MARKS));
  const barWidth = (width * (1 - GAP)) / bars.length;
  const total = Object.fromEntries(parts.map(([name]) => [name, sumOf(steps, name)])) as Step;
  return (
    <figure class="chart">
      <section class="wide" aria-label={label} tabindex={0}>
        <svg
          viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
          role="img"
          aria-label={`${label}. ${told(total, parts)}`}
        >
          <line class="axis" x1={LEFT} x2={WIDTH} y1={FLOOR} y2={FLOOR} />
          {[highest / 2, highest].map((value) => (
            <line class="grid" x1={LEFT} x2={WIDTH} y1={topOf(value)} y2={topOf(value)} />
          ))}
          {steps.map((step, index) => {
            const x = LEFT + index * width;
            return (
              <g>
                <title>{`${exactTime(step.atMs)}: ${told(step, parts)}`}</title>
                <rect class="hit" x={x} y={0} width={width} height={FLOOR} />
                {bars.map((bar, place) =>
                  bar.map(([name], above) => (
                    <rect
                      class={name}
                      x={x + (width * GAP) / 2 + place * barWidth}
                      y={topOf(countIn(step, bar.slice(0, above + 1)))}
                      width={barWidth}
                      height={heightOf(step[name] ?? 0)}
                    />
                  )),
                )}
              </g>
            );
          })}
          {/* Where a bar begins, a few times along the axis; and now, at its end. */}
          {steps.map(
            ({ atMs }, index) =>
              index % every === 0 && (
                <text class="tick" x={LEFT + index * width} y={HEIGHT - 4}>
                  {tickOf(atMs)}
                </text>
              ),
          )}
          <line class="now" x1={WIDTH} x2={WIDTH} y1={0} y2={FLOOR} />
          <text class="tick" x={WIDTH} y={HEIGHT - 4} text-anchor="end">
            now
          </text>
        </svg>
        {/* It stays in sight, however far the bars are scrolled. */}
        <svg class="side" viewBox={`0 0 ${LEFT} ${HEIGHT}`} aria-hidden="true">
          {[0, highest / 2, highest].map((value) => (
            <text
              class="tick"
              x={LEFT - 6}
              y={topOf(value) + (value === 0 ? 0 : 4)}
              text-anchor="end"
            >
              {COMPACT.format(value)}
            </text>
          ))}
        </svg>
      </section>
      <figcaption>
        {parts.map(([name, words]) => (
          <span class={`key ${name}`}>{words}</span>
        ))}
      </figcaption>
    </figure>
  );
}

function countIn(step: Step, bar: readonly Part[]): number {
  return bar.reduce((sum, [name]) => sum + (step[name] ?? 0), 0);
}

/** `12 events in, 11 delivered, 1 failed attempt`. */
function told(step: Step, parts: readonly Part[]): string {
  return parts
    .map(([name, many, one]) => `${step[name] ?? "unknown"} ${step[name] === 1 ? one : many}`)
    .join(", ");
}
