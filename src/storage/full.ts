/** Whether a write failed because the object's 10 GB are used up. */
export function isFull(thrown: unknown): boolean {
  return thrown instanceof Error && /SQLITE_FULL|database or disk is full/i.test(thrown.message);
}
