/** What is sent, stored or planned together is bounded by the bytes of its bodies. Pure. */

/**
 * Splits `all`, in its order, into portions that are within the bounds; what is too large by itself is one of its own.
 *
 * @param bounds `maxBytes` and, where it matters, `maxCount` of a portion.
 */
export function portionsOf<T>(
  all: readonly T[],
  bytesOf: (item: T) => number,
  { maxBytes, maxCount = Number.POSITIVE_INFINITY }: { maxBytes: number; maxCount?: number },
): T[][] {
  const portions: T[][] = [];
  let room = 0;
  for (const item of all) {
    const last = portions.at(-1);
    room -= bytesOf(item);
    if (last !== undefined && last.length < maxCount && room >= 0) {
      last.push(item);
    } else {
      portions.push([item]);
      room = maxBytes - bytesOf(item);
    }
  }
  return portions;
}

/** As many of the first as come to no more than `maxBytes`, and the very first in any case. */
export function firstWithin<T>(all: readonly T[], bytesOf: (item: T) => number, maxBytes: number) {
  const [first = []] = portionsOf(all, bytesOf, { maxBytes });
  return first;
}

/**
 * Makes calls at the same time while what is in them comes to no more than `maxBytes`; the others begin in their order
 * as those end. What there is room for begins at once, and what is too large by itself goes alone.
 */
export function sharedRoom<T>(bytesOf: (item: T) => number, maxBytes: number) {
  const waiting: { bytes: number; begin: () => void }[] = [];
  let room = maxBytes;
  const beginNext = () => {
    for (let [first] = waiting; first !== undefined && first.bytes <= room; [first] = waiting) {
      waiting.shift();
      room -= first.bytes;
      first.begin();
    }
  };
  return async <R>(items: readonly T[], call: () => Promise<R>): Promise<R> => {
    const total = items.reduce((sum, item) => sum + bytesOf(item), 0);
    const bytes = Math.min(total, maxBytes);
    await new Promise<void>((begin) => {
      waiting.push({ bytes, begin });
      beginNext();
    });
    try {
      return await call();
    } finally {
      room += bytes;
      beginNext();
    }
  };
}
