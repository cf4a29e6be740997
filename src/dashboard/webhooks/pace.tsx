/** The part of the form about how fast and how often attempts are made. */
import { configOf } from "../../config";
import type { FieldError } from "../../domain/failure";
import { formatSchedule } from "../../domain/schedule";
import { DEFAULTS } from "../../domain/webhook";
import { VERBATIM } from "../ui/parts";
import { fieldOf, TextField, Tick } from "./field";
import { NOTHING_TYPED, type Typed } from "./input";

const UNSUGGESTED = { autocomplete: "off" } as const;

/** Fields of one line, with what is to be known of each. */
const TEXTS = {
  rateLimit: {
    hint: "At most so many; 0.5 is one every two seconds. Left empty, there is no limit.",
    input: { ...UNSUGGESTED, inputmode: "decimal" },
  },
  concurrency: {
    hint: `How many attempts may be under way together, 1 to 300: what the service can take. Left empty, ${DEFAULTS.concurrency}.`,
    input: { ...UNSUGGESTED, inputmode: "numeric", placeholder: String(DEFAULTS.concurrency) },
  },
  timeout: {
    hint: "How long an answer may take, from 1s to 60s. Left empty, it is the relay's own.",
    input: VERBATIM,
  },
  retrySchedule: {
    hint: "The waits after each failed attempt, as numbers with s, m, h or d; when they are used up, the delivery is undeliverable. Left empty, they are the relay's own.",
    input: VERBATIM,
  },
  giveUpOn: {
    hint: "From 400 to 499, but 408, 410 and 429: the first such answer makes the delivery undeliverable, and is no failure of the service. Left empty, every failure is tried again.",
    input: { ...UNSUGGESTED, inputmode: "numeric", placeholder: "400 404 422" },
  },
} as const;
type Text = keyof typeof TEXTS;
const FIELDS = ["ordered", ...(Object.keys(TEXTS) as Text[])] as const;

export type PaceProps = {
  env: Env;
  typed: Typed;
  errors: readonly FieldError[];
  /** Whoever comes is led to one of these fields. */
  isOpen: boolean;
};

/** What a webhook has that sets none of its own; null where that is not configured well. */
export function relaysOwn(env: Env) {
  const { delivery } = configOf(env);
  return {
    retrySchedule: delivery && formatSchedule(delivery.retryScheduleMs),
    timeout: delivery && formatSchedule([delivery.timeoutMs]),
  };
}

export function Pace({ env, typed, errors, isOpen }: PaceProps) {
  const own = relaysOwn(env);
  const isWrong = errors.some(({ path }) => FIELDS.some((field) => field === fieldOf(path)));
  const isSet = FIELDS.some((field) => typed[field] !== NOTHING_TYPED[field]);
  return (
    <details open={isOpen || isWrong || isSet}>
      <summary>Order, pace and retries</summary>
      <Tick
        name="ordered"
        checked={typed.ordered}
        hint="Then an event that fails holds those behind it until it is delivered, undeliverable or cancelled."
      >
        One event at a time, in the order of arrival
      </Tick>
      {Object.entries(TEXTS).map(([name, { hint, input }]) => {
        const field = name as Text;
        const shown = field === "timeout" || field === "retrySchedule" ? own[field] : null;
        const placeholder = shown !== null && { placeholder: shown };
        const given = { value: typed[field], input: { ...input, ...placeholder } };
        return <TextField field={field} errors={errors} hint={hint} {...given} />;
      })}
    </details>
  );
}
