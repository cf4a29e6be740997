import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";
import { keepLoopbackDirect } from "./scripts/command.ts";

/** Secrets and switches of the Worker under test; tests import the same values from test/rig/worker/requests. */
const TEST_BINDINGS = {
  LEADTERRA_SIGNING_SECRETS: "test-signing-secret-one, test-signing-secret-two",
  API_KEYS: "test-key-with-all-rights",
  READ_ONLY_API_KEYS: "test-key-that-only-reads",
  ALLOW_PRIVATE_DESTINATIONS: "true",
};

/** Another Worker of the account, bound to the relay: by its path it answers, says no or hangs at the first attempt. */
const SECOND_WORKER = {
  name: "second-worker",
  modules: true,
  compatibilityDate: "2026-11-01",
  script: `export default {
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      const isFirst = request.headers.get("x-relay-attempt") === "1";
      if (isFirst && pathname === "/hangs-once") await new Promise((resolve) => setTimeout(resolve, 20_000));
      if (isFirst && pathname === "/refuses-once") return new Response("not yet", { status: 500 });
      if (isFirst && pathname === "/breaks-once") throw new Error("a bug over there");
      const { method } = request;
      const headers = Object.fromEntries(request.headers);
      return Response.json({ method, pathname, search, headers, body: await request.text() });
    },
  };`,
};

/**
 * How long one test or hook may take: many times what it needs, because a machine with two cores that does other work
 * too must not fail it. What hangs ends all the same, before a planted fault counts as one that stopped the suite.
 */
const TIME_LIMIT_MS = 60_000;
/** For tests that are minutes of work in themselves. */
const LONG_TIME_LIMIT_MS = 1_200_000;
/** For each run of the simulation that `SEEDS` asks for. */
const RUN_TIME_LIMIT_MS = 1_000;

// The relay, its services and the browser of a test are on this machine, whatever proxy there is.
keepLoopbackDirect();

export default defineConfig({
  test: {
    testTimeout: TIME_LIMIT_MS,
    hookTimeout: TIME_LIMIT_MS,
    // What is waited for otherwise: test/rig/eventually.ts.
    expect: { poll: { timeout: 8_000 } },
    // As many files at once as there are cores; the default is one fewer, which on two cores is one after the other.
    maxWorkers: "100%",
    projects: [
      {
        extends: true,
        test: { name: "domain", include: ["test/domain/**/*.test.ts"], environment: "node" },
      },
      {
        extends: true,
        // Stored state of earlier releases, opened by today's code.
        test: { name: "upgrade", include: ["test/upgrade/**/*.test.ts"], environment: "node" },
      },
      {
        extends: true,
        test: { name: "scripts", include: ["test/scripts/**/*.test.ts"], environment: "node" },
      },
      {
        extends: true,
        plugins: [
          cloudflareTest({
            wrangler: { configPath: "./wrangler.toml" },
            miniflare: {
              bindings: TEST_BINDINGS,
              serviceBindings: { SECOND_WORKER: SECOND_WORKER.name },
              workers: [SECOND_WORKER],
            },
          }),
        ],
        test: { name: "worker", include: ["test/worker/**/*.test.ts"] },
      },
      {
        extends: true,
        // The actors themselves, under plain Node, over a storage and a clock that the test owns.
        resolve: {
          alias: {
            "cloudflare:workers": new URL("./test/simulation/workers-stub.ts", import.meta.url)
              .pathname,
          },
        },
        test: {
          name: "simulation",
          include: ["test/simulation/**/*.test.ts"],
          environment: "node",
          testTimeout: Math.max(
            LONG_TIME_LIMIT_MS,
            Number(process.env.SEEDS ?? 0) * RUN_TIME_LIMIT_MS,
          ),
        },
      },
      {
        extends: true,
        test: {
          name: "crash",
          include: ["test/crash/**/*.test.ts"],
          environment: "node",
          testTimeout: LONG_TIME_LIMIT_MS,
        },
      },
      {
        extends: true,
        test: {
          name: "bench",
          include: ["test/bench/**/*.test.ts"],
          environment: "node",
        },
      },
      {
        extends: true,
        test: {
          name: "journey",
          include: ["test/journey/**/*.test.ts"],
          environment: "node",
          globalSetup: "test/rig/build.ts",
        },
      },
      {
        extends: true,
        // The dashboard in a real browser; skipped where there is none, unless REQUIRE_BROWSER is set.
        test: {
          name: "browser",
          include: ["test/browser/**/*.test.ts"],
          environment: "node",
          // What pages say is held against a real clock: one file at a time, after all others.
          maxWorkers: 1,
          globalSetup: ["test/browser/find.ts", "test/rig/build.ts"],
        },
      },
    ],
  },
});
