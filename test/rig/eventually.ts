import { vi } from "vitest";

/**
 * Longer than a machine that does other work too takes for what should happen at once, and shorter than the 10 s after
 * which a standing alarm makes up for what was forgotten.
 */
const WITHIN_MS = 8_000;

/** Resolves once `check` does not throw any more. Vitest's own limit is a second, which a busy machine misses. */
export function eventually<T>(
  check: () => T | Promise<T>,
  options: { timeout?: number; interval?: number } = {},
): Promise<T> {
  return vi.waitFor(check, { timeout: WITHIN_MS, ...options });
}
