/** Of the rules. */
import type { Mutant } from "../mutants.ts";
import { fault } from "./fault.ts";

export const DOMAIN: readonly Mutant[] = [
  fault("domain/address", "composed letters are other letters", "src/domain/address.ts", [
    '.replaceAll(INVISIBLE, "").normalize("NFC")',
    '.replaceAll(INVISIBLE, "")',
  ]),
  fault(
    "domain/delivery",
    "interruptions in a row go on over another outcome",
    "src/domain/delivery.ts",
    ["(isCutShort ? 0 : 1) : 0,", "(isCutShort ? 0 : 1) : before.interruptions,"],
  ),
  fault("domain/event", "a key with a lone surrogate counts", "src/domain/event.ts", [
    "return value.isWellFormed() ? value : null;",
    "return value;",
  ]),
  fault("domain/filter", "a list with null does not want what is missing", "src/domain/filter.ts", [
    "known.has(value ?? null)",
    "known.has(value)",
  ]),
  fault(
    "domain/health",
    "a shorter pause takes the place of a longer one",
    "src/domain/health.ts",
    [
      "latest(before.postponedUntilMs, outcome.retryAfterMs)",
      "outcome.retryAfterMs ?? before.postponedUntilMs",
    ],
  ),
  fault("domain/ids", "half of what is random in the id of a test", "src/domain/ids.ts", [
    "random.subarray(0, 16)",
    "random.subarray(0, 8)",
  ]),
  fault(
    "domain/json-text",
    "dollar signs mean something in what is put in",
    "src/domain/json-text.ts",
    ["() => text)", "text)"],
  ),
  fault("domain/match", "a sentence cut in the middle of a character", "src/domain/match.ts", [
    `.replace(/[\\uD800-\\uDBFF]$/, "")`,
    "",
  ]),
  fault("domain/metrics", "a line break in a label breaks the line", "src/domain/open-metrics.ts", [
    `.replaceAll("\\n", "\\\\n")`,
    "",
  ]),
  fault("domain/pace", "a rate limit spaced in whole milliseconds", "src/domain/pace.ts", [
    ": 1_000 / rateLimit;",
    ": Math.floor(1_000 / rateLimit);",
  ]),
  fault("domain/placement", "the 30th of February is a day", "src/domain/placement.ts", [
    " || journalName(dayMs) !== objectName",
    "",
  ]),
  fault(
    "domain/pretty-json",
    "brackets within brackets without an end",
    "src/domain/pretty-json.ts",
    ["    if (pretty.length > maxCharacters) return null;\n", ""],
  ),
  fault(
    "domain/schedule",
    "a year that is just 50 ahead is of the last century",
    "src/domain/schedule.ts",
    ["year > thisYear + 50", "year >= thisYear + 50"],
  ),
  fault(
    "domain/signature",
    "the oldest secret signs first for Standard Webhooks",
    "src/domain/signature.ts",
    ["createSecretKey(secretBytes(secret))).reverse();", "createSecretKey(secretBytes(secret)));"],
  ),
  fault(
    "domain/target",
    "a name that means something in a network alone is public",
    "src/domain/target.ts",
    ['".arpa", ".onion"', '".arpa"'],
  ),
  fault(
    "domain/waiting",
    "a pause as long as the wait is not what a delivery waits for",
    "src/domain/waiting.ts",
    ["b.atMs >= a.atMs ? b : a", "b.atMs > a.atMs ? b : a"],
  ),
];
