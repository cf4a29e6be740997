/**
 * The whole relay: the Worker as a deploy would bundle it, in a workerd of its own, with KV, queue and objects. What
 * it keeps outlives its workerd, so that it can be killed and started again, by other variables if need be.
 */
import { type TemporaryDirectory, temporaryDirectory } from "../../scripts/temporary.ts";
import { Api, type Keys } from "./api.ts";
import { startWorkerd, type Workerd } from "./workerd.ts";

export type Variables = Readonly<Record<string, string>>;

export type RelayOptions = {
  /** What `buildWorker` made. */
  build: { directory: string };
  /** Beside the keys; `ALLOW_PRIVATE_DESTINATIONS` is "true" unless it is given. */
  variables?: Variables;
  keys?: Partial<Keys>;
  /** `url` is then a socket of the Worker's own, and static files are not served. */
  directSocket?: boolean;
  inspected?: boolean;
  /** Keep all that it logs, and not only what went wrong. */
  keepsLog?: boolean;
};

export class Relay extends Api implements AsyncDisposable {
  /** Every line that it has logged, where that is kept. */
  readonly logs: string[] = [];
  readonly #options: RelayOptions;
  readonly #state: TemporaryDirectory;
  #variables: Variables;
  #workerd: Workerd | null = null;

  /** Nothing runs before `start`. */
  constructor(options: RelayOptions) {
    super(options.keys);
    this.#options = options;
    this.#variables = options.variables ?? {};
    this.#state = temporaryDirectory("state");
  }

  static async start(options: RelayOptions): Promise<Relay> {
    const relay = new Relay(options);
    try {
      await relay.start();
      return relay;
    } catch (thrown) {
      await relay.close();
      throw thrown;
    }
  }

  /**
   * Starts it for the first time, or again after a kill.
   *
   * @param onSpawn called with what kills the process as soon as it exists: for a kill before it is up.
   * @returns when it began to listen, Unix milliseconds.
   * @throws when it does not start.
   */
  async start(onSpawn?: (kill: () => Promise<void>) => void): Promise<number> {
    const { build, directSocket = false, inspected = false, keepsLog = false } = this.#options;
    this.#workerd = await startWorkerd({
      build,
      stateDirectory: this.#state.directory,
      directSocket,
      inspected,
      vars: {
        LEADTERRA_SIGNING_SECRETS: this.signingSecret,
        API_KEYS: this.apiKey,
        ALLOW_PRIVATE_DESTINATIONS: "true",
        ...this.#variables,
      },
      ...(keepsLog ? { onLine: (line: string) => this.logs.push(line) } : {}),
      ...(onSpawn === undefined ? {} : { onSpawn }),
    });
    this.url = this.#workerd.url;
    return this.#workerd.upAtMs;
  }

  /** SIGKILL; what it kept stays. @returns its last complaints. */
  async kill(): Promise<readonly string[]> {
    const complaints = this.complaints;
    await this.#workerd?.kill();
    this.#workerd = null;
    return complaints;
  }

  /** The last of what it logged as an error or a warning, and of what was never caught, in this life. */
  get complaints(): readonly string[] {
    return this.#workerd?.complaints ?? [];
  }

  /** Where its processor time can be watched; null unless that was asked for. */
  get inspectorUrl(): string | null {
    return this.#workerd?.inspectorUrl ?? null;
  }

  /** Of the process that holds miniflare; workerd is its child. */
  get processId(): number {
    if (this.#workerd === null) throw new Error("the relay does not run");
    return this.#workerd.processId;
  }

  /** Runs on with other variables and the same state, as after a deploy. The local queue must be empty. */
  async redeploy(variables: Variables): Promise<void> {
    await this.kill();
    this.#variables = variables;
    await this.start();
  }

  /** What cron does every five minutes. */
  async sweep(): Promise<void> {
    const { status } = await this.fetch("/cdn-cgi/local/scheduled");
    if (status !== 200) throw new Error(`not swept: ${status}`);
  }

  /** Ends it, and forgets what it kept. */
  async close(): Promise<void> {
    await this.kill();
    this.#state.remove();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
