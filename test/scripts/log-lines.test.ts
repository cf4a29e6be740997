import { stripVTControlCharacters } from "node:util";
import { describe, expect, it } from "vitest";
import { onCrash, readableLog } from "../../scripts/log-lines.ts";

const FAILED =
  '{"level":"warning","happening":"attempt.failed","webhookId":"wh_1","eventId":"evt_1","event":"reply.received","attempt":2,"statusCode":500,"error":"status","durationMs":12,"status":"pending"}';
const SUCCEEDED =
  '{"level":"info","happening":"attempts.succeeded","webhookId":"wh_1","eventIds":["evt_1","evt_2"]}';

/** What comes out of the chunks, without colours and the time. */
function read(...chunks: string[]): string {
  let out = "";
  const take = readableLog(
    (text) => {
      out += text;
    },
    () => new Date(2026, 10, 1, 3, 4, 5),
  );
  for (const chunk of chunks) take(chunk);
  return stripVTControlCharacters(out).replaceAll("03:04:05 ", "");
}

describe("the log of npm start", () => {
  it("tells of an attempt that failed in one line, without wrangler's badge and the gap behind it", () => {
    const line = "▲ attempt failed: 500 after 12 ms, attempt 2 · reply.received evt_1 to wh_1\n";
    expect(read(`▲ [WARNING] ${FAILED}\n\n\n`)).toBe(line);
    expect(read(`\x1b[33m▲ \x1b[43;33m[\x1b[43;30mWARNING\x1b[43;33m]\x1b[0m ${FAILED}\n\n`)).toBe(
      line,
    );
  });

  it("says why there was no answer where there was none", () => {
    const timeout = FAILED.replace("500", "null").replace('"status","dur', '"timeout","dur');
    expect(read(`${timeout}\n`)).toContain("attempt failed: timeout after 12 ms");
  });

  it("tells of every other happening by its name and its fields", () => {
    expect(read(`${SUCCEEDED}\n`)).toBe(
      "· attempts succeeded: webhookId wh_1, eventIds evt_1 evt_2\n",
    );
    const deleted =
      '{"level":"info","happening":"webhook.deleted","webhookId":"wh_1","changed":[]}';
    expect(read(`${deleted}\n`)).toBe("· webhook deleted: webhookId wh_1\n");
  });

  describe("what workerd says of a name that does not resolve", () => {
    const LOOKUP =
      "\x1b[31m✘ \x1b[41;31m[\x1b[41;97mERROR\x1b[41;31m]\x1b[0m \x1b[1me = rust/worker/ffi.rs:110: failed: failed to lookup address information: Name or service not known\x1b[0m\n";
    const STACK =
      "  stack: /a/bin/workerd@383c3f9 /a/bin/workerd@28a3c60; sentryErrorContext = jsgInternalError; wdErrId = e9d\n";

    it("is left out: the attempt says it in its own line", () => {
      const told = read(`${FAILED}\n`);
      expect(read(`${LOOKUP}\n${STACK}\n\n▲ [WARNING] ${FAILED}\n\n\n`)).toBe(told);
      expect(read(...`before\n\n${LOOKUP}\n${STACK}\n\nafter\n\n`)).toBe("before\n\nafter\n\n");
    });

    it.each([
      ["another error of workerd", LOOKUP.replace("failed to lookup", "failed to read")],
      ["its words in the log of the Worker", LOOKUP.replace("e = rust/worker/ffi.rs:110: ", "")],
      ["a stack behind something else", "✘ [ERROR] Oh\n"],
    ])("takes nothing else along: %s", (_, line) => {
      const log = `${line}\n${STACK}\n\nend\n`;
      expect(read(log)).toBe(stripVTControlCharacters(log));
    });

    it("takes nothing else along: what comes in place of its stack", () => {
      expect(read(`${LOOKUP}\nend\n\n${STACK}`)).toBe(`end\n\n${STACK}`);
    });
  });

  it("takes lines in pieces, and leaves what is no happening as it is", () => {
    const log = `[wrangler:info] GET / 200 OK (1ms)\n\n${SUCCEEDED}\n{"level":"x"}\n✘ [ERROR] Oh {"level":1}\n\nend\n`;
    expect(read(...log)).toBe(log.replace(SUCCEEDED, read(`${SUCCEEDED}\n`).trimEnd()));
  });
});

describe("a runtime that has crashed", () => {
  const SAID = "The Workers runtime crashed unexpectedly and is being restarted (crash #1).";

  it.each([
    [`[wrangler:warn] ${SAID}\n`],
    [`\x1b[33m[wrangler:warn]\x1b[0m The Workers run`, `${SAID.slice("The Workers run".length)}\n`],
    [`✘ [ERROR] ${SAID}\n`],
  ])("is told by a line of wrangler's own: %j", (...chunks) => {
    expect(crashesIn(chunks)).toBe(1);
  });

  it.each([
    [`{"level":"warning","happening":"request.failed","path":"/${SAID}"}\n`],
    [`▲ [WARNING] {"level":"warning","happening":"request.failed","path":"/`, `${SAID}"}\n`],
  ])("is not told by what a stranger asks for: %j", (...chunks) => {
    expect(crashesIn(chunks)).toBe(0);
  });

  function crashesIn(chunks: readonly string[]): number {
    let crashes = 0;
    const look = onCrash(() => {
      crashes += 1;
    });
    for (const chunk of chunks) look(chunk);
    return crashes;
  }
});
