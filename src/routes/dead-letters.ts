/** /v1/dead-letters: what could not be handed over. */
import { Hono } from "hono";
import * as z from "zod";
import { badCursor } from "../contract/problem";
import { deleteDeadLetter, listDeadLetters, redriveDeadLetter } from "../operations/dead-letters";
import type { DeadLetterPosition } from "../storage/dead-letter-store";
import type { ApiEnv } from "./auth";
import { problem } from "./problem";
import { cursorParam, limitParam, readQuery, takesNothing } from "./request";
import { shownDeadLetter } from "./views";

export const listQuery = z.strictObject({ limit: limitParam, cursor: cursorParam });

export const deadLetters = new Hono<ApiEnv>()
  .get("/", async (c) => {
    const query = readQuery(c, listQuery);
    if (!query.ok) return problem(c, query.failure);
    const { cursor, limit } = query.value;
    const before = cursor === undefined ? null : parseCursor(cursor);
    if (cursor !== undefined && before === null) return problem(c, badCursor());
    const { letters, next } = await listDeadLetters(c.env, { before, limit });
    return c.json({ data: letters.map(shownDeadLetter), next: next && formatCursor(next) });
  })
  .post("/:id/redrive", takesNothing(), async (c) => {
    const id = c.req.param("id");
    const redriven = await redriveDeadLetter(c.env, { id, by: c.get("caller") });
    return redriven.ok ? c.json({ id }, 202) : problem(c, redriven.failure);
  })
  .delete("/:id", takesNothing(), async (c) => {
    const given = { id: c.req.param("id"), by: c.get("caller") };
    const deleted = await deleteDeadLetter(c.env, given);
    return deleted.ok ? c.body(null, 204) : problem(c, deleted.failure);
  });

export function formatCursor({ failedAtMs, id }: DeadLetterPosition): string {
  return `${failedAtMs}~${id}`;
}

export function parseCursor(text: string): DeadLetterPosition | null {
  const match = /^(\d{1,15})~(dl_[\w-]{1,128})$/.exec(text);
  return match === null ? null : { failedAtMs: Number(match[1]), id: match[2] ?? "" };
}
