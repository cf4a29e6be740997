/** The code that README and docs/verify.md give to whoever writes a service: copied from there, and run as it stands. */
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import { devDependencies } from "../../package.json";
import { freePort } from "../../scripts/loopback.ts";
import { folderOfPackage, ROOT } from "../../scripts/wrangler.ts";
import { createSigner, newSecret } from "../../src/domain/signature.ts";

const ID = "evt_QNH783WW52FCCN914ZB1QAYTW0";
/** The largest body that the relay takes. */
const MAX_BODY_BYTES = 120_000;
const secret = newSecret();
const hasPython = spawnSync("python3", ["--version"]).status === 0;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "readme-"));
  mkdirSync(join(folder, "node_modules"));
  for (const name of ["express", "standardwebhooks"]) {
    symlinkSync(folderOfPackage(name), join(folder, "node_modules", name));
  }
});
afterAll(() => rmSync(folder, { recursive: true }));

/** The first code in this language below a heading of a page. */
function snippet(page: string, heading: string, language: string): string {
  const [, section = ""] = readFileSync(join(ROOT, page), "utf8").split(`## ${heading}\n`);
  const [, code] = section.split(`\`\`\`${language}\n`);
  return code?.split("```")[0] ?? "";
}

/** A delivery as the relay makes it. */
async function delivery(bytes = 100) {
  const filler = "x".repeat(bytes - 40);
  const body = `{"event":"message.sent","data":{"t":"${filler}"}}`;
  const seconds = Math.floor(Date.now() / 1_000);
  const signed = await (await createSigner([secret]))(ID, seconds, new TextEncoder().encode(body));
  const headers = {
    "content-type": "application/json",
    "webhook-id": ID,
    "webhook-timestamp": String(seconds),
    "webhook-signature": signed.standard,
  };
  return { body, headers, leadterra: signed.leadterra };
}

/** What the service answers to a delivery, to the largest one, to a forgery and to nothing at all. */
async function answersOf(post: (init: RequestInit) => Promise<Response>) {
  const small = await delivery();
  const large = await delivery(MAX_BODY_BYTES);
  const requests = [small, large, { ...small, body: small.body.replace("x", "y") }, {}];
  const statuses = [];
  for (const { body, headers } of requests as RequestInit[]) {
    const response = await post({
      method: "POST",
      ...(body ? { body } : {}),
      ...(headers ? { headers } : {}),
    });
    statuses.push([response.status, await response.text()]);
  }
  return statuses;
}

// D9 of the cases from the field: what a page prints runs as it stands, takes the largest event, and answers 401 to a forgery.
describe("the code that the pages give to services", () => {
  it("runs with Express: takes what the relay sends, and answers 401 to a forgery", async () => {
    const port = String(await freePort());
    const file = join(folder, "server.mjs");
    writeFileSync(file, snippet("README.md", "Verify a delivery", "js"));
    const server = spawn(process.execPath, [file], {
      env: { ...process.env, PORT: port, RELAY_SECRET: secret },
      stdio: ["ignore", "ignore", "inherit"],
    });
    onTestFinished(() => void server.kill());
    const url = `http://127.0.0.1:${port}/leadterra`;
    await expect
      .poll(
        () =>
          fetch(url).then(
            () => true,
            () => false,
          ),
        { timeout: 30_000 },
      )
      .toBe(true);
    expect(await answersOf((init) => fetch(url, init))).toEqual([
      [204, ""],
      [204, ""],
      [401, "Unauthorized"],
      [401, "Unauthorized"],
    ]);
  });

  it("asks for the packages that it imports, and that are installed here as package.json has them", () => {
    const readme = readFileSync(join(ROOT, "README.md"), "utf8");
    const command = "npm install express standardwebhooks";
    expect(readme).toContain(`\`${command}\``);
    const asked = command.split(" ").slice(2);
    const code = snippet("README.md", "Verify a delivery", "js");
    expect([...code.matchAll(/ from "([^"]+)"/g)].map(([, name]) => name)).toEqual(asked);
    const versions = asked.map((name) => {
      const file = join(folderOfPackage(name), "package.json");
      return [name, JSON.parse(readFileSync(file, "utf8")).version];
    });
    expect(devDependencies).toMatchObject(Object.fromEntries(versions));
  });

  it("runs as a Worker", async () => {
    vi.spyOn(console, "log").mockImplementation(() => {});
    const file = join(folder, "worker.mjs");
    writeFileSync(file, snippet("docs/verify.md", "Workers", "js"));
    const worker = (await import(pathToFileURL(file).href)).default;
    const post = (init: RequestInit) =>
      worker.fetch(new Request("https://crm.example.com/", init), { RELAY_SECRET: secret });
    expect(await answersOf(post)).toEqual([
      [204, ""],
      [204, ""],
      [401, ""],
      [401, ""],
    ]);
  });

  it.skipIf(!hasPython)(
    "runs in Python, and takes a signature that is no ASCII, or not there, for the forgery that it is",
    async () => {
      const { body, leadterra } = await delivery();
      const file = join(folder, "verify.py");
      const given = [
        [body, `"${leadterra}"`] as const,
        [`${body} `, `"${leadterra}"`] as const,
        [body, '"é"'] as const,
        [body, "None"] as const,
      ];
      const calls = given.map(
        ([text, signature]) =>
          `print(verify(${JSON.stringify(text)}.encode(), ${signature}, "${secret}"))`,
      );
      writeFileSync(
        file,
        `${snippet("docs/verify.md", "Python", "python")}\n${calls.join("\n")}\n`,
      );
      const { stdout, stderr } = spawnSync("python3", [file], { encoding: "utf8" });
      expect({ stdout, stderr }).toEqual({ stdout: "True\nFalse\nFalse\nFalse\n", stderr: "" });
    },
  );
});
