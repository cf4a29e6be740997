/** `npm run deploy` from end to end, with wrangler itself, against a stand-in of Cloudflare's API. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { type Unstable_Config, unstable_readConfig } from "wrangler";
import {
  problemsOfBindings,
  problemsOfVars,
  REQUIRED_SECRETS,
} from "../../scripts/deploy-check.ts";
import { ROOT } from "../../scripts/wrangler.ts";
import { readConfig } from "../../src/config.ts";
import { type Cloudflare, SUBDOMAIN, startCloudflare } from "./cloudflare.ts";
import { runScript } from "./run.ts";

const NAME = "leadterra-relay";
const NAMESPACE = `${NAME}-idempotency`;
const TOML = readFileSync(join(ROOT, "wrangler.toml"), "utf8");
const CONFIG: Unstable_Config = unstable_readConfig({ config: join(ROOT, "wrangler.toml") });
/** Classes and tag of the release that runs everywhere: they can never be made again under another tag. */
const FIRST_RELEASE = {
  migrationTag: "v1",
  objects: {
    REGISTRY: "Registry",
    SUBSCRIBER: "Subscriber",
    JOURNAL: "Journal",
    DEAD_LETTER_STORE: "DeadLetters",
  },
};
/** Likewise that of 0.2.0, with the class that it makes. A later release that brings a class writes its own here. */
const LAST_TAG = "v2";
/** wrangler starts, builds and bundles, several times. */
const SLOW = { timeout: 300_000 };

const deploy = (cloudflare: Cloudflare, ...args: string[]) =>
  runScript("deploy", args, { env: cloudflare.env });

/** A wrangler.toml beside the relay's own, which ends with the test. */
function writeToml(text: string): string {
  const path = join(ROOT, `wrangler.deploy-test-${Math.random().toString(36).slice(2)}.toml`);
  writeFileSync(path, text);
  onTestFinished(() => rmSync(path));
  return path;
}

function workerOf({ workers }: Cloudflare) {
  const worker = workers.get(NAME);
  if (worker === undefined) throw new Error("There is no Worker.");
  return worker;
}

/** What wrangler asks for until a first deploy is whole, so that each refusal is met: it sets triggers side by side. */
const STEPS = [
  ["the session for the assets", "POST", "/assets-upload-session"],
  ["the KV namespace", "POST", "/storage/kv/namespaces"],
  ["the first queue, after the KV namespace was made", "POST", '"queue_name":"leadterra-events"'],
  ["the second queue", "POST", '"queue_name":"leadterra-dead-letters"'],
  ["the script", "PUT", `/workers/scripts/${NAME} `],
  ["the address at workers.dev", "POST", "/subdomain"],
  ["a consumer", "POST", "/consumers"],
  ["the cron trigger", "PUT", "/schedules"],
  ["the list of secrets", "GET", "/secrets"],
] as const;
/** Cloudflare's code for an error of its own. */
const REFUSED = 10_013;

/** All that the relay needs is there, and once. */
function expectWhole(cloudflare: Cloudflare): void {
  const { namespaces, queues, assets } = cloudflare;
  const { crons, workersDev, migrationTag, metadata } = workerOf(cloudflare);
  expect([...namespaces.values()]).toEqual([NAMESPACE]);
  expect(metadata.bindings).toContainEqual({
    type: "kv_namespace",
    name: "IDEMPOTENCY",
    namespace_id: [...namespaces.keys()][0],
  });
  const consumers = [...queues].map(([name, queue]) => [name, queue.consumers.length]);
  expect(consumers).toEqual([
    ["leadterra-events", 1],
    ["leadterra-dead-letters", 1],
  ]);
  expect(assets.size).toBeGreaterThan(0);
  expect({ crons, workersDev, migrationTag }).toEqual({
    crons: CONFIG.triggers.crons,
    workersDev: true,
    migrationTag: LAST_TAG,
  });
}

/** Where 0.1.0 was deployed. */
function deployFirstRelease({ workers, queues, namespaces }: Cloudflare): void {
  namespaces.set("the-namespace", NAMESPACE);
  for (const name of ["leadterra-events", "leadterra-dead-letters"]) {
    queues.set(name, {
      id: `id-of-${name}`.replaceAll("-", "_"),
      consumers: [{ id: "c", script: NAME, settings: {} }],
    });
  }
  const objects = Object.entries(FIRST_RELEASE.objects).map(([name, class_name]) => ({
    type: "durable_object_namespace",
    name,
    class_name,
  }));
  const bindings = [
    { type: "kv_namespace", name: "IDEMPOTENCY", namespace_id: "the-namespace" },
    { type: "queue", name: "EVENTS", queue_name: "leadterra-events" },
    { type: "queue", name: "DEAD_LETTERS", queue_name: "leadterra-dead-letters" },
    ...objects,
  ];
  const metadata = { bindings, compatibility_date: "2026-11-01", compatibility_flags: [] };
  workers.set(NAME, {
    metadata,
    versions: [{ id: "00000000-0000-4000-8000-000000000001", metadata }],
    migrationTag: FIRST_RELEASE.migrationTag,
    secrets: [...REQUIRED_SECRETS],
    crons: [],
    workersDev: true,
  });
}

describe("a first deploy", () => {
  it(
    "makes all that the relay needs and names the secrets; the second makes nothing twice",
    SLOW,
    async () => {
      const cloudflare = await startCloudflare();
      const first = await deploy(cloudflare);
      expect(cloudflare.unknown).toEqual([]);
      expect(first).toMatchObject({ exitCode: 0 });
      const worker = workerOf(cloudflare);
      expect([...cloudflare.namespaces.values()]).toEqual([NAMESPACE]);
      expect([...cloudflare.queues.keys()]).toEqual(["leadterra-events", "leadterra-dead-letters"]);
      expect(cloudflare.queues.get("leadterra-events")?.consumers).toMatchObject([
        {
          script: NAME,
          dead_letter_queue: "leadterra-dead-letters",
          settings: { batch_size: 100, max_retries: 100, max_wait_time_ms: 0 },
        },
      ]);
      expect(cloudflare.queues.get("leadterra-dead-letters")?.consumers).toMatchObject([
        { script: NAME },
      ]);
      expect(worker.crons).toEqual(CONFIG.triggers.crons);
      expect(worker.migrationTag).toBe(LAST_TAG);
      expect(worker.workersDev).toBe(true);
      expect(cloudflare.assets.size).toBeGreaterThan(0);
      expect(worker.metadata.code_update_strategy).toEqual({ mode: "deferred", max_delay: 300 });
      expect(worker.metadata.observability).toMatchObject({
        enabled: true,
        redact_query_string: true,
        logs: { invocation_logs: false },
        traces: { enabled: false },
        issues: { enabled: false },
      });
      for (const secret of REQUIRED_SECRETS) {
        expect(first.stdout).toContain(`npx wrangler secret put ${secret}`);
      }
      const address = `https://${NAME}.${SUBDOMAIN}.workers.dev`;
      expect(first.stdout).toContain(`npm run register -- --relay ${address}\n`);
      expect(first.stdout).toContain(`${address}/healthz`);

      worker.secrets.push(...REQUIRED_SECRETS);
      cloudflare.changes.length = 0;
      const second = await deploy(cloudflare);
      expect({ ...second, unknown: cloudflare.unknown }).toMatchObject({
        exitCode: 0,
        unknown: [],
      });
      expect(second.stdout).not.toMatch(/secret put|npm run register/);
      const made = cloudflare.changes.map(({ method, path }) => `${method} ${path}`);
      expect(
        made.filter((change) => /POST .*(namespaces|queues|consumers|upload)$/.test(change)),
      ).toEqual([]);
      expect(worker.versions).toHaveLength(2);
      expect(cloudflare.deployments).toMatchObject([
        { code_update_strategy: { mode: "deferred", max_delay: 300 } },
      ]);
      expect(worker.metadata.migrations).toBeUndefined();
    },
  );

  it(
    "that is refused at any step says so in a sentence, and the same command goes on from there",
    SLOW,
    async () => {
      const cloudflare = await startCloudflare();
      for (const [step, method, part] of STEPS) {
        const message = `refused at ${step}`;
        cloudflare.refuse(method, part, { code: REFUSED, message });
        const { exitCode, stdout, stderr } = await deploy(cloudflare);
        expect(stdout + stderr).toContain(message);
        expect(exitCode, step).not.toBe(0);
        expect(stderr).toContain("the same command goes on from there");
        expect(stdout + stderr).not.toMatch(/\n {4}at /);
      }
      const last = await deploy(cloudflare);
      expect({ ...last, unknown: cloudflare.unknown }).toMatchObject({ exitCode: 0, unknown: [] });
      expectWhole(cloudflare);
    },
  );
});

describe("a deploy over 0.1.0", () => {
  it("keeps its objects, its namespace and its queues, and adds what is new", SLOW, async () => {
    const cloudflare = await startCloudflare();
    deployFirstRelease(cloudflare);
    const { exitCode, stdout } = await deploy(cloudflare);
    expect({ exitCode, unknown: cloudflare.unknown }).toEqual({ exitCode: 0, unknown: [] });
    expect(stdout).not.toContain("secret put");
    const worker = workerOf(cloudflare);
    const { bindings, migrations } = worker.metadata;
    expect(worker.migrationTag).toBe(LAST_TAG);
    expect(migrations).toMatchObject({
      old_tag: FIRST_RELEASE.migrationTag,
      new_tag: LAST_TAG,
      steps: [{ new_sqlite_classes: ["Lane"] }],
    });
    for (const [name, class_name] of Object.entries(FIRST_RELEASE.objects)) {
      expect(bindings).toContainEqual({ type: "durable_object_namespace", name, class_name });
    }
    expect(bindings).toContainEqual(
      expect.objectContaining({ name: "IDEMPOTENCY", namespace_id: "the-namespace" }),
    );
    expect([...cloudflare.namespaces.keys()]).toEqual(["the-namespace"]);
  });
});

describe("the check before a deploy", () => {
  const broken: [what: string, from: string | RegExp, to: string, sentence: string][] = [
    [
      "a queue that is not bound",
      'binding = "EVENTS"',
      'binding = "EVENT"',
      "the binding EVENTS is missing",
    ],
    ["a class that nothing makes", '"Journal", ', "", "make the class Journal"],
    [
      "a sweep that never runs",
      'crons = ["*/5 * * * *"]',
      "",
      'crons = ["*/5 * * * *"] is missing below [triggers]',
    ],
    ["no cron", 'crons = ["*/5 * * * *"]', "crons = []", "is missing below [triggers]"],
    ["a bad variable", "[vars]", '[vars]\nRETENTION = "forever"', "RETENTION must be"],
    ["a misspelt variable", "[vars]", '[vars]\nRETENTOIN = "30d"', "is it misspelt?"],
    ["a secret in the open", "[vars]", '[vars]\nAPI_KEYS = "x"', "API_KEYS is a secret"],
    [
      "a queue that nobody consumes",
      '[[queues.consumers]]\nqueue = "leadterra-dead-letters"',
      '[[queues.consumers]]\nqueue = "others"',
      "leadterra-dead-letters has no [[queues.consumers]]",
    ],
    [
      "dead letters that go elsewhere",
      'dead_letter_queue = "leadterra-dead-letters"',
      'dead_letter_queue = "others"',
      "dead_letter_queue of leadterra-events must be leadterra-dead-letters",
    ],
    [
      "one queue for both",
      'binding = "EVENTS"\nqueue = "leadterra-events"',
      'binding = "EVENTS"\nqueue = "leadterra-dead-letters"',
      "EVENTS and DEAD_LETTERS must be bound to two queues.",
    ],
  ];
  it.each(broken)("names %s", async (_, from, to, sentence) => {
    expect(TOML).toContain(from);
    const path = writeToml(TOML.replace(from, to));
    const config = {
      ...unstable_readConfig({ config: path }, { hideWarnings: true }),
      path,
      env: undefined,
    };
    const problems = [...problemsOfBindings(config), ...(await problemsOfVars(config.vars))];
    expect(problems.join("\n")).toContain(sentence);
  });

  it("names what an environment does not inherit", () => {
    const path = writeToml(`${TOML}\n[env.staging]\nname = "relay-staging"\n`);
    const config = unstable_readConfig({ config: path, env: "staging" }, { hideWarnings: true });
    expect(problemsOfBindings({ ...config, path, env: "staging" })).toContain(
      "the binding IDEMPOTENCY is missing for --env staging: environments inherit none.",
    );
  });

  it.each<[what: string, toml: string, args: string[], sentence: string]>([
    [
      "a bad variable",
      TOML.replace("[vars]", '[vars]\nRETENTION = "forever"'),
      [],
      "RETENTION must be",
    ],
    [
      "an environment without its bindings",
      `${TOML}\n[env.staging]\nname = "relay-staging"\n`,
      ["--env", "staging"],
      "the binding REGISTRY is missing for --env staging",
    ],
    [
      "an environment that there is not",
      TOML,
      ["--env", "staging"],
      "there is no environment staging: [env.staging] would make it.",
    ],
    [
      "a binding that is left out",
      TOML.replace('binding = "DEAD_LETTERS"', 'binding = "OTHERS"'),
      [],
      "the binding DEAD_LETTERS is missing",
    ],
    [
      "dead letters whose queue has another name",
      TOML.replaceAll('"leadterra-dead-letters"', '"staging-dead-letters"'),
      [],
      'DEAD_LETTER_QUEUE must be "staging-dead-letters"',
    ],
  ])("stops at %s before anything is sent", SLOW, async (_, toml, args, sentence) => {
    const cloudflare = await startCloudflare();
    const path = writeToml(toml);
    const { exitCode, stdout, stderr } = await deploy(cloudflare, "--config", path, ...args);
    expect(stderr).toContain("Nothing was sent.");
    expect(stderr).toContain(sentence);
    expect({ exitCode, stdout, asked: [...cloudflare.paths] }).toEqual({
      exitCode: 1,
      stdout: "",
      asked: [],
    });
  });

  it.each<[what: string, toml: string, args: string[]]>([
    ["true behind an option", TOML, ["--keep-vars", "true", "--dry-run", "true"]],
    ["environments of which none is named", `${TOML}\n[env.staging]\n`, ["--dry-run"]],
    [
      "no environment, where there are some",
      `${TOML}\n[env.staging]\n`,
      ["--env", "", "--dry-run"],
    ],
    [
      "a cron as an option",
      TOML.replace('crons = ["*/5 * * * *"]', ""),
      ["--triggers", "*/5 * * * *", "--dry-run"],
    ],
  ])("takes %s, as wrangler does", SLOW, async (_, toml, args) => {
    const cloudflare = await startCloudflare();
    const { exitCode, stdout } = await deploy(cloudflare, "--config", writeToml(toml), ...args);
    expect(stdout).toContain("--dry-run: exiting now.");
    expect(stdout).not.toContain("/healthz");
    expect({ exitCode, asked: [...cloudflare.paths] }).toEqual({ exitCode: 0, asked: [] });
  });

  it(
    "names the secrets of what was deployed, where a variable names another environment",
    SLOW,
    async () => {
      const cloudflare = await startCloudflare();
      vi.stubEnv("CLOUDFLARE_ENV", "staging");
      onTestFinished(() => void vi.unstubAllEnvs());
      const path = writeToml(`${TOML}\n[env.staging]\n`);
      const { exitCode, stdout } = await deploy(cloudflare, "--config", path, "--env", "");
      expect(exitCode).toBe(0);
      for (const secret of REQUIRED_SECRETS) {
        expect(stdout).toContain(`npx wrangler secret put ${secret} --env= --config ${path}`);
      }
    },
  );

  it(
    "stops at an environment that there is not, also where a variable names it",
    SLOW,
    async () => {
      const cloudflare = await startCloudflare();
      vi.stubEnv("CLOUDFLARE_ENV", "staging");
      onTestFinished(() => void vi.unstubAllEnvs());
      const { exitCode, stderr } = await deploy(cloudflare, "--config", writeToml(TOML));
      expect(stderr).toContain("there is no environment staging: [env.staging] would make it.");
      expect({ exitCode, asked: [...cloudflare.paths] }).toEqual({ exitCode: 1, asked: [] });
    },
  );

  it.each([
    ["as JSON", (secrets: object) => JSON.stringify(secrets)],
    [
      "as in .env",
      (secrets: object) =>
        Object.entries(secrets)
          .map(([name, value]) => `${name}=${value}\n`)
          .join(""),
    ],
  ])("stops at secrets that nobody can present, and shows none: %s", async (_, written) => {
    const cloudflare = await startCloudflare();
    const directory = mkdtempSync(join(tmpdir(), "leadterra-relay-test-"));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const file = join(directory, "secrets");
    const API_KEYS = "Bearer a-key-of-16-characters";
    writeFileSync(file, written({ API_KEYS, LEADTERRA_SIGNING_SECRETS: "whsec_fine" }));
    const { exitCode, stdout, stderr } = await deploy(cloudflare, "--secrets-file", file);
    expect(stderr).toContain("In secrets:\n  API_KEYS: the value does not count");
    expect(stderr).not.toContain("LEADTERRA_SIGNING_SECRETS");
    expect(stdout + stderr).not.toContain("a-key-of-16-characters");
    expect([exitCode, ...cloudflare.paths]).toEqual([1]);
  });

  it("finds nothing in the relay's own wrangler.toml", () => {
    expect(problemsOfBindings({ ...CONFIG, path: "", env: undefined })).toEqual([]);
  });

  it("asks for the secrets that the relay itself misses", () => {
    const missing = readConfig({}).problems.map(({ name }) => name);
    expect(missing).toEqual(expect.arrayContaining([...REQUIRED_SECRETS]));
  });

  it("describes every binding and secret in package.json, for the Deploy button", () => {
    const { cloudflare } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
    const bound = [
      ...CONFIG.kv_namespaces.map(({ binding }) => binding),
      ...(CONFIG.queues.producers ?? []).map(({ binding }) => binding),
      ...CONFIG.durable_objects.bindings.map(({ name }) => name),
      String(CONFIG.assets?.binding),
    ];
    const secrets = [...REQUIRED_SECRETS, "READ_ONLY_API_KEYS", "ALERT_URL"];
    expect(Object.keys(cloudflare.bindings).sort()).toEqual([...bound, ...secrets].sort());
  });
});
