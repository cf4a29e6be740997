/** What a listener answers to a delivery, as it comes over its socket. Pure. */

type OutcomeFrame = { eventId: string; attempt: number; statusCode: number; body: string };

/** null for what is no outcome. */
export function parseFrame(text: string): OutcomeFrame | null {
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch {
    return null;
  }
  const {
    type,
    eventId,
    attempt,
    statusCode,
    body = "",
  } = Object(given) as Record<string, unknown>;
  if (type !== "outcome" || typeof eventId !== "string" || typeof attempt !== "number") return null;
  if (!isStatus(statusCode) || typeof body !== "string") return null;
  return { eventId, attempt, statusCode, body };
}

function isStatus(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 100 && Number(value) <= 599;
}
