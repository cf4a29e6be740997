/** What leads a new relay to its first event. */
import type { Child } from "hono/jsx";
import { configOf } from "../../config";
import { Action, Copy } from "../ui/parts";
import { EVENTS_PATH } from "../ui/paths";
import { type PageContext, useViewer } from "../ui/session";

const INGEST_PATH = "/webhooks/leadterra";

/** `isConnected` when an event came that was no sample. */
type Seen = { webhooks: readonly unknown[]; hasEvent: boolean; isConnected: boolean };
type Progress = ReturnType<typeof progressOf>;

export function progressOf(c: PageContext, { webhooks, ...seen }: Seen) {
  const { origin } = new URL(c.req.url);
  const hasSecret = configOf(c.env).signingSecrets.length > 0;
  return { ...seen, origin, hasSecret, hasWebhook: webhooks.length > 0 };
}

export function FirstSteps({ origin, hasSecret, hasWebhook, hasEvent, isConnected }: Progress) {
  const { mayChange } = useViewer();
  const url = origin + INGEST_PATH;
  const isLaptop = !origin.startsWith("https:");
  return (
    <section class="panel steps" aria-labelledby="first-steps-title">
      <h2 id="first-steps-title">To the first event</h2>
      <ol>
        <Step title={isLaptop ? "Send an event by hand" : "Connect Leadterra"} isDone={isConnected}>
          <p>
            {isLaptop
              ? "Leadterra reaches an address on the internet only: on this machine events are sent by hand, to this address."
              : "At Leadterra, register this address for the events that you want:"}
          </p>
          <p class="actions">
            <code>{url}</code> <Copy text={url}>Copy the address</Copy>
          </p>
          <p class="quiet">
            {SECRET[isLaptop ? "laptop" : "deployed"][hasSecret ? "set" : "missing"]}{" "}
            {isLaptop
              ? [
                  <code>npm run leadterra -- send --url {url}</code>,
                  " signs and sends one of each kind.",
                ]
              : ["One command does both: ", <code>npm run register -- --relay {origin}</code>]}
          </p>
          <p class="quiet">
            An event that is answered 401 <code>invalid_signature</code> was signed with another
            secret: the sender {isLaptop ? "prints" : "logs"} the answer, and{" "}
            {isLaptop
              ? [<code>npm start</code>, " prints ", <code>request failed</code>]
              : ["the relay's log has the line ", <code>request.failed</code>]}
            . Nothing of it shows up here.
          </p>
        </Step>
        <Step title="Register a webhook" isDone={hasWebhook}>
          <p>
            A webhook is the address of your service, and which events it gets.{" "}
            {mayChange ? (
              <a href="/dashboard/webhooks/new">Register a webhook</a>
            ) : (
              <span class="quiet">It takes a key that may change things.</span>
            )}
          </p>
        </Step>
        <Step title="See the first event arrive" isDone={hasEvent}>
          {hasEvent ? (
            <p>
              It has arrived: <a href="/dashboard/events">look at the events</a>. A webhook that is
              registered later can be given what it missed.
            </p>
          ) : (
            [
              <p>It shows up here by itself within seconds.</p>,
              mayChange &&
                hasSecret && [
                  <Action action={`${EVENTS_PATH}/sample`}>Send a sample event</Action>,
                  <p class="quiet">
                    A made-up reply takes the whole way: signed with the secret that is configured
                    here, through the queue, to every webhook that asks for it. That it arrives says
                    that all is well from here on
                    {!isLaptop &&
                      "; whether Leadterra signs with the same secret, only an event of its own can say"}
                    .
                  </p>,
                ],
            ]
          )}
        </Step>
      </ol>
    </section>
  );
}

const SECRET = {
  deployed: {
    set: "A signing secret is configured; it must be the one that Leadterra answered with.",
    missing:
      "Put the signing secret that it answers with into LEADTERRA_SIGNING_SECRETS: without one no event is accepted.",
  },
  laptop: {
    set: "A signing secret is configured, LEADTERRA_SIGNING_SECRETS in .dev.vars, which the first start made.",
    missing:
      "Put a signing secret of your own into LEADTERRA_SIGNING_SECRETS in .dev.vars: without one no event is accepted.",
  },
} as const;

function Step({ title, isDone, children }: { title: string; isDone: boolean; children?: Child }) {
  return (
    <li class={isDone ? "done" : ""}>
      <h3>
        {title}
        {isDone && <span class="badge good">done</span>}
      </h3>
      {children}
    </li>
  );
}
