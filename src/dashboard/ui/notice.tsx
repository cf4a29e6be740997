/** What came of a change, said on the page that it led to. Only texts from here are shown, by their name. */
import type { Context } from "hono";
import { ANSWERS } from "../../contract/problem";
import type { FailureCode } from "../../domain/failure";
import { deliveries } from "./format";

const DONE = {
  created: () => "The webhook is registered.",
  created_before: () =>
    "It was registered by this form before, so nothing was done again. Its secret was shown once: rotate it if nobody has it.",
  changed: () => "The change is in force.",
  rotated_before: () =>
    "The secret was rotated by this form before, so nothing was done again. It was shown once: rotate again if nobody has it.",
  paused: () => "Paused: nothing is sent until you resume; events are kept.",
  resumed: () => "Resumed: what was held goes out now.",
  deleted: () => "The webhook is deleted, with what was waiting for it.",
  retried: (count) => `${deliveries(count)} will be sent again now.`,
  retried_in_part: (count) =>
    `${deliveries(count)} will be sent again now. The others cannot: an attempt is on its way, or the payload is gone.`,
  nothing_selected: () => "Nothing was selected, so nothing was done.",
  cancelled: (count) => `Gave up on ${deliveries(count)}.`,
  replayed: (count) => `${deliveries(count)} will be sent again.`,
  discarded: (count) => `Gave up on ${deliveries(count)} that waited.`,
  erased: () => "What the event said is erased; the record of what was delivered when stays.",
  redriven: () => "The dead letter is on its way again.",
  dead_letter_deleted: () => "The dead letter is deleted.",
} as const satisfies Record<string, (count: number) => string>;

export type Done = keyof typeof DONE;

/** After a change: to the page that shows it, with a word about what was done. */
export function seeOther(
  c: Context,
  path: string,
  notice: { done: Done; count?: number } | { failed: FailureCode },
): Response {
  const url = new URL(path, "https://relay.invalid");
  for (const name of ["done", "failed", "count"]) url.searchParams.delete(name);
  for (const [name, value] of Object.entries(notice)) url.searchParams.set(name, String(value));
  return c.redirect(url.pathname + url.search, 303);
}

export function Notice({ query }: { query: Readonly<Record<string, string>> }) {
  const { done = "", failed = "", count = "1" } = query;
  if (Object.hasOwn(ANSWERS, failed)) {
    const { title, detail } = ANSWERS[failed as FailureCode];
    return (
      <p class="notice bad" role="alert">
        <strong>{title}.</strong> {detail}
      </p>
    );
  }
  if (!Object.hasOwn(DONE, done)) return null;
  return (
    <p class="notice good" role="status">
      {DONE[done as Done](/^\d{1,9}$/.test(count) ? Number(count) : 1)}
    </p>
  );
}
