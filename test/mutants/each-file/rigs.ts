/** Of upgrades, kills and benches, and of the rigs that judge them. */
import type { Mutant } from "../mutants.ts";
import { fault } from "./fault.ts";

const secondHalf = fault(
  "simulation/second-half",
  "the other half is the first one again",
  "test/simulation/seeds.ts",
  ["firstHalf.map((seed) => seed + HALF)", "firstHalf.map((seed) => seed)"],
);

export const RIGS: readonly Mutant[] = [
  { ...secondHalf, suite: { ...secondHalf.suite, seeds: "usual" } },
  fault(
    "upgrade/balance",
    "what was in flight at no kill has a kill for its cause",
    "test/upgrade/balance.ts",
    ['error === "interrupted" && again.life > taken.life', 'error === "interrupted"'],
  ),
  fault("upgrade/inspect", "all that is set is shown, secrets too", "scripts/inspect.ts", [
    `webhook    version \${settings.version}`,
    `webhook    \${JSON.stringify(settings)} version \${settings.version}`,
  ]),
  fault(
    "upgrade/upgrade",
    "the log does not say that an object took its steps",
    "src/actors/stored-object.ts",
    ["if (steppedFrom !== null) {", "if (steppedFrom === VERSION) {"],
  ),
  fault("bench/cost", "one operation of KV more for each event", "src/operations/ingest.ts", [
    "const seen = await lookUpSeen(env.IDEMPOTENCY, event.id);",
    "await lookUpSeen(env.IDEMPOTENCY, event.id);\n  const seen = await lookUpSeen(env.IDEMPOTENCY, event.id);",
  ]),
  fault("bench/pages", "a bar that was missed is not said to be", "bench/pages.ts", [
    'met === false ? "**missed**"',
    'met === false ? "missed"',
  ]),
  fault(
    "crash/crash",
    "outcomes are written late, so that a kill repeats many",
    "src/actors/subscriber/pump.ts",
    [
      "this.#inFlight.size + unrecorded + unwritten + count <= pace.windowOf(situation)",
      "this.#inFlight.size < 100",
    ],
    ["const GATHER_MS = 100;", "const GATHER_MS = 60_000;"],
  ),
];
