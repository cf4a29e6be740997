/**
 * Brings events of a relay to this machine, without a tunnel and without a third party: a `listener:` webhook of the
 * relay, whose deliveries come over a WebSocket and go to a handler on this machine.
 *
 *   RELAY_API_KEY=… npm run listen -- --relay https://my-relay.workers.dev --forward http://127.0.0.1:3000/leadterra
 */
import { userInfo } from "node:os";
import { parseDuration } from "../src/domain/schedule.ts";
import {
  Misuse,
  onInterrupt,
  readAskedUrl,
  readOptions,
  readWholeNumber,
  runCommand,
} from "./command.ts";
import { DEV_VARS } from "./dev-vars.ts";
import { LATE, listen, parse, UNREACHABLE } from "./listener.ts";
import { parseRelay, readApiKey, relayApi } from "./relay-api.ts";

const NAME = /^[a-z][a-z0-9-]{0,62}$/;

function readSince(text: string | undefined): number | null {
  if (text === undefined) return null;
  const ms = parseDuration(text);
  if (ms === null) throw new Misuse(`--since must be like 30s, 10m, 2h or 1d, not "${text}".`);
  return ms;
}

function readFilter(text: string | undefined): unknown {
  if (text === undefined) return undefined;
  const filter = parse(text);
  if (filter === null) throw new Misuse(`--filter must be JSON, not "${text}".`);
  return filter;
}

function readForward(text: string | undefined): string | null {
  if (text === undefined) return null;
  readAskedUrl("--forward", text, "http://127.0.0.1:3000/leadterra");
  return text;
}

/** Whose machine this is: two people do not take each other's events. */
function ownName(): string {
  const user = userInfo()
    .username.toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-");
  return `listen-${user}`.slice(0, 63);
}

function readName(text: string): string {
  if (NAME.test(text)) return text;
  throw new Misuse(`--name must be lower-case letters, digits and hyphens, not "${text}".`);
}

const USAGE = `Brings events of a relay to this machine: no tunnel, no third party.

  RELAY_API_KEY=… npm run listen -- [options]

  --relay URL      default http://127.0.0.1:8787
  --forward URL    a handler on this machine, which gets what a service would get. Without it events are printed
  --name NAME      whose events these are; default ${ownName()}. One listens under a name at a time
  --events A,B     default all, or what the name has
  --filter JSON    as a webhook's filter
  --since 10m      first what came in that time and this name never had
  --status 200     what events are answered without --forward
  --once           ends after the first event, and removes the webhook

A handler that cannot be reached counts as ${UNREACHABLE}, one that is late as ${LATE}; the relay tries again as for any service.
What comes while nobody listens waits, for 24 hours. Ctrl-C ends with 0 and leaves the webhook.
The key comes from RELAY_API_KEY, else it is the first of API_KEYS in ${DEV_VARS}.`;

async function main(args: string[]): Promise<number> {
  const { values } = readOptions(args, {
    relay: { type: "string" },
    forward: { type: "string" },
    name: { type: "string" },
    events: { type: "string" },
    filter: { type: "string" },
    since: { type: "string" },
    status: { type: "string", default: "200" },
    once: { type: "boolean", default: false },
  });
  const abort = new AbortController();
  const apiKey = readApiKey();
  const name = readName(values.name ?? ownName());
  const listening = listen({
    api: relayApi(parseRelay(values.relay), apiKey, abort.signal),
    apiKey,
    name,
    events: values.events?.split(",").map((event) => event.trim()) ?? null,
    filter: readFilter(values.filter),
    forward: readForward(values.forward),
    status: readWholeNumber("--status", values.status, [100, 599]),
    sinceMs: readSince(values.since),
    once: values.once,
    write: (line) => console.log(line),
    signal: abort.signal,
  });
  onInterrupt(async (counted) => {
    abort.abort();
    // It had not begun to listen, or something went wrong at that moment.
    const stays = await listening.catch(() => null);
    if (stays === null) return counted;
    if (stays) console.log(`\n${name} stays for 24 hours, and what comes for it waits.`);
    return 0;
  });
  await listening.catch((thrown: unknown) => {
    if (!abort.signal.aborted) throw thrown;
  });
  return 0;
}

if (import.meta.main) {
  await runCommand(USAGE, main);
  // A connection whose end is not heard of, or only after some seconds, would keep the process.
  process.stdout.write("", () => process.exit());
}
