/**
 * What came of a change, said once, on the page that it led to: what was so then, with the time, for the page goes on
 * and the notice does not. Only texts from here are shown, by their name.
 */
import { deleteCookie, getSignedCookie, setSignedCookie } from "hono/cookie";
import type { Child } from "hono/jsx";
import { ANSWERS } from "../../contract/problem";
import type { FailureCode } from "../../domain/failure";
import { count as counted, deliveries, number } from "./format";
import { attributesOf, nameOf, type PageContext, prefixOf, useViewer } from "./session";
import { Time } from "./time";

/** A retry waits for no schedule, probe or Retry-After. */
const SOON = "each goes out as soon as no hold, order or rate limit keeps it.";

/** What is told of these is not all that was wanted. */
const NOT_QUITE = {
  created_before: () =>
    "It was registered by this form before, so nothing was done again. Its secret was shown once: rotate it if nobody has it.",
  unchanged: () => "Nothing was changed in the form, so nothing was saved.",
  rotated_before: () =>
    "The secret was rotated by this form before, so nothing was done again. It was shown once: rotate again if nobody has it.",
  sent_before: () =>
    "This form was sent before, so nothing was sent to the service again. What comes of it is shown once where it is a test: another shows how the service answers now.",
  resumed_held: () => "Resumed, and held all the same: how it stands is below.",
  attempt_failed: () => "It was tried, and failed: what came of it stands below.",
  attempt_waits: () => "It could not start at once: how it stands is below.",
  retried_in_part: (count) =>
    `${deliveries(count)} retried: ${SOON} The others could not be: an attempt was on its way, or the payload is gone.`,
  person_erased_so_far: (count) =>
    `${counted(count, "event")} erased, and more may still be on their way: erase this person again when nothing waits in the queue.`,
  nothing_selected: () => "Nothing was selected, so nothing was done.",
} as const satisfies Record<string, (count: number) => string>;

const DONE = {
  ...NOT_QUITE,
  created: () => "The webhook is registered.",
  changed: () => "The change is in force.",
  paused: () => "Paused: nothing is sent until you resume; events are kept.",
  resumed: () => "Resumed: what was due goes out.",
  resumed_probing: () =>
    "Resumed: one delivery at a time is tried until the service takes one; then the others go.",
  deleted: () => "The webhook is deleted, with what was waiting for it.",
  retried: (count) => `${deliveries(count)} retried: ${SOON}`,
  attempt_worked: (count) =>
    `The service took it.${count === 0 ? "" : ` ${deliveries(count)} that waited for a retry became due.`}`,
  cancelled: (count) => `${deliveries(count)} cancelled.`,
  replayed: (count) =>
    count === 0
      ? "Nothing was replayed: what was asked for was on its way, had been sent meanwhile, or had no payload any more."
      : `${deliveries(count)} replayed: each goes out when it is its turn.`,
  discarded: (count) => `${deliveries(count)} discarded.`,
  erased: () => "The payload is erased; the record of what was delivered when stays.",
  person_erased: (count) =>
    count === 0
      ? "Nothing that is kept holds this address."
      : `The person is erased: ${counted(count, "event")}. The record of what was delivered when stays.`,
  sampled: () => "The sample event was sent: it shows up here within seconds.",
  redriven: () => "The dead letter was sent on its way again.",
  redriven_many: (count) =>
    `${count === 1 ? "A dead letter was" : `${number(count)} dead letters were`} sent on the way again. What stayed could not be handed over.`,
  dead_letter_deleted: () => "The dead letter is deleted.",
} as const satisfies Record<string, (count: number) => string>;

export type Done = keyof typeof DONE;

/** @param touched the path of a list of what it was done to; with others of the same time where it `isAmong` them. */
export type Told = { done: Done; count?: number; touched?: string; isAmong?: boolean };

const COOKIE = "leadterra-relay-notice";
/** A redirect is followed at once. */
const KEPT_SECONDS = 60;

/**
 * After a change: to the page that shows it, with a word about what was done. That word comes along signed, in a
 * cookie that the page takes away: no address and no other page can make the dashboard say it.
 */
export async function seeOther(c: PageContext, path: string, told: Told | { failed: FailureCode }) {
  const session = c.get("session");
  if (session !== null) {
    const fields = Object.entries(told).map(([name, value]) => [name, String(value)]);
    const text = new URLSearchParams([...fields, ["at", path]]).toString();
    const options = { ...attributesOf(c), maxAge: KEPT_SECONDS };
    await setSignedCookie(c, nameOf(c, COOKIE), text, session.secret, options);
  }
  return c.redirect(path, 303);
}

/** What is to be said on this page, once; null when there is nothing. */
export async function takeNotice(c: PageContext): Promise<Child> {
  const session = c.get("session") ?? null;
  // The script asks for this page too, and shows nothing of what is said here.
  if (session === null || c.req.header("sec-fetch-dest") === "empty") return null;
  const name = nameOf(c, COOKIE);
  const text = await getSignedCookie(c, session.secret, name, prefixOf(c));
  if (!text) return null;
  const told = new URLSearchParams(text);
  const { pathname, search } = new URL(c.req.url);
  if (told.get("at") !== pathname + search) return null;
  deleteCookie(c, name, attributesOf(c));
  return <Notice told={told} />;
}

function Notice({ told }: { told: URLSearchParams }) {
  const failed = told.get("failed") ?? "";
  const done = told.get("done") ?? "";
  if (Object.hasOwn(ANSWERS, failed)) {
    const { title, detail } = ANSWERS[failed as FailureCode];
    return (
      <p class="notice bad" role="alert">
        <strong>{title}.</strong> {detail}
      </p>
    );
  }
  if (!Object.hasOwn(DONE, done)) return null;
  const touched = told.get("touched");
  const count = Number(told.get("count") ?? "1");
  const isShort = Object.hasOwn(NOT_QUITE, done) || (done === "replayed" && count === 0);
  return (
    <p class={`notice ${isShort ? "warn" : "good"}`} role="status">
      {DONE[done as Done](count)} <Time ms={useViewer().nowMs} />
      {touched !== null && [
        " ",
        <a href={touched}>
          See what became of {count === 1 ? "it" : "them"}
          {told.get("isAmong") === "true" && ", among all deliveries of that time"}
        </a>,
      ]}
    </p>
  );
}
