/** An object takes 10 GB: what is so near them is told before a write fails. */
const NEARLY_FULL_BYTES = 9.5 * 1024 ** 3;

/** Whether a write failed because the object's 10 GB are used up. */
export function isFull(thrown: unknown): boolean {
  return thrown instanceof Error && /SQLITE_FULL|database or disk is full/i.test(thrown.message);
}

/** Whether somebody has to make room soon. */
export function isNearlyFull({ databaseSize }: SqlStorage): boolean {
  return databaseSize >= NEARLY_FULL_BYTES;
}
