/** `npm run apply` against a relay: what it prints, what it changes, and what it leaves. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { mapInParallel } from "../rig/api.ts";
import { eventually } from "../rig/eventually.ts";
import { answering, startReceiver } from "../rig/receiver.ts";
import { runScript } from "../scripts/run.ts";
import { API_KEY, type JourneyRelay, READ_ONLY_API_KEY, startRelay } from "./relay.ts";

let relay: JourneyRelay;
let folder: string;

beforeAll(async () => {
  relay = await startRelay();
});
afterAll(() => relay?.close());
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "apply-"));
});
afterEach(async () => {
  rmSync(folder, { recursive: true });
  await mapInParallel(await webhooks(), 10, ({ id }) =>
    relay.request("DELETE", `/v1/webhooks/${id}`),
  );
});

type Webhook = { id: string; name: string | null; url: string; updatedAt: string };

function webhooks(): Promise<Webhook[]> {
  return relay.all("/webhooks");
}

async function audited(): Promise<number> {
  const { body } = await relay.request("GET", "/v1/audit?limit=1");
  return Number((body as { data: { id: string }[] }).data[0]?.id ?? 0);
}

const file = () => join(folder, "webhooks.json");

function write(content: unknown): void {
  writeFileSync(file(), typeof content === "string" ? content : JSON.stringify(content));
}

function apply(args: string[] = [], env: Record<string, string> = {}) {
  return runScript("apply", [file(), "--relay", relay.url, ...args], {
    env: { RELAY_API_KEY: API_KEY, ...env },
  });
}

const CRM = {
  name: "crm",
  url: "https://crm.example.com/in?token=t",
  events: ["reply.received"],
  filter: { "data.reply.classification": "interested" },
  headers: { Authorization: { $env: "CRM_AUTHORIZATION" } },
};
const AUDIT = { name: "audit", url: "https://audit.example.com/in", events: ["*"] };
const ENV = { CRM_AUTHORIZATION: "Bearer the-token-of-the-crm" };

describe("npm run apply", () => {
  it("prints what it makes, keeps the secrets for the owner alone, and changes nothing the second time", async () => {
    write({ webhooks: [CRM, AUDIT] });
    const first = await apply([], ENV);
    expect(first).toMatchObject({ exitCode: 0, stderr: "" });
    expect(first.stdout).toMatch(/\+ crm\n {4}url: "https:\/\/crm\.example\.com\/in\?…"/);
    expect(first.stdout).not.toMatch(/whsec_|the-token-of-the-crm|token=t/);
    const secrets = readFileSync(`${file()}.secrets`, "utf8");
    expect(secrets).toMatch(/^crm whsec_\S+\naudit whsec_\S+\n$/);
    expect(statSync(`${file()}.secrets`).mode & 0o777).toBe(0o600);
    expect((await webhooks()).map(({ name }) => name).sort()).toEqual(["audit", "crm"]);

    const [before, lines] = [await webhooks(), await audited()];
    const second = await apply([], ENV);
    expect(second).toMatchObject({ exitCode: 0, stderr: "" });
    expect(second.stdout).toContain("2 webhooks are as");
    expect(await webhooks()).toEqual(before);
    expect(await audited()).toBe(lines);
    expect(readFileSync(`${file()}.secrets`, "utf8")).toBe(secrets);
  });

  it("changes nothing with --dry-run, and says by its exit code whether there is a difference", async () => {
    write({ webhooks: [AUDIT] });
    const wouldMake = await apply(["--dry-run"]);
    expect(wouldMake).toMatchObject({ exitCode: 2, stderr: "" });
    expect(wouldMake.stdout).toContain("+ audit");
    expect(await webhooks()).toEqual([]);
    expect(existsSync(`${file()}.secrets`)).toBe(false);

    await apply();
    expect((await apply(["--dry-run"])).exitCode).toBe(0);
    const [before, lines] = [await webhooks(), await audited()];
    write({ webhooks: [{ ...AUDIT, rateLimit: 5, description: "All of it" }] });
    const wouldChange = await apply(["--dry-run"]);
    expect(wouldChange.exitCode).toBe(2);
    expect(wouldChange.stdout).toContain('~ audit\n    description: "All of it"\n    rateLimit: 5');
    expect(await webhooks()).toEqual(before);
    expect(await audited()).toBe(lines);
  });

  it("sees another value of a header, which nothing shows", async () => {
    write({ webhooks: [CRM] });
    await apply([], ENV);
    expect((await apply(["--dry-run"], ENV)).exitCode).toBe(0);
    const other = { CRM_AUTHORIZATION: "Bearer another-token" };
    const seen = await apply(["--dry-run"], other);
    expect(seen.exitCode).toBe(2);
    expect(seen.stdout).toContain("headers: another value");
    expect(seen.stdout).not.toContain("another-token");
    expect((await apply([], other)).exitCode).toBe(0);
    expect((await apply(["--dry-run"], other)).exitCode).toBe(0);
  });

  it("reads a file that an editor has begun with a byte order mark", async () => {
    write(`\uFEFF${JSON.stringify({ webhooks: [AUDIT] })}`);
    expect(await apply(["--dry-run"])).toMatchObject({ exitCode: 2, stderr: "" });
  });

  it("sees another query of a URL, which it does not show", async () => {
    write({ webhooks: [{ ...AUDIT, url: `${AUDIT.url}?token=one` }] });
    await apply();
    write({ webhooks: [{ ...AUDIT, url: `${AUDIT.url}?token=two` }] });
    const seen = await apply();
    expect(seen.stdout).toMatch(/^~ audit\n {4}url: another query \(queries are never shown\)\n$/);
    expect((await apply(["--dry-run"])).exitCode).toBe(0);
  });

  it("sets back what is not in the file, and leaves status and secret alone", async () => {
    write({ webhooks: [{ ...AUDIT, rateLimit: 5, status: "paused" }] });
    expect((await apply()).stdout).toContain('status: "paused"');
    await relay.request("POST", "/v1/webhooks/audit/resume");
    write({ webhooks: [{ ...AUDIT, status: "paused" }] });
    const changed = await apply();
    expect(changed.stdout).toContain("rateLimit: 5 → its default");
    expect((await relay.request("GET", "/v1/webhooks/audit")).body).toMatchObject({
      webhook: { rateLimit: null, status: "active" },
    });
    expect((await apply(["--dry-run"])).exitCode).toBe(0);
  });

  it.for([
    ["no JSON", "{", /no JSON/],
    ["another shape", { hooks: [] }, /must be \{"webhooks"/],
    ["a field of its own", { webhooks: [], more: 1 }, /without "more"/],
    ["a webhook without a name", { webhooks: [AUDIT, { url: "x" }] }, /webhooks\[1\]\.name/],
    ["a name twice", { webhooks: [AUDIT, AUDIT] }, /audit stands in the file more than once/],
    ["a variable that is not set", { webhooks: [AUDIT, CRM] }, /CRM_AUTHORIZATION is not in/],
    [
      "what the relay refuses",
      { webhooks: [AUDIT, { ...CRM, headers: {}, url: "ftp://x", filter: { a: { $no: 1 } } }] },
      /crm: filter[\s\S]*crm: url must/,
    ],
    [
      "an unknown field",
      { webhooks: [AUDIT, { ...AUDIT, name: "b", colour: "red" }] },
      /colour is not a known field/,
    ],
    [
      "a dry run in it",
      { webhooks: [AUDIT, { ...AUDIT, name: "b", dryRun: true }] },
      /b: dryRun is not a known field/,
    ],
  ] as const)("changes nothing at all for a file with %s", async ([, content, said]) => {
    write(content);
    const { exitCode, stderr } = await apply();
    expect(stderr).toMatch(said);
    expect(exitCode).toBe(1);
    expect(await webhooks()).toEqual([]);
  });

  it("says where a file is no JSON, and not what stands there: it may be the value of a header", async () => {
    write('{"webhooks": [\n{"name": "crm", "headers": {\n"x-key": the-token-of-the-crm}}]}');
    const { exitCode, stderr } = await apply();
    expect([exitCode, stderr]).toEqual([1, expect.stringMatching(/is no JSON: .* in line 3\b/)]);
    expect(stderr).not.toContain("the-");
  });

  it("changes nothing at all where there would be more than 500, and makes room first where it can", {
    timeout: 180_000,
  }, async () => {
    const nameless = { url: "https://old.example.com/", events: ["*"] };
    await relay.request("PUT", "/v1/webhooks/old", nameless);
    await mapInParallel(Array.from({ length: 498 }), 10, () =>
      relay.request("POST", "/v1/webhooks", nameless),
    );
    const lines = await audited();
    write({ webhooks: [{ ...AUDIT, description: "All of it" }, CRM] });
    for (const args of [[], ["--dry-run"]]) {
      const { exitCode, stdout, stderr } = await apply(args, ENV);
      expect(stderr).toMatch(/nothing was changed:\n {2}there would be 501 webhooks/);
      expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
    }
    expect(await audited()).toBe(lines);
    expect(existsSync(`${file()}.secrets`)).toBe(false);

    const named = async () => (await webhooks()).flatMap(({ name }) => name ?? []).sort();
    expect(await apply(["--prune"], ENV)).toMatchObject({ exitCode: 0, stderr: "" });
    expect(await named()).toEqual(["audit", "crm"]);
    expect(await webhooks()).toHaveLength(500);
    write({ webhooks: [AUDIT, { ...CRM, name: "third" }] });
    expect((await apply([], ENV)).stderr).toContain("there would be 501 webhooks");
    const swapped = await apply(["--prune"], ENV);
    expect(swapped).toMatchObject({ exitCode: 0, stderr: "" });
    expect(swapped.stdout).not.toContain("the-token-of-the-crm");
    expect(await named()).toEqual(["audit", "third"]);
  });

  it("changes nothing at all where a new secret could not be kept", async () => {
    write({ webhooks: [AUDIT] });
    mkdirSync(`${file()}.secrets`);
    const { exitCode, stderr } = await apply();
    expect(stderr).toMatch(/Nothing was changed: .*\.secrets, for new secrets, .*EISDIR/);
    expect(exitCode).toBe(1);
    expect(await webhooks()).toEqual([]);
  });

  it("deletes with --prune what has a name and is not in the file, but no listener", async () => {
    const nameless = { url: "https://old.example.com/", events: ["*"] };
    await relay.request("POST", "/v1/webhooks", nameless);
    await relay.request("PUT", "/v1/webhooks/anna", { url: "listener:", events: ["*"] });
    await relay.request("PUT", "/v1/webhooks/old", nameless);
    write({ webhooks: [AUDIT] });
    expect((await apply()).exitCode).toBe(0);
    expect(await webhooks()).toHaveLength(4);
    const dry = await apply(["--prune", "--dry-run"]);
    expect(dry).toMatchObject({ exitCode: 2 });
    expect(dry.stdout).toContain("- old\nNothing was changed");
    expect(await webhooks()).toHaveLength(4);
    expect((await apply(["--prune"])).exitCode).toBe(0);
    expect((await webhooks()).map(({ name }) => name)).toEqual(
      expect.arrayContaining([null, "anna", "audit"]),
    );
    expect(await webhooks()).toHaveLength(3);
  });

  it("says with --prune what of a webhook goes too", async () => {
    const receiver = await startReceiver();
    receiver.answer = answering(422);
    const old = { url: receiver.url, events: ["apply.old"], giveUpOn: [422] };
    await relay.request("PUT", "/v1/webhooks/old", old);
    const health = async () => (await relay.request("GET", "/v1/webhooks/old/health")).body;
    const post = (messageId: string) =>
      relay.post({ event: "apply.old", timestamp: new Date().toISOString(), data: { messageId } });
    const dry = async () => (await apply(["--prune", "--dry-run"])).stdout;
    write({ webhooks: [] });
    await post("apply_1");
    await eventually(async () => expect(await health()).toMatchObject({ undeliverable: 1 }));
    expect(await dry()).toContain("- old\n    1 undeliverable delivery goes too\n");
    await relay.request("POST", "/v1/webhooks/old/pause");
    await post("apply_2");
    await post("apply_3");
    await eventually(async () => expect(await health()).toMatchObject({ pending: 2 }));
    expect(await dry()).toContain("- old\n    2 waiting and 1 undeliverable deliveries go too\n");
  });

  it("gives new secrets to --secret-command, and keeps those that it does not take", async () => {
    write({ webhooks: [AUDIT] });
    const taken = await apply(["--secret-command", `cat > ${folder}/$WEBHOOK.secret`]);
    expect(taken.exitCode).toBe(0);
    expect(readFileSync(join(folder, "audit.secret"), "utf8")).toMatch(/^whsec_\S+\n$/);
    expect(existsSync(`${file()}.secrets`)).toBe(false);
    write({ webhooks: [{ ...AUDIT, url: "https://moved.example.com/" }] });
    const refused = await apply(["--secret-command", "exit 3"]);
    expect(refused.exitCode).toBe(1);
    expect(readFileSync(`${file()}.secrets`, "utf8")).toMatch(/^audit whsec_\S+\n$/);
  });

  it("keeps the new secret of another origin, also where the file has one of its own", async () => {
    const signingSecret = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;
    write({ webhooks: [{ ...AUDIT, signingSecret }] });
    await apply();
    expect(existsSync(`${file()}.secrets`)).toBe(false);
    const moved = { ...AUDIT, signingSecret, url: "https://moved.example.com/" };
    write({ webhooks: [moved] });
    expect((await apply(["--dry-run"])).stdout).toContain("a new signing secret at once");
    write({ webhooks: [{ ...moved, sameService: true }] });
    expect((await apply(["--dry-run"])).stdout).not.toContain("signing secret");
    write({ webhooks: [moved] });
    expect((await apply()).exitCode).toBe(0);
    const secrets = readFileSync(`${file()}.secrets`, "utf8");
    expect(secrets).toMatch(/^audit whsec_\S+\n$/);
    expect(secrets).not.toContain(signingSecret);
  });

  it("exports a file that changes nothing when it is applied", async () => {
    const full = {
      ...CRM,
      description: "The CRM",
      rateLimit: 2.5,
      ordered: true,
      concurrency: 12,
      timeout: "30s",
      retrySchedule: "1m 5m",
      giveUpOn: [404, 422],
      status: "paused",
    };
    write({ webhooks: [full, AUDIT] });
    await apply([], ENV);
    await relay.request("POST", "/v1/webhooks", { url: "https://x.example.com/", events: ["*"] });
    await relay.request("PUT", "/v1/webhooks/anna", { url: "listener:", events: ["*"] });
    rmSync(file());
    const looked = await apply(["--export", "--dry-run"]);
    expect(looked).toMatchObject({ exitCode: 0 });
    expect(existsSync(file())).toBe(false);
    const exported = await apply(["--export"]);
    expect(exported).toMatchObject({ exitCode: 0, stderr: "" });
    expect(exported.stdout).toMatch(/2 webhooks are in/);
    expect(exported.stdout).toMatch(
      /Left out: (wh_\S+) \(https:\/\/x\.example\.com\/\), without a name; PATCH \/v1\/webhooks\/\1 \{"name"/,
    );
    expect(exported.stdout).toMatch(/Left out: anna/);
    const { webhooks: written } = JSON.parse(readFileSync(file(), "utf8"));
    expect(JSON.parse(looked.stdout)).toMatchObject({ webhooks: written });
    expect(looked.stderr).toMatch(/2 webhooks would be in/);
    const headers = { authorization: { $env: "CRM_AUTHORIZATION" } };
    expect(written).toEqual([AUDIT, { ...full, headers }]);
    const lines = await audited();
    const again = await apply([], ENV);
    expect(again.stdout).toContain("2 webhooks are as");
    expect(await audited()).toBe(lines);
    expect((await apply(["--export"])).stderr).toMatch(
      /is there already: remove it, or give another name/,
    );
  });

  it("says in a sentence that the key only reads, is unknown, or that no relay is there", async () => {
    write({ webhooks: [AUDIT] });
    const asked = async (key: string) => (await apply([], { RELAY_API_KEY: key })).stderr;
    expect(await asked(READ_ONLY_API_KEY)).toMatch(/takes a key that may change things/);
    expect(await asked("a-key-that-nobody-knows")).toMatch(
      /does not know the key: RELAY_API_KEY, or without it the first of API_KEYS in \.dev\.vars\./,
    );
  });
});
