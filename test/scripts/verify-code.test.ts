/** The code that the dashboard gives away is run as it stands: by Node, and by Python where there is one. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SAMPLES } from "../../src/dashboard/webhooks/verify-code.ts";
import { createSigner, newSecret } from "../../src/domain/signature.ts";

const ID = "evt_QNH783WW52FCCN914ZB1QAYTW0";
const BODY = '{"event":"reply.received","data":{"text":"größer"}}';
const OTHER_BODY = BODY.replace("größer", "kleiner");
const secret = newSecret();
const hasPython = spawnSync("python3", ["--version"]).status === 0;

let folder: string;
let leadterra: string;
let headers: Record<string, string>;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "verify-code-"));
  const seconds = Math.floor(Date.now() / 1_000);
  const sign = await createSigner([secret]);
  const signed = await sign(ID, seconds, new TextEncoder().encode(BODY));
  leadterra = signed.leadterra;
  headers = {
    "webhook-id": ID,
    "webhook-timestamp": String(seconds),
    "webhook-signature": signed.standard,
  };
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

function codeOf(way: keyof typeof SAMPLES, language: string): string {
  const [, code] = Object.entries(SAMPLES[way]).find(([name]) => name.startsWith(language)) ?? [];
  return code ?? "";
}

/** What the program prints, with the secret in its environment. */
function run(command: string, name: string, program: string): string {
  const file = join(folder, name);
  writeFileSync(file, program);
  const { stdout, stderr } = spawnSync(command, [file], {
    encoding: "utf8",
    env: { ...process.env, RELAY_SECRET: secret },
  });
  expect(stderr).not.toMatch(/error/i);
  return stdout.trim();
}

const text = JSON.stringify;

describe("the code that verifies a delivery", () => {
  it("runs in Node with Leadterra's header", () => {
    const calls = `
      for (const [body, signature] of ${text([
        [BODY, leadterra],
        [OTHER_BODY, leadterra],
        [BODY, "ö".repeat(32)],
        [BODY, null],
        [BODY],
      ])}) console.log(isGenuine(Buffer.from(body), signature));`;
    const printed = run(process.execPath, "own.ts", codeOf("leadterra", "Node") + calls);
    expect(printed.split("\n")).toEqual(["true", ...Array(4).fill("false")]);
  });

  it("runs in Node with Standard Webhooks", () => {
    const library = pathToFileURL(
      join("node_modules", "standardwebhooks", "dist", "index.js"),
    ).href;
    const code = codeOf("standard", "Node").replace('"standardwebhooks"', text(library));
    const calls = `
      console.log(eventIn(${text(BODY)}, ${text(headers)}).event);
      try { eventIn(${text(OTHER_BODY)}, ${text(headers)}); } catch { console.log("refused"); }`;
    expect(run(process.execPath, "standard.mts", code + calls).split("\n")).toEqual([
      "reply.received",
      "refused",
    ]);
  });

  it.skipIf(!hasPython)("runs in Python, both ways", () => {
    const own = `${codeOf("leadterra", "Python")}
for body, signature in [(${text(BODY)}, ${text(leadterra)}), (${text(OTHER_BODY)}, ${text(leadterra)}), (${text(BODY)}, None)]:
    print(is_genuine(body.encode(), signature))
`;
    expect(run("python3", "own.py", own).split("\n")).toEqual(["True", "False", "False"]);
    // Genuine, and older than five minutes.
    const { standard: old } = createSigner([secret])(ID, 1_700_000_000, Buffer.from(BODY));
    const late = { ...headers, "webhook-timestamp": "1700000000", "webhook-signature": old };
    const standard = `${codeOf("standard", "Python")}
print(is_genuine(${text(BODY)}.encode(), ${text(headers)}))
print(is_genuine(${text(OTHER_BODY)}.encode(), ${text(headers)}))
print(is_genuine(${text(BODY)}.encode(), ${text(late)}))
headers = ${text(headers)}
for name in headers:
    print(is_genuine(${text(BODY)}.encode(), {each: headers[each] for each in headers if each != name}))
for sent_at in ["", "soon", "-1", "9" * 400, "9" * 5000]:
    print(is_genuine(${text(BODY)}.encode(), headers | {"webhook-timestamp": sent_at}))
`;
    const said = run("python3", "standard.py", standard).split("\n");
    expect(said).toEqual(["True", ...Array(10).fill("False")]);
  });
});
