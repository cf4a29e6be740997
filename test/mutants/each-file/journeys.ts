/** Of the whole relay with services, and of the pages in a browser. */
import type { Mutant } from "../mutants.ts";
import { fault } from "./fault.ts";

export const JOURNEYS: readonly Mutant[] = [
  fault("journey/apply", "a listener that the file does not have is deleted", "scripts/apply.ts", [
    "name === null || url === LISTENER || names.has(name)",
    "name === null || names.has(name)",
  ]),
  fault("journey/client", "an example that does not fit its own schema", "src/contract/events.ts", [
    "{ matches: true }",
    '{ matches: "yes" as never }',
  ]),
  fault(
    "journey/doctor",
    "the log of a call that failed does not say its requestId",
    "src/routes/http/problem.ts",
    ["    requestId,\n    method", "    method"],
  ),
  fault("journey/journey", "a header more than the contract has", "src/domain/headers.ts", [
    '    "content-type": "application/json",\n',
    '    "content-type": "application/json",\n    "x-relay-version": head.version,\n',
  ]),
  fault(
    "journey/listen",
    "a handler that is late counts as one that is not there",
    "scripts/listener.ts",
    ['(thrown as Error).name === "TimeoutError"', '(thrown as Error).name === "LateError"'],
  ),
  fault(
    "journey/retries",
    "a schedule of its own lets deliveries go while RETRY_SCHEDULE does not parse",
    "src/actors/subscriber/in-force.ts",
    [
      "if (disabled !== null || configOf(this.#env).delivery === null) return null;",
      "if (disabled !== null) return null;\n    if (configOf(this.#env).delivery === null && webhook.retrySchedule === null) return null;",
    ],
  ),
  fault(
    "journey/sender",
    "nobody hangs up on a service that never answers",
    "src/actors/subscriber/send.ts",
    [
      'if (target.kind === "http") return fetch(target.url, init);',
      `if (target.kind === "http") {
    return new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
      fetch(target.url, { method: "POST", headers, body, redirect: "manual" }).then(resolve, reject);
    });
  }`,
    ],
  ),
  fault(
    "journey/ten-services",
    "a retry by a person waits for a probe that hangs",
    "src/domain/pace.ts",
    ["return asked ? terms.concurrency + 1 : 1;", "return 1;"],
  ),
  fault("browser/access", "the focus is not seen", "public/dashboard/style.css", [
    "  outline: 3px solid var(--accent);\n",
    "  outline: 1px solid var(--accent);\n",
  ]),
  fault("browser/docs", "without scripts there is no way to the document", "public/docs.html", [
    '<a href="/openapi.json">/openapi.json</a>',
    "/openapi.json",
  ]),
  fault(
    "browser/hostile",
    "what arrives while a page is open comes as markup",
    "public/dashboard/live.js",
    [
      "    region.replaceWith(document.adoptNode(successor));\n",
      '    for (const each of successor.querySelectorAll("bdi")) each.innerHTML = each.textContent ?? "";\n    region.replaceWith(document.adoptNode(successor));\n',
    ],
  ),
  fault(
    "browser/many",
    "work goes on while the link that stops it leads away",
    "public/dashboard/live.js",
    ['  form.querySelector("a")?.addEventListener("click", () => clearTimeout(going));\n', ""],
  ),
  fault(
    "browser/night",
    "a page tells of another time than an attempt took",
    "src/dashboard/deliveries/attempts.tsx",
    ["{duration(durationMs)}", "{duration(2 * durationMs)}"],
  ),
  fault("browser/people", "one more row of headers is none", "public/dashboard/live.js", [
    "  last.after(row);\n",
    "",
  ]),
  fault(
    "browser/session",
    "who is led away to another host is said to be offline",
    "public/dashboard/live.js",
    ['type === "opaqueredirect" || status === 401', "status === 401"],
  ),
];
