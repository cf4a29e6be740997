/** Of the commands, of what is written, and of the stand-ins. */
import type { Mutant } from "../mutants.ts";
import { fault } from "./fault.ts";

export const SCRIPTS: readonly Mutant[] = [
  fault("scripts/account", "one good signature of two will do", "scripts/account.ts", [
    "signatures?.leadterra && signatures.standard",
    "signatures?.leadterra",
  ]),
  fault(
    "scripts/batch-timeout",
    "more webhooks than were counted cost no more",
    "scripts/batch-timeout.ts",
    [
      "const share = (webhooks - few.webhooks) / (many.webhooks - few.webhooks);",
      "const share = Math.min(1, (webhooks - few.webhooks) / (many.webhooks - few.webhooks));",
    ],
  ),
  fault(
    "scripts/commands",
    "a relay that is not there is given up on, though the waits are named",
    "scripts/send.ts",
    [
      "if (why === null || (attempt.status === null && waitsMs !== null)) return false;",
      "if (why === null) return false;",
    ],
  ),
  fault("scripts/configuration-schema", "the schema is edited by hand", "webhooks.schema.json", [
    "0*1m)$",
    "0*2m)$",
  ]),
  fault("scripts/crash-account", "a repeat that fails is more than one", "test/rig/account.ts", [
    "new Set(its.map(({ request }) => request.eventId)).size",
    "its.length",
  ]),
  fault("scripts/curl", "a quote within a word ends it", "src/dashboard/deliveries/curl.ts", [
    String.raw`"'\\''"`,
    String.raw`"\\'"`,
  ]),
  fault("scripts/dashboard-style", "a token that nothing uses", "public/dashboard/style.css", [
    "  --round: 0.4rem;\n",
    "  --round: 0.4rem;\n  --roundest: 0.8rem;\n",
  ]),
  fault(
    "scripts/deploy-cloudflare",
    "a deploy that was refused half-way makes its namespace again",
    "scripts/deploy.ts",
    [
      "if (outcome.code !== TITLE_TAKEN) return outcome;",
      "if (outcome.code !== 0) return outcome;",
    ],
  ),
  fault("scripts/deploy", "a custom domain is no address", "scripts/deploy.ts", [
    String.raw`(?:$| \(custom domain)`,
    "(?:$)",
  ]),
  fault("scripts/dev-vars", "everybody may read what is secret", "scripts/dev-vars.ts", [
    "mode: 0o600",
    "mode: 0o644",
  ]),
  fault("scripts/docs", "a variable that the documents do not name", "docs/configuration.md", [
    "`DEAD_LETTER_QUEUE`",
    "`DEAD_LETTERS`",
  ]),
  fault("scripts/doctor", "an hour is told in hours", "scripts/doctor.ts", [
    "ms < 7_200_000",
    "ms < 3_600_000",
  ]),
  fault("scripts/house", "a file of more than 400 lines", "src/version.ts", [
    "export const VERSION",
    `${"\n".repeat(400)}export const VERSION`,
  ]),
  fault("scripts/install", "packages are looked for in the project alone", "scripts/ready.mjs", [
    "if (folder === dirname(folder)) return null;",
    "return null;",
  ]),
  fault(
    "scripts/leadterra-api",
    "the signing secret stands in two places",
    "scripts/leadterra-api.ts",
    [": { webhook, ...secret };", ": { webhook: { ...webhook, ...secret }, ...secret };"],
  ),
  fault(
    "scripts/leadterra",
    "the stand-in of Leadterra follows redirects",
    "scripts/leadterra.ts",
    ['redirect: "manual"', 'redirect: "follow"'],
  ),
  fault("scripts/licences", "a package within a package is the outer one", "scripts/licences.ts", [
    String.raw`/.*node_modules\/(`,
    String.raw`/node_modules\/(`,
  ]),
  fault("scripts/log-lines", "the gap behind wrangler's badge stays", "scripts/log-lines.ts", [
    'const isPadding = afterBadge && line.trim() === "";',
    "const isPadding = false;",
  ]),
  fault("scripts/mutants", "a fault that cannot be planted any more", "test/mutants/mutants.ts", [
    'edits: [["const MAX_SILENCES = 2;"',
    'edits: [["const MAX_SILENCES = 3;"',
  ]),
  fault("scripts/npm-start", "the key that was configured is not told", "scripts/start.ts", [
    "printWelcome(url, made, files, key);",
    "printWelcome(url, made, files);",
  ]),
  fault(
    "scripts/readme-commands",
    "the queue of events is made to keep what it holds for a day",
    "README.md",
    [
      "update leadterra-events --message-retention-period-secs 1209600",
      "update leadterra-events --message-retention-period-secs 86400",
    ],
  ),
  fault("scripts/readme", "the code for Express does not take the largest event", "README.md", [
    '{ type: "*/*", limit: "128kb" }',
    '{ type: "*/*" }',
  ]),
  fault("scripts/signals", "a command goes on when npm is ended", "scripts/command.ts", [
    "if (stopping) return;",
    'if (stopping || signal !== "SIGINT") return;',
  ]),
  fault(
    "scripts/receiver",
    "a signature that is older than five minutes verifies",
    "scripts/receiver.ts",
    ["const TIMESTAMP_TOLERANCE_SECONDS = 300;", "const TIMESTAMP_TOLERANCE_SECONDS = 3_000;"],
  ),
  fault(
    "scripts/register",
    "a secret that wrangler did not take is not put again",
    "scripts/register.ts",
    ["for (const waitMs of [...putAgainAfterMs, null]) {", "for (const waitMs of [null]) {"],
  ),
  fault(
    "scripts/start",
    "the state lies beside the relay's own wrangler.toml, whichever is meant",
    "scripts/start.ts",
    ['join(dirname(config), ".wrangler/state")', '".wrangler/state"'],
  ),
  fault(
    "scripts/state-lock",
    "a directory that is called by another name has no orphans",
    "scripts/state-lock.ts",
    ["return lockDirectory(realpathSync(directory));", "return lockDirectory(directory);"],
  ),
  fault(
    "scripts/verify-code",
    "the code for Node takes the secret without its prefix",
    "src/dashboard/webhooks/verify-code.ts",
    [
      'const secret = process.env.RELAY_SECRET ?? "";',
      'const secret = (process.env.RELAY_SECRET ?? "").slice(6);',
    ],
  ),
];
