/** The form that registers and changes a webhook. It works without the script; with it, the filter is tried at once. */
import { configOf, serviceBindings } from "../../config";
import type { Setting } from "../../contract/configured";
import { EVENT_TYPES } from "../../domain/event";
import type { FieldError } from "../../domain/failure";
import { ALL_EVENTS, type Webhook } from "../../domain/webhook";
import { newToken } from "../ui/actions";
import { Choice, Commas, Facts, foreign, Hidden, Submit, VERBATIM } from "../ui/parts";
import { WEBHOOKS_PATH, webhookPath } from "../ui/paths";
import {
  Field,
  fieldOf,
  labelOf,
  Mistakes,
  SecretField,
  TextField,
  Tick,
  tied,
  Wrong,
} from "./field";
import { TRIAL_ID, TRIAL_PATH } from "./filter-trial";
import { Pace, type PaceProps } from "./pace";
import type { Written } from "./versions";

/** Without the script; with it, there is a button for more. */
const EMPTY_HEADER_ROWS = ["", ""];
const FILTER_EXAMPLE = '{"data.reply.classification": "interested"}';

const URL_INPUT = {
  ...VERBATIM,
  inputmode: "url",
  required: true,
  placeholder: "https://crm.example.com/leadterra",
} as const;

type FormProps = PaceProps & {
  /** What somebody else changed, while it was changed here too. */
  overtaken: readonly Setting[];
  /** What the form shows of the webhook that it changes; null for a new one. */
  shown: Written | null;
  /** The webhook that is changed; null for a new one. */
  webhook: Webhook | null;
};

export function WebhookForm(props: FormProps) {
  const { webhook, errors, shown } = props;
  const path = webhook === null ? WEBHOOKS_PATH : webhookPath(webhook.id);
  return (
    <form
      method="post"
      action={webhook === null ? path : `${path}/edit`}
      class="panel webhook-form"
      data-trial={TRIAL_ID}
      data-trial-action={TRIAL_PATH}
    >
      <Mistakes errors={errors} />
      <Overtaken {...props} />
      <Hidden
        fields={{ token: newToken(), ...(shown !== null && { shown: JSON.stringify(shown) }) }}
      />
      <Address {...props} />
      <Events {...props} />
      <FilterField {...props} />
      <Headers {...props} />
      <Pace {...props} />
      {webhook === null && <OwnSecret {...props} />}
      {webhook === null && (
        <Tick
          name="paused"
          checked={props.typed.paused}
          hint="Events are accepted for it and wait until it is resumed; a test goes out all the same."
        >
          Begin paused
        </Tick>
      )}
      <Submit out={[path, "Cancel"]}>
        {webhook === null ? "Register the webhook" : "Save the changes"}
      </Submit>
    </form>
  );
}

/** What is there now, beside what is typed here. */
function Overtaken({ overtaken, shown }: FormProps) {
  if (overtaken.length === 0 || shown === null) return null;
  return (
    <div class="notice warn" role="alert">
      <p>
        Somebody else has changed this too since the form was opened, so nothing was saved yet.
        Below stands what you typed; saving it again puts it in the place of this:
      </p>
      <Facts
        of={overtaken.map((field) => [
          labelOf(field),
          shown[field] === "" ? (
            <span class="quiet">nothing</span>
          ) : (
            <code>{foreign(shown[field])}</code>
          ),
        ])}
      />
    </div>
  );
}

function Address({ typed, errors, webhook, env }: FormProps) {
  const [binding] = serviceBindings(env);
  const urlHint = (
    <>
      Where events are posted to: <code>https://</code>{" "}
      {configOf(env).allowPrivateDestinations
        ? ["or ", <code>http://</code>, ", private addresses too"]
        : "and a public name"}
      {binding !== undefined && [
        ", or a binding of the relay: ",
        <code>service:{binding}/path</code>,
      ]}
      .
      {typed.url.endsWith("?…") && " The query is not shown; it stays unless you type another URL."}
    </>
  );
  return [
    <TextField field="url" errors={errors} hint={urlHint} value={typed.url} input={URL_INPUT} />,
    webhook !== null && <OtherService errors={errors} webhook={webhook} />,
    <TextField
      field="name"
      errors={errors}
      hint="For calls of the API and for metrics, in place of the id: lower-case letters, digits and hyphens. Left empty, it has none."
      value={typed.name}
      input={{ ...VERBATIM, placeholder: "crm" }}
    />,
    <TextField
      field="description"
      errors={errors}
      hint="What people will know it by. Left empty, it goes by its name, or by its host and path."
      value={typed.description}
      input={{ maxlength: 1_000, autocomplete: "off" }}
    />,
  ];
}

/** The two answers to what another origin means; neither is taken for granted. */
function OtherService({ errors, webhook }: { errors: readonly FieldError[]; webhook: Webhook }) {
  const headers = Object.keys(webhook.headers).length > 0;
  return (
    <fieldset
      id="replacesSecret"
      aria-describedby={tied("replacesSecret", errors)["aria-describedby"]}
    >
      <legend>When the URL has another scheme, host or port</legend>
      <Wrong field="replacesSecret" errors={errors} />
      <Choice type="radio" name="replacesSecret" value="yes">
        It now leads to another service
      </Choice>
      <Choice type="radio" name="replacesSecret" value="no">
        The service has moved
      </Choice>
      <p class="hint" id="replacesSecret-hint">
        Another service gets a signing secret of its own at once, without a grace period, shown to
        you once{headers && "; headers are dropped unless you type them anew below"}. One that has
        moved keeps its secret{headers && " and its headers"}.
      </p>
    </fieldset>
  );
}

function Events({ typed, errors }: FormProps) {
  const isAsked = (name: string) => typed.events.includes(name);
  return (
    <fieldset id="events" aria-describedby={tied("events", errors)["aria-describedby"]}>
      <legend>Events</legend>
      <p class="hint" id="events-hint">
        What it gets. An event that nobody asks for is only recorded.
      </p>
      <Wrong field="events" errors={errors} />
      <Choice
        type="radio"
        name="events"
        value={ALL_EVENTS}
        checked={isAsked(ALL_EVENTS)}
        aria-describedby="every-event"
      >
        <strong>Every event</strong>{" "}
        <small id="every-event">also kinds that Leadterra adds later</small>
      </Choice>
      <Choice type="radio" name="events" value="" checked={!isAsked(ALL_EVENTS)}>
        <strong>Only these</strong>
      </Choice>
      <div class="only-these">
        {Object.entries(EVENT_TYPES).map(([name, { description }]) => (
          <Choice type="checkbox" name="events" value={name} checked={isAsked(name)}>
            <code>{name}</code> <small>{description}</small>
          </Choice>
        ))}
        <label>
          Other events, by name
          <input
            type="text"
            name="names"
            value={typed.names}
            {...VERBATIM}
            placeholder="link.clicked message.opened"
          />
        </label>
      </div>
    </fieldset>
  );
}

function FilterField({ typed, errors }: FormProps) {
  const hint = (
    <>
      Narrows by content; left empty, every such event is delivered. A path in the event and what it
      must be: <code>{FILTER_EXAMPLE}</code>. There are{" "}
      <code>$eq $ne $in $nin $gt $gte $lt $lte</code>{" "}
      <code>$exists $startsWith $endsWith $not</code> under a path, <code>$and $or</code> beside
      paths.
    </>
  );
  return [
    <Field field="filter" errors={errors} hint={hint}>
      <textarea
        name="filter"
        rows={4}
        spellcheck={false}
        autocapitalize="none"
        {...tied("filter", errors)}
      >
        {typed.filter}
      </textarea>
    </Field>,
    <div id={TRIAL_ID} class="trial" hidden></div>,
  ];
}

function Headers({ typed, errors, webhook }: FormProps) {
  const kept = Object.keys(webhook?.headers ?? {});
  const isWrong = errors.some(({ path }) => fieldOf(path) === "headers");
  return (
    <details open={isWrong || typed.headerNames.some((name) => name !== "")}>
      <summary>Headers{kept.length > 0 && ` (${kept.length})`}</summary>
      <fieldset id="headers" aria-describedby={tied("headers", errors)["aria-describedby"]}>
        <legend>Sent with every delivery</legend>
        <p class="hint" id="headers-hint">
          Such as <code>authorization</code>, where the service wants more than a signature. Values
          are never shown again.
          {kept.length > 0 && (
            <>
              {" "}
              Now there {kept.length === 1 ? "is" : "are"}{" "}
              <Commas of={kept.map((name) => <code>{name}</code>)} />: kept as they are, unless you
              type headers here, which replace all of them.
            </>
          )}
        </p>
        <Wrong field="headers" errors={errors} />
        {[...typed.headerNames.filter((name) => name !== ""), ...EMPTY_HEADER_ROWS].map((name) => (
          <div class="pair">
            <label>
              Name
              <input type="text" name="headerName" value={name} {...VERBATIM} />
            </label>
            <label>
              Value
              <input type="password" name="headerValue" autocomplete="new-password" />
            </label>
          </div>
        ))}
        <button type="button" class="plain" data-repeat="pair" hidden>
          One more
        </button>
        {kept.length > 0 && (
          <Choice type="checkbox" name="removesHeaders" value="yes" checked={typed.removesHeaders}>
            Send none of them any more
          </Choice>
        )}
      </fieldset>
    </details>
  );
}

function OwnSecret({ errors }: FormProps) {
  return (
    <details open={errors.some(({ path }) => path === "signingSecret")}>
      <summary>A signing secret of your own</summary>
      <SecretField
        errors={errors}
        hint={
          <>
            <code>whsec_</code> and the base64 of 24 to 64 bytes. Left empty, the relay makes one
            and shows it once: the better choice, unless the service has its secret already.
          </>
        }
      />
    </details>
  );
}
