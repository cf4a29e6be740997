/** What Prometheus scrapes while all this goes on: no counter ever falls, and in the end each attempt counts once. */
import type { Family } from "../../src/domain/open-metrics";
import type { Evidence } from "./evidence";
import { Look } from "./look";

export class CounterRules {
  readonly #evidence: Evidence;
  /** The most that was seen of each series. */
  #seen = new Map<string, number>();

  constructor(evidence: Evidence) {
    this.#evidence = evidence;
  }

  /** A scrape begins; what comes of it may not be less than what one said that was over by now. */
  begins(): (families: readonly Family[]) => void {
    const floors = new Map(this.#seen);
    return (families) => {
      for (const [series, value] of families.flatMap(seriesOf)) {
        // Its webhook was deleted while the scrape was under way.
        if ([...this.#evidence.deleted].some((id) => series.includes(id))) continue;
        const floor = floors.get(series) ?? 0;
        const said = () => `${series} was ${floor} and is ${value}`;
        this.#evidence.require(value >= floor, "a counter never falls", said);
        this.#seen.set(series, Math.max(value, this.#seen.get(series) ?? 0));
      }
    };
  }

  /** Call it when everything is at rest. */
  checkAtRest(families: readonly Family[]): void {
    const counted = new Map(families.flatMap(seriesOf));
    for (const { object, keptAll } of this.#evidence.books.values()) {
      if (!keptAll || this.#evidence.deleted.has(object.name)) continue;
      const made = Look.at(object.storage, "disk")
        .deliveries()
        .reduce((sum, { attempts }) => sum + attempts, 0);
      const said = [...counted]
        .filter(([series]) => series.startsWith("relay_attempts ") && series.includes(object.name))
        .reduce((sum, [, count]) => sum + count, 0);
      const about = `${object.name} made ${made} attempts and counts ${said}`;
      this.#evidence.require(said === made, "each attempt counts once", about);
    }
  }
}

/** Everything in it that may only grow. */
function seriesOf(family: Family): [series: string, value: number][] {
  const { name } = family;
  if (family.type === "histogram") {
    return family.histograms.flatMap(({ labels, counts, sum }) => [
      ...counts.map((count, bucket): [string, number] => [key(name, { ...labels, bucket }), count]),
      [key(`${name}_sum`, labels), sum],
    ]);
  }
  if (family.type === "gauge") return [];
  return family.samples.map(({ labels, value }) => [key(name, labels), value]);
}

function key(name: string, labels: object = {}): string {
  return `${name} ${JSON.stringify(labels)}`;
}
