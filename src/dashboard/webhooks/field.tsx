/** A field of a form, with its hint and its mistakes, and the list of all mistakes above. */
import type { Child } from "hono/jsx";
import type { FieldError } from "../../domain/failure";
import { visible } from "../../domain/foreign-text";
import { Choice, Commas, Errors } from "../ui/parts";

export function Mistakes({ errors }: { errors: readonly FieldError[] }) {
  if (errors.length === 0) return null;
  const fields = [...new Set(errors.map(({ path }) => fieldOf(path)))].filter(Boolean);
  const ofNoField = errors.filter(({ path }) => path === "");
  return (
    <div class="notice bad" role="alert">
      Nothing was changed yet. {ofNoField.map(({ message }) => `${visible(message)} `)}
      {fields.length > 0 && [
        "Look at ",
        <Commas of={fields.map((field) => <a href={`#${field}`}>{labelOf(field)}</a>)} />,
        ". ",
      ]}
      Header values and secrets have to be typed again.
    </div>
  );
}

const LABELS: Readonly<Record<string, string>> = {
  url: "URL",
  replacesSecret: "the change of service",
  name: "Name",
  description: "Description",
  events: "Events",
  filter: "Filter",
  headers: "Headers",
  rateLimit: "Deliveries per second",
  ordered: "Order",
  concurrency: "At once",
  timeout: "Time to answer",
  retrySchedule: "Waits before each retry",
  giveUpOn: "Statuses to give up on",
  signingSecret: "Signing secret",
  gracePeriodSeconds: "The grace period",
};

export function labelOf(field: string): string {
  return LABELS[field] ?? field;
}

/** `headers.x-team` → `headers`. */
export function fieldOf(path: string): string {
  return path.split(".")[0] ?? path;
}

export function Wrong({ field, errors }: { field: string; errors: readonly FieldError[] }) {
  const own = errors.filter(({ path }) => fieldOf(path) === field);
  if (own.length === 0) return null;
  const nameOf = (path: string) =>
    path === field ? LABELS[field] : <code>{visible(path.slice(field.length + 1))}</code>;
  return <Errors of={own} nameOf={nameOf} class="wrong" id={`${field}-wrong`} />;
}

/** What ties a control to its hint and its mistakes. */
export function tied(field: string, errors: readonly FieldError[]) {
  const isWrong = errors.some(({ path }) => fieldOf(path) === field);
  return {
    id: field,
    "aria-describedby": isWrong ? `${field}-wrong ${field}-hint` : `${field}-hint`,
    ...(isWrong && { "aria-invalid": "true" as const }),
  };
}

type FieldProps = {
  field: string;
  errors: readonly FieldError[];
  hint: Child;
  children?: Child;
};

export function Field({ field, errors, hint, children }: FieldProps) {
  return (
    <div class="field">
      <label for={field}>{LABELS[field]}</label>
      {children}
      <Wrong field={field} errors={errors} />
      <p class="hint" id={`${field}-hint`}>
        {hint}
      </p>
    </div>
  );
}

type TickProps = { name: string; checked: boolean; hint: string; children?: Child };

export function Tick({ hint, children, ...tick }: TickProps) {
  const { name } = tick;
  return (
    <div class="field">
      <Choice type="checkbox" id={name} value="yes" {...tick} aria-describedby={`${name}-hint`}>
        {children}
      </Choice>
      <p class="hint" id={`${name}-hint`}>
        {hint}
      </p>
    </div>
  );
}

type TextFieldProps = FieldProps & {
  value: string;
  input?: Readonly<Record<string, string | number | boolean>>;
};

export function TextField({ field, errors, hint, value, input }: TextFieldProps) {
  return (
    <Field field={field} errors={errors} hint={hint}>
      <input type="text" name={field} value={value} {...input} {...tied(field, errors)} />
    </Field>
  );
}

/** A signing secret of one's own: it is never shown again. */
export function SecretField({ errors, hint }: Omit<FieldProps, "field">) {
  const field = "signingSecret";
  return (
    <Field field={field} errors={errors} hint={hint}>
      <input type="password" name={field} autocomplete="new-password" {...tied(field, errors)} />
    </Field>
  );
}
