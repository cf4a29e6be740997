/**
 * What the documents name is there: links, files, commands, projects, benchmarks. Nobody follows a link to the outside,
 * since tests have no network: it must be one that can be right, and none that is known to have moved.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { devDependencies, engines, scripts } from "../../package.json";
import { components, paths, webhooks } from "../../public/openapi.json";
import { folderOfPackage, ROOT } from "../../scripts/wrangler.ts";

const PAGES = ["", "docs"].flatMap((folder) =>
  readdirSync(join(ROOT, folder))
    .filter((name) => name.endsWith(".md"))
    .map((name) => join(folder, name)),
);

/** Addresses of others that lead elsewhere today. */
const MOVED = [
  /developers\.cloudflare\.com\/workers\/(runtime-apis|learning|configuration)\/(durable-objects|using-durable-objects)/,
  /developers\.cloudflare\.com\/(workers\/)?(queues|kv|durable-objects)\/(learning|reference)\//,
  /developers\.cloudflare\.com\/workers\/wrangler\/(cli-wrangler|migration\/migrating-from-wrangler-1)/,
  /github\.com\/cloudflare\/(wrangler|wrangler2|miniflare)\b/,
  /github\.com\/standard-webhooks\/standard-webhooks\/(blob|tree)\/master/,
];

const textOf = (page: string) => readFileSync(join(ROOT, page), "utf8");

/** The names that benchmarks give themselves. */
const BENCHMARKS = readdirSync(join(ROOT, "bench"))
  .filter((name) => name.endsWith(".ts"))
  .flatMap((name) => named(join("bench", name), /\bname: "([\w-]+)"/g));

/** As the platforms that show Markdown make it. */
function anchorOf(heading: string): string {
  const kept = heading.toLowerCase().replaceAll(/[^\p{L}\p{N}\- ]/gu, "");
  return kept.trim().replaceAll(" ", "-");
}

function anchorsOf(page: string): string[] {
  return [...textOf(page).matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) => anchorOf(heading));
}

/** All that `pattern` finds, its first group, each once. */
function named(page: string, pattern: RegExp): string[] {
  return [...new Set([...textOf(page).matchAll(pattern)].map(([, found = ""]) => found))];
}

describe.each(PAGES)("%s", (page) => {
  it("links to what is there", () => {
    for (const link of named(page, /\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(link)) continue;
      const [path = "", anchor] = link.split("#");
      const target = path === "" ? page : join(dirname(page), path);
      expect(existsSync(join(ROOT, target)), link).toBe(true);
      if (anchor !== undefined) expect(anchorsOf(target), link).toContain(anchor);
    }
  });

  it("links to the outside by https, and to nothing that is known to have moved", () => {
    const inText = named(page, /\]\(([a-z]+:[^)\s]*)\)/g);
    for (const link of [...inText, ...named(page, /<([a-z]+:[^>\s]+)>/g)]) {
      const url = URL.parse(link);
      expect(url, link).toMatchObject({ protocol: "https:", username: "", password: "" });
      expect(url?.hostname, link).toMatch(/^[a-z0-9-]+(\.[a-z0-9-]+)+$/);
      expect(MOVED.filter((moved) => moved.test(link))).toEqual([]);
    }
  });

  it("names files that are there", () => {
    const paths = /(?<![\w/.])((?:src|test|docs|scripts|bench|public)\/[\w./-]*\w)/g;
    for (const path of named(page, paths)) expect(existsSync(join(ROOT, path)), path).toBe(true);
  });

  it("names commands that there are", () => {
    for (const name of named(page, /npm run (?:-s )?([\w:-]+)/g)) {
      expect(Object.keys(scripts), `npm run ${name}`).toContain(name);
    }
    for (const name of named(page, /npm run bench -- ([\w-]+)/g)) {
      expect([...BENCHMARKS, "--help"], `bench ${name}`).toContain(name);
    }
    for (const name of named(page, /--project (\w+)/g)) {
      expect(textOf("vitest.config.ts"), name).toContain(`name: "${name}"`);
    }
  });

  it("speaks of the project alone", () => {
    expect(textOf(page)).not.toMatch(/§|\bTODO\b/);
  });
});

it("says of Node what package.json asks for", () => {
  for (const page of ["README.md", "CONTRIBUTING.md"]) {
    expect(named(page, /Node ([\d.]+) or newer/g), page).toEqual([engines.node.replace(">=", "")]);
  }
});

it("says why miniflare is a beta: the newest test plugin pins it, and wrangler with it", () => {
  const pinned: Record<string, string> = JSON.parse(
    readFileSync(join(folderOfPackage("@cloudflare/vitest-plugin"), "package.json"), "utf8"),
  ).dependencies;
  const { miniflare, wrangler } = devDependencies;
  expect({ miniflare, wrangler }).toEqual({
    miniflare: pinned.miniflare,
    wrangler: pinned.wrangler,
  });
  const contributing = textOf("CONTRIBUTING.md").replaceAll(/\s+/g, " ");
  expect(contributing.includes("miniflare is a beta because")).toBe(miniflare.includes("-"));
  expect(contributing).toContain("`npm ls miniflare`");
});

describe("docs/contract.md", () => {
  const contract = textOf("docs/contract.md");
  const { Webhook, Delivery, Event, ProblemCode, WaitingFor, DeadLetterReason } =
    components.schemas;
  const { Attempt, WebhookHealth } = components.schemas;
  const parametersOf = (operation: { parameters?: { in: string; name: string }[] }) =>
    (operation.parameters ?? []).filter((given) => given.in === "query").map(({ name }) => name);
  const operations = Object.values(paths).flatMap((path) => Object.values(path));
  const metrics = textOf("src/operations/metrics.ts").matchAll(/name: "(relay_\w+)"/g);

  it.each([
    ["field of a webhook", Object.keys(Webhook.properties)],
    ["field of a delivery", Object.keys(Delivery.properties)],
    ["field of an event", Object.keys(Event.properties)],
    ["code of a problem", ProblemCode.enum],
    ["thing to wait for", WaitingFor.enum],
    ["reason of a dead letter", DeadLetterReason.enum],
    ["field of an attempt", Object.keys(Attempt.properties)],
    ["field of a webhook's health", Object.keys(WebhookHealth.properties)],
    ["state of a webhook", WebhookHealth.properties.state.enum],
    ["parameter of a list", operations.flatMap(parametersOf)],
    [
      "event of the relay itself",
      Object.keys(webhooks).filter((name) => name.startsWith("relay.")),
    ],
    ["metric", [...metrics].map(([, name = ""]) => name)],
  ])("says every %s that there is", (_, words) => {
    const missing = words.filter((word) => !new RegExp(`\\b${word}(_total)?\\b`).test(contract));
    expect(missing).toEqual([]);
  });
});

it("names every variable of the configuration", () => {
  const named = textOf("src/env.d.ts").matchAll(/^\t([A-Z_]+): string;/gm);
  const names = [...named].map(([, name = ""]) => name);
  expect(names).toContain("RETENTION");
  expect(names.filter((name) => !textOf("docs/configuration.md").includes(`\`${name}\``))).toEqual(
    [],
  );
});

describe("the form for a bug", () => {
  it("asks first for what the doctor says", () => {
    const [, first = ""] = textOf(".github/ISSUE_TEMPLATE/bug.yml").split(/^ {2}- type: /m);
    expect(first).toMatch(/^textarea\n {4}id: doctor\n/);
    expect(first).toContain("npm run doctor -- --relay ");
    expect(first).toContain("required: true");
  });
});
