/**
 * Sends signed events to the relay, as Leadterra would.
 *
 *   npm run leadterra -- send --event reply.received --count 3
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { styleText } from "node:util";
import { parseSchedule } from "../src/domain/schedule.ts";
import {
  FAILED,
  MISUSED,
  Misuse,
  readAskedUrl,
  readNames,
  readOptions,
  readPositive,
  readWholeNumber,
  runCommand,
} from "./command.ts";
import { DEV_VARS, firstOf, readVars } from "./dev-vars.ts";
import {
  DOCUMENTED_REPLY,
  EVENT_KINDS,
  type EventKind,
  exampleEvent,
  isAccepted,
  RETRY_WAITS_MS,
  type SendAttempt,
  send,
} from "./leadterra.ts";
import { ROOT } from "./wrangler.ts";

const MOST_OF_EACH = 1_000_000;
const RELAY_URL = "http://127.0.0.1:8787/webhooks/leadterra";

const USAGE = `Sends signed events to the relay, as Leadterra would.

  npm run leadterra -- send [options]

  --url URL              where to; default ${RELAY_URL}
  --secret SECRET        signs; default: the first of LEADTERRA_SIGNING_SECRETS, from the environment or .dev.vars
  --event NAME           ${EVENT_KINDS.join(", ")}, or all (the default)
  --count N              so many of each; default 1
  --rate N/s             at most so many a second; default: one after the other
  --classification NAME  of replies; default interested
  --documented           sends the example of Leadterra's page, always the same event
  --waits "1s 2s"        before the retries, or none; default 1m 5m 30m 2h 8h, if the relay can be reached at all

Ends with 0 when every event was accepted, 2 when no attempt can succeed, 1 when all retries were used up.`;

type SendCommand = {
  url: string;
  secret: string;
  bodies: string[];
  /** null: each starts when the one before has ended. */
  gapMs: number | null;
  /** null: the usual ones, for a relay that there is. */
  waitsMs: readonly number[] | null;
};

/** @throws Misuse when the arguments make no sense. */
export function parseCommand(args: readonly string[]): SendCommand {
  const { values, positionals } = readOptions(
    args,
    {
      url: { type: "string", default: RELAY_URL },
      secret: { type: "string" },
      event: { type: "string", default: "all" },
      count: { type: "string", default: "1" },
      rate: { type: "string" },
      classification: { type: "string", default: "interested" },
      documented: { type: "boolean", default: false },
      waits: { type: "string" },
    },
    { words: 1 },
  );
  if (positionals[0] !== "send") {
    throw new Misuse("What to do is missing: npm run leadterra -- send");
  }
  const { classification, event, rate } = values;
  const kinds = event === "all" ? EVENT_KINDS : readNames("--event", event, EVENT_KINDS);
  const make = (kind: EventKind) => JSON.stringify(exampleEvent(kind, { classification }));
  const rounds = Array.from({
    length: readWholeNumber("--count", values.count, [1, MOST_OF_EACH]),
  });
  return {
    url: readAskedUrl("--url", values.url, RELAY_URL).href,
    secret: parseSecret(values.secret),
    bodies: rounds.flatMap(() => (values.documented ? [DOCUMENTED_REPLY] : kinds.map(make))),
    gapMs: rate === undefined ? null : 1_000 / readPositive("--rate", rate.replace(/\/s$/, "")),
    waitsMs: parseWaits(values.waits),
  };
}

function parseSecret(given: string | undefined): string {
  const secret =
    given ??
    firstOf(process.env.LEADTERRA_SIGNING_SECRETS) ??
    firstOf(readVars(join(ROOT, DEV_VARS)).LEADTERRA_SIGNING_SECRETS);
  if (secret === "") throw new Misuse("--secret is empty.");
  if (secret !== undefined) return secret;
  throw new Misuse(
    `--secret is missing, and there is no ${DEV_VARS} to read it from; npm start makes one.`,
  );
}

function parseWaits(text: string | undefined): readonly number[] | null {
  if (text === undefined) return null;
  const waits = text === "none" ? [] : parseSchedule(text);
  if (waits === null) throw new Misuse(`--waits must be like "1m 5m 30m", or none; not "${text}".`);
  return waits;
}

async function main(args: string[]): Promise<number> {
  const { url, secret, bodies, gapMs, waitsMs } = parseCommand(args);
  let hopeless: string | null = null;
  const isHopeless = (attempt: SendAttempt) => {
    const why = reasonToStop(attempt, url);
    // Whoever names the waits wants to see them, and may start the relay meanwhile.
    if (why === null || (attempt.status === null && waitsMs !== null)) return false;
    hopeless = why;
    return true;
  };
  const sending = [];
  for (const body of bodies) {
    const sent = send(url, body, secret, {
      waitsMs: waitsMs ?? RETRY_WAITS_MS,
      onAttempt: (attempt) => printAttempt(body, attempt),
      isHopeless,
    });
    sending.push(sent);
    await (gapMs === null ? sent : sleep(gapMs));
    if (hopeless !== null) break;
  }
  const outcomes = await Promise.all(sending);
  if (hopeless !== null) {
    console.error(styleText("red", hopeless));
    return MISUSED;
  }
  return outcomes.every(({ accepted }) => accepted) ? 0 : FAILED;
}

/** Why no later attempt of the same request can be accepted; null when one may. */
export function reasonToStop(attempt: SendAttempt, url: string): string | null {
  const { status, error, cause, number } = attempt;
  if (error === "connection" && number === 1) {
    return `${new URL(url).origin} cannot be reached: ${cause}. Is the relay running (npm start), and is this its address?`;
  }
  if (status === 401 && describeAnswer(attempt.response) === "invalid_signature") {
    return "The relay refused the signature: the secret is none of its LEADTERRA_SIGNING_SECRETS. --secret gives another.";
  }
  if (status === 401 || status === 404 || status === 405) {
    return `${url} answered ${status}: there is no relay that takes events. Its path is /webhooks/leadterra.`;
  }
  if (status !== null && status >= 300 && status < 400) {
    return `${url} answered ${status}: it has moved, and Leadterra follows no redirect.`;
  }
  const isOurs =
    status !== null && status >= 400 && status < 500 && status !== 408 && status !== 429;
  return isOurs ? `The relay does not take this event: ${describeAnswer(attempt.response)}` : null;
}

function printAttempt(body: string, attempt: SendAttempt): void {
  const accepted = isAccepted(attempt.status);
  const time = new Date().toLocaleTimeString("en-GB");
  const status = styleText(accepted ? "green" : "red", String(attempt.status ?? attempt.error));
  const took = styleText("dim", `${attempt.durationMs} ms${retryText(accepted, attempt)}`);
  const name: string = JSON.parse(body).event;
  const said = attempt.cause ?? describeAnswer(attempt.response);
  const cells = [time, name.padEnd(16), status, said, took];
  console.log(cells.filter((cell) => cell !== "").join("  "));
}

function retryText(accepted: boolean, { nextInMs }: SendAttempt): string {
  if (accepted) return "";
  return nextInMs === null ? ", no more retries" : `, again in ${nextInMs / 1_000} s`;
}

/** `evt_… duplicate` of the relay's answer, or its error code. */
function describeAnswer(response: string): string {
  try {
    const { id, duplicate, code } = JSON.parse(response);
    return id === undefined ? String(code ?? "") : `${id}${duplicate ? " duplicate" : ""}`;
  } catch {
    return response.slice(0, 80).replaceAll(/\s+/g, " ");
  }
}

if (import.meta.main) await runCommand(USAGE, main);
