/** Numbers as every page writes them. */

const NUMBER = new Intl.NumberFormat("en");
/** Cut and not rounded: what failed once is never 100 %. */
const PERCENT = new Intl.NumberFormat("en", {
  style: "percent",
  maximumFractionDigits: 1,
  roundingMode: "trunc",
});
const SECOND_MS = 1_000;
const LONG_UNITS = [
  ["days", 86_400_000],
  ["hours", 3_600_000],
  ["minutes", 60_000],
] as const;
const KIB = 1_024;
const NONE = "–";

/** `12,345`. @param value null for one that nobody knows. */
export function number(value: number | null): string {
  return value === null ? NONE : NUMBER.format(value);
}

/** `1 delivery`, `12,345 deliveries`. */
export function count(n: number, one: string, many = `${one}s`): string {
  return `${number(n)} ${n === 1 ? one : many}`;
}

export function deliveries(n: number): string {
  return count(n, "delivery", "deliveries");
}

export function waiting(n: number): string {
  return count(n, "delivery waits", "deliveries wait");
}

/** `3.5 a second`; what would be written as 0 is less than the least that would not. */
export function perSecond(rate: number): string {
  return rate < 0.0005 ? "less than 0.001 a second" : `${number(rate)} a second`;
}

/** `99.2 %`. @param value from 0 to 1; null for none. */
export function share(value: number | null): string {
  return value === null ? NONE : PERCENT.format(value).replace("%", " %");
}

/** `212 ms`, `3.4 s`, `12 minutes`, `3 hours`, `9 days`. */
export function duration(ms: number | null): string {
  if (ms === null) return NONE;
  if (ms < SECOND_MS) return `${Math.round(ms)} ms`;
  const [unit, lengthMs] = LONG_UNITS.find(([, length]) => ms >= 2 * length) ?? [];
  if (unit === undefined) return `${(ms / SECOND_MS).toFixed(1)} s`;
  return `${number(Math.round(ms / lengthMs))} ${unit}`;
}

export function sizeOf(bytes: number): string {
  return bytes < KIB ? `${bytes} B` : `${(bytes / KIB).toFixed(1)} KiB`;
}
