/** Lengths of time in milliseconds. Days are UTC days: there is no summer time in them. */
export const SECOND_MS = 1_000;
export const MINUTE_MS = 60 * SECOND_MS;
export const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;

/** The start of its hour. */
export function hourOf(ms: number): number {
  return Math.floor(ms / HOUR_MS) * HOUR_MS;
}

/** The first of the times that are known; null when none is. */
export function earliest(...times: readonly (number | null | undefined)[]): number | null {
  const known = times.filter((time) => time != null);
  return known.length === 0 ? null : Math.min(...known);
}

export function latest(...times: readonly (number | null)[]): number | null {
  const known = times.filter((time) => time !== null);
  return known.length === 0 ? null : Math.max(...known);
}

export function iso(ms: number): string;
export function iso(ms: number | null): string | null;
export function iso(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}

/** Names as they are outside: a moment in time loses its unit, since it is no number any more. */
export type ShownName<K> = K extends `${infer Name}Ms`
  ? Name extends `${string}At` | "at" | `${string}Since` | "since"
    ? Name
    : K
  : K;

export type Shown<T> = {
  [K in keyof T as ShownName<K>]: ShownName<K> extends K
    ? T[K]
    : null extends T[K]
      ? string | null
      : string;
};

/** A thing as it is told outside: moments in ISO 8601. */
export function shown<T extends object>(thing: T): Shown<T> {
  const fields = Object.entries(thing).map(([name, value]) =>
    /(^at|At|^since|Since)Ms$/.test(name)
      ? [name.slice(0, -"Ms".length), iso(value)]
      : [name, value],
  );
  return Object.fromEntries(fields);
}
