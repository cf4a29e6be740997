/** What every command of this folder does alike: read its options, show its help, end with a sentence. */
import { constants } from "node:os";
import { type ParseArgsConfig, parseArgs, styleText } from "node:util";
import { whenNpmEnds } from "./processes.ts";

/** Nothing was done: the command was given what it cannot take. */
export const MISUSED = 2;
export const FAILED = 1;

/** What the person at the terminal has to change before anything can be done: ends the command with `misused`. */
export class Misuse extends Error {}

type OptionsConfig = NonNullable<ParseArgsConfig["options"]>;
type Parsed<O extends OptionsConfig> = ReturnType<
  typeof parseArgs<{ options: O; allowPositionals: true }>
>;

/**
 * @param options as `parseArgs` of node:util takes them.
 * @throws Misuse when an option is unknown or lacks its value, for words beyond `words`, and as `refuseKept`.
 */
export function readOptions<const O extends OptionsConfig>(
  args: readonly string[],
  options: O,
  { words = 0 }: { words?: number } = {},
): Parsed<O> {
  refuseKept(args, options);
  const parsed = parse(args, options);
  refuseWord(parsed.positionals[words]);
  return parsed;
}

function refuseWord(extra: string | undefined): void {
  if (extra !== undefined) throw new Misuse(`"${extra}" is one word too many.`);
}

/**
 * The same of a command that hands its options on to wrangler, which would take the word for a script to run.
 *
 * @param options those that are known: behind any other one may stand as many words as there are.
 * @throws Misuse for a word that belongs to no option.
 */
export function refuseStray(args: readonly string[], options: OptionsConfig): void {
  const { tokens } = parseArgs({ args: [...args], options, strict: false, tokens: true });
  let takesMore = false;
  for (const token of tokens) {
    if (token.kind === "positional" && !takesMore) refuseWord(token.value);
    if (token.kind !== "option") continue;
    const known = options[token.name];
    takesMore = known === undefined ? !token.inlineValue : known.multiple === true;
  }
}

function parse<const O extends OptionsConfig>(args: readonly string[], options: O): Parsed<O> {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (thrown) {
    // Of parseArgs' several sentences the first says what is wrong, the others explain dashes.
    const [said = ""] = (thrown as Error).message.split(/(?<=[^.])\.(?: |$)/);
    throw new Misuse(`${said}.`);
  }
}

/**
 * What stands before npm's `--` npm takes for an option of its own, and the command would do without it what was not
 * meant: `npm run deploy --dry-run` a deploy. It is left in the environment, as what an .npmrc sets for npm is:
 * `options` must have no name that npm goes by and that is usual there.
 *
 * @throws Misuse when npm has an option that is the command's.
 */
export function refuseKept(
  args: readonly string[],
  options: OptionsConfig,
  env: NodeJS.ProcessEnv = process.env,
): void {
  const script = env.npm_lifecycle_event;
  const isGiven = (name: string) => args.some((word) => word.replace(/=.*/s, "") === `--${name}`);
  const kept = Object.keys(options).filter((name) => keptBy(env, name) && !isGiven(name));
  if (script === undefined || kept.length === 0) return;
  const run = script === "start" ? "npm start" : `npm run ${script}`;
  const line = [run, "--", ...wordsMeant(args, { options, kept, env })].join(" ");
  const names = kept.map((name) => `--${name}`).join(" and ");
  throw new Misuse(
    `npm kept ${names} for itself, and nothing was done: write \`--\` before the options: ${line}`,
  );
}

/**
 * As npm leaves it: "true" where no value stood behind a "="; empty for no. A `-c` is npm's own `--call`, which a command
 * may hold whole, too: a file of settings stands there for `--config`. (Of an `-e` npm leaves nothing.)
 */
function keptBy(env: NodeJS.ProcessEnv, name: string): string {
  const kept = env[`npm_config_${name.replaceAll("-", "_")}`] ?? "";
  const { npm_config_call: call = "" } = env;
  return kept === "" && name === "config" && /^\S+\.(toml|jsonc?)$/.test(call) ? call : kept;
}

/** The words in their right order; "…" for a value that cannot be told, or is not for the screen. */
function wordsMeant(
  args: readonly string[],
  {
    options,
    kept,
    env,
  }: { options: OptionsConfig; kept: readonly string[]; env: NodeJS.ProcessEnv },
): string[] {
  const firstOption = args.findIndex((word) => word.startsWith("-"));
  const before = firstOption === -1 ? args.length : firstOption;
  // The value of such an option came as one word more: of several nobody knows whose each is.
  const without = kept.filter(
    (name) => options[name]?.type === "string" && keptBy(env, name) === "true",
  );
  const words = args.slice(0, Math.max(0, before - without.length));
  const strays = args.slice(words.length, before);
  const meant = kept.flatMap((name) => {
    if (options[name]?.type === "boolean") return [`--${name}`];
    const value = without.includes(name) ? strays[0] : keptBy(env, name);
    const isTold = value !== undefined && strays.length <= 1 && !name.includes("secret");
    return [`--${name}`, isTold ? quoted(value) : "…"];
  });
  return [...words.map(quoted), ...meant, ...args.slice(before).map(quoted)];
}

/** As a shell takes it for one word. */
function quoted(word: string): string {
  return /^[\w./:@=,+%-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** @throws Misuse when the text is no whole number in the range. */
export function readWholeNumber(
  option: string,
  text: string,
  [from, to]: [number, number],
): number {
  const number = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (number >= from && number <= to) return number;
  throw new Misuse(`${option} must be a whole number from ${from} to ${to}, not "${text}".`);
}

/** @throws Misuse when the text is no number greater than 0. */
export function readPositive(option: string, text: string): number {
  const number = /^\d*\.?\d+$/.test(text) ? Number(text) : Number.NaN;
  if (number > 0) return number;
  throw new Misuse(`${option} must be a number greater than 0, not "${text}".`);
}

/**
 * No browser goes to these ports, nor does Node's fetch: they belong to other protocols.
 * https://fetch.spec.whatwg.org/#port-blocking
 */
export const BLOCKED_PORTS: ReadonlySet<number> = new Set([
  ...[1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95],
  ...[101, 102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179],
  ...[389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601],
  ...[636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566],
  ...[6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080],
]);

/** @throws Misuse for one of them. */
export function refuseBlocked(option: string, port: number): void {
  if (!BLOCKED_PORTS.has(port)) return;
  throw new Misuse(
    `${option}: no browser and no fetch goes to port ${port}, which belongs to another protocol; choose another one.`,
  );
}

/** @throws Misuse when the text is no port, or one that no browser goes to; 0 is any free one. */
export function readPort(text: string): number {
  const port = readWholeNumber("--port", text, [0, 65_535]);
  refuseBlocked("--port", port);
  return port;
}

/** @param like an example. @throws Misuse when the text is no address that a fetch goes to. */
export function readUrl(option: string, text: string, like: string): URL {
  const url = URL.parse(text);
  if (url?.protocol !== "http:" && url?.protocol !== "https:") {
    const what = url === null ? `"${text}" is no URL` : `nothing goes by ${url.protocol}`;
    throw new Misuse(`${option}: ${what}; it is like ${like}`);
  }
  refuseBlocked(option, Number(url.port));
  return url;
}

/** The same, of what is asked for as it is written: no fetch takes a user and a password. */
export function readAskedUrl(option: string, text: string, like: string): URL {
  const url = readUrl(option, text, like);
  if (url.username + url.password !== "") {
    throw new Misuse(`${option}: no fetch goes to a URL with a user or a password in it.`);
  }
  return url;
}

/** @throws Misuse when one of the names, separated by commas, is not known. */
export function readNames<Name extends string>(
  option: string,
  text: string,
  known: readonly Name[],
): Name[] {
  return text.split(",").map((word) => {
    const name = known.find((candidate) => candidate === word.trim());
    if (name === undefined) throw new Misuse(`${option}: ${known.join(", ")}; not "${word}".`);
    return name;
  });
}

/**
 * Runs a command to its end, to npm's, or until somebody asks this process to end. `--help` shows `usage`; what `main` throws becomes a sentence on standard
 * error.
 * @param main resolves to the exit code.
 * @param misused the exit code of a Misuse; another where `MISUSED` says something else of this command.
 */
export async function runCommand(
  usage: string,
  main: (args: string[]) => Promise<number>,
  misused = MISUSED,
): Promise<void> {
  keepLoopbackDirect();
  endOnSignals();
  const hangUp = () => process.kill(process.pid, "SIGHUP");
  // Who has read enough of it, as head, is gone.
  process.stdout.on("error", hangUp);
  whenNpmEnds(hangUp);
  const args = process.argv.slice(2);
  if (args.includes("--help") || args.includes("-h")) {
    console.log(usage);
    return;
  }
  process.exitCode = await main(args).catch((thrown: unknown) => {
    console.error(styleText("red", sentenceOf(thrown)));
    if (!(thrown instanceof Misuse)) return FAILED;
    console.error("--help shows what there is.");
    return misused;
  });
}

function sentenceOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  // A slip of the code itself: only its stack helps.
  const isBug = [TypeError, ReferenceError, RangeError].some((kind) => thrown instanceof kind);
  return isBug && thrown.cause === undefined ? (thrown.stack ?? thrown.message) : thrown.message;
}

/** A proxy in the environment (NODE_USE_ENV_PROXY) is for the outside: nobody but this machine answers for loopback. */
export function keepLoopbackDirect(env: NodeJS.ProcessEnv = process.env): void {
  const given = env.no_proxy ?? env.NO_PROXY ?? "";
  if (given.trim() === "*") return;
  const direct = [given, "127.0.0.1", "localhost", "[::1]", "::1"].filter((host) => host !== "");
  env.no_proxy = direct.join(",");
  env.NO_PROXY = env.no_proxy;
}

/** @param counted the exit code by which a shell counts a process that this signal ended. */
type Stop = (counted: number) => Promise<number>;

let onSignal: Stop = async (counted) => counted;

/**
 * Has `stop` called, once, when somebody asks this process to end, and then ends it. Without it the process ends at
 * once: what it started and its temporary directories go with it (`endsWithUs`, `temporaryDirectory`).
 * @param stop resolves to the exit code.
 */
export function onInterrupt(stop: Stop): void {
  onSignal = stop;
}

/** The number of a signal is added to it, as by every shell. */
const ENDED_BY_SIGNAL = 128;

function endOnSignals(): void {
  let stopping = false;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      // A terminal and npm may both pass on one Ctrl-C.
      if (stopping) return;
      stopping = true;
      onSignal(ENDED_BY_SIGNAL + constants.signals[signal]).then(
        (exitCode) => process.exit(exitCode),
        (thrown: unknown) => {
          console.error(thrown);
          process.exit(FAILED);
        },
      );
    });
  }
}

const CAUSES: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens there",
  ENOTFOUND: "there is no such host",
  EAI_AGAIN: "the name cannot be resolved now",
  ECONNRESET: "the connection was cut",
  UND_ERR_SOCKET: "the connection was cut",
  ETIMEDOUT: "it does not answer",
  UND_ERR_CONNECT_TIMEOUT: "it does not answer",
  ERR_SSL_WRONG_VERSION_NUMBER: "it does not speak https:",
  CERT_HAS_EXPIRED: "its certificate has expired",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is self-signed",
};

/** Why a fetch failed, in words and with its code; the message of a failed fetch itself may repeat a header. */
export function causeOf(thrown: unknown): string {
  type Cause = { code?: unknown; errors?: unknown };
  const { name, cause } = thrown as { name?: string; cause?: Cause };
  if (name === "TimeoutError") return "it does not answer in time";
  const [first] = Array.isArray(cause?.errors) ? (cause.errors as { code?: unknown }[]) : [];
  const code = String(cause?.code ?? first?.code ?? name ?? thrown);
  const words = CAUSES[code];
  return words === undefined ? code : `${words}, ${code}`;
}
