/** What comes of a change that somebody asked the Registry for. */
import { fail, ok, type Result } from "../domain/failure";
import type { Webhook } from "../domain/webhook";

/** Why a change was not made, or is not acknowledged yet. */
export type ChangeFailure = "not_found" | "not_yet_in_force";

/** A webhook after a change, with the secret where it is new: it is shown once. */
export type Changed = { webhook: Webhook; signingSecret: string | null };

/** The secret goes along also when its push is late: nobody would ever see it else. */
export function withSecret(
  changed: Result<Changed, ChangeFailure>,
  signingSecret: string,
): Result<Changed, ChangeFailure> {
  if (changed.ok) return ok({ ...changed.value, signingSecret });
  const { failure } = changed;
  return failure.code === "not_yet_in_force" ? fail({ ...failure, signingSecret }) : changed;
}
