/** Bars over time as SVG: what came in beside what went out, each step with its numbers on hover. */
import { exactTime } from "./time";
import { useViewer } from "./viewer";

export type Step = { atMs: number; events: number; delivered: number; failedAttempts: number };

const WIDTH = 720;
const HEIGHT = 140;
const GAP = 0.25;
/** Room for the numbers at the side and below. */
const LEFT = 40;
const BOTTOM = 18;
/** Times along the axis. */
const MARKS = 6;

/**
 * @param steps oldest first, of equal length.
 * @param showsEvents a webhook's own chart has no events.
 */
export function Chart({
  steps,
  label,
  showsEvents = true,
}: {
  steps: readonly Step[];
  label: string;
  showsEvents?: boolean;
}) {
  const { zone } = useViewer();
  const highest = Math.max(
    1,
    ...steps.map((step) =>
      Math.max(showsEvents ? step.events : 0, step.delivered + step.failedAttempts),
    ),
  );
  const width = (WIDTH - LEFT) / Math.max(1, steps.length);
  const heightOf = (value: number) => (value / highest) * (HEIGHT - BOTTOM - 8);
  const floor = HEIGHT - BOTTOM;
  const bars = width * (1 - GAP);
  const half = showsEvents ? bars / 2 : bars;
  return (
    <figure class="chart">
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        role="img"
        aria-label={`${label}. ${summary(steps, showsEvents)}`}
      >
        <line class="axis" x1={LEFT} x2={WIDTH} y1={floor} y2={floor} />
        {[highest / 2, highest].map((value) => (
          <>
            <line
              class="grid"
              x1={LEFT}
              x2={WIDTH}
              y1={floor - heightOf(value)}
              y2={floor - heightOf(value)}
            />
            <text class="tick" x={LEFT - 6} y={floor - heightOf(value) + 4} text-anchor="end">
              {short(value)}
            </text>
          </>
        ))}
        <text class="tick" x={LEFT - 6} y={floor} text-anchor="end">
          0
        </text>
        {steps.map((step, index) => {
          const x = LEFT + index * width + (width * GAP) / 2;
          const outX = showsEvents ? x + half : x;
          const failed = heightOf(step.failedAttempts);
          const delivered = heightOf(step.delivered);
          return (
            <g>
              <title>{describe(step, zone, showsEvents)}</title>
              <rect class="hit" x={LEFT + index * width} y={0} width={width} height={floor} />
              {showsEvents && (
                <rect
                  class="events"
                  x={x}
                  y={floor - heightOf(step.events)}
                  width={half}
                  height={heightOf(step.events)}
                />
              )}
              <rect
                class="delivered"
                x={outX}
                y={floor - delivered}
                width={half}
                height={delivered}
              />
              <rect
                class="failed"
                x={outX}
                y={floor - delivered - failed}
                width={half}
                height={failed}
              />
            </g>
          );
        })}
        <Hours steps={steps} zone={zone} />
      </svg>
      <figcaption>
        {showsEvents && <span class="key events">events in</span>}
        <span class="key delivered">delivered</span>
        <span class="key failed">failed attempts</span>
      </figcaption>
    </figure>
  );
}

/** Where a bar begins: a few times along the axis, and now at its end. */
function Hours({ steps, zone }: { steps: readonly Step[]; zone: string }) {
  const width = (WIDTH - LEFT) / Math.max(1, steps.length);
  const every = Math.max(1, Math.ceil(steps.length / MARKS));
  const marked = steps.flatMap((step, index) => (index % every === 0 ? [{ ...step, index }] : []));
  return (
    <>
      {marked.map(({ atMs, index }) => (
        <text class="tick" x={LEFT + index * width} y={HEIGHT - 4}>
          {shortTime(atMs, zone)}
        </text>
      ))}
      <line class="now" x1={WIDTH} x2={WIDTH} y1={0} y2={HEIGHT - BOTTOM} />
      <text class="tick" x={WIDTH} y={HEIGHT - 4} text-anchor="end">
        now
      </text>
    </>
  );
}

function describe(
  { atMs, events, delivered, failedAttempts }: Step,
  zone: string,
  withEvents: boolean,
) {
  const parts = [
    ...(withEvents ? [`${events} events in`] : []),
    `${delivered} delivered`,
    `${failedAttempts} failed attempts`,
  ];
  return `${exactTime(atMs, zone)}: ${parts.join(", ")}`;
}

function summary(steps: readonly Step[], withEvents: boolean): string {
  const total = (pick: (step: Step) => number) => steps.reduce((sum, step) => sum + pick(step), 0);
  const out = `${total((step) => step.delivered)} delivered, ${total((step) => step.failedAttempts)} failed attempts`;
  return withEvents ? `${total((step) => step.events)} events in, ${out}` : out;
}

function shortTime(ms: number, zone: string): string {
  return new Intl.DateTimeFormat("en-GB", {
    weekday: "short",
    hour: "2-digit",
    minute: "2-digit",
    timeZone: zone,
  }).format(ms);
}

/** `1.2k`. */
function short(value: number): string {
  return new Intl.NumberFormat("en", { notation: "compact" }).format(value);
}
