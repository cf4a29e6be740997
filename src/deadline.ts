/** Thrown by `inTime`. */
export class LateError extends Error {}

/**
 * The value of `work`, unless it takes too long.
 *
 * @throws LateError when `work` has not settled after `timeoutMs`; it goes on, but nobody waits for it.
 */
export async function inTime<T>(work: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new LateError(`no answer within ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([work, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
