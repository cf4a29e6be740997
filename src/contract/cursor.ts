/** Where a page of a list ends: opaque outside, read strictly when it comes back. */

/** `seq.index`: where a page ends in the order of arrival; null for anything else. */
export function parsePosition(text: string): { seq: number; index: number } | null {
  const match = /^(\d{1,15})\.(\d{1,4})$/.exec(text);
  return match === null ? null : { seq: Number(match[1]), index: Number(match[2]) };
}

export function formatPosition({ seq, index }: { seq: number; index: number }): string {
  return `${seq}.${index}`;
}
