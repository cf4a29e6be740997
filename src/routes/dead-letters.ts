/** /v1/dead-letters: what could not be handed over. */
import { Hono } from "hono";
import * as z from "zod";
import { badCursor } from "../contract/problem";
import { redrive } from "../operations/dead-letters";
import { deadLetters as deadLetterStore } from "../operations/objects";
import { audited } from "./audit";
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
    const letters = await deadLetterStore(c.env).list(before, limit + 1);
    const page = letters.slice(0, limit);
    const last = page.at(-1);
    const next = letters.length > limit && last ? `${last.failedAtMs}~${last.id}` : null;
    return c.json({ data: page.map(shownDeadLetter), next });
  })
  .post("/:id/redrive", takesNothing(), audited("dead_letter.redriven"), async (c) => {
    const redriven = await redrive(c.env, c.req.param("id"));
    return redriven.ok ? c.json({ id: c.req.param("id") }, 202) : problem(c, redriven.failure);
  })
  .delete("/:id", takesNothing(), audited("dead_letter.deleted"), async (c) => {
    const deleted = await deadLetterStore(c.env).delete(c.req.param("id"));
    return deleted ? c.body(null, 204) : problem(c, { code: "not_found" });
  });

export function parseCursor(text: string): { failedAtMs: number; id: string } | null {
  const match = /^(\d{1,15})~(dl_[\w-]{1,128})$/.exec(text);
  return match === null ? null : { failedAtMs: Number(match[1]), id: match[2] ?? "" };
}
