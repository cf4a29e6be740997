import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

/** Secrets and switches of the Worker under test; tests import the same values from test/worker/fixtures. */
const TEST_BINDINGS = {
  LEADTERRA_SIGNING_SECRETS: "test-signing-secret-one, test-signing-secret-two",
  API_KEYS: "test-key-with-all-rights",
  READ_ONLY_API_KEYS: "test-key-that-only-reads",
  ALLOW_PRIVATE_DESTINATIONS: "true",
};

export default defineConfig({
  test: {
    projects: [
      {
        test: { name: "domain", include: ["test/domain/**/*.test.ts"], environment: "node" },
      },
      {
        test: { name: "scripts", include: ["test/scripts/**/*.test.ts"], environment: "node" },
      },
      {
        plugins: [
          cloudflareTest({
            wrangler: { configPath: "./wrangler.toml" },
            miniflare: { bindings: TEST_BINDINGS },
          }),
        ],
        test: { name: "worker", include: ["test/worker/**/*.test.ts"] },
      },
      {
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
          testTimeout: 300_000,
        },
      },
      {
        test: {
          name: "crash",
          include: ["test/crash/**/*.test.ts"],
          environment: "node",
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: "bench",
          include: ["test/bench/**/*.test.ts"],
          environment: "node",
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: "journey",
          include: ["test/journey/**/*.test.ts"],
          environment: "node",
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        // The dashboard in a real browser; skipped where there is none, unless REQUIRE_BROWSER is set.
        test: {
          name: "browser",
          include: ["test/browser/**/*.test.ts"],
          environment: "node",
          globalSetup: "test/browser/find.ts",
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
});
