import { stripVTControlCharacters } from "node:util";
import { describe, expect, it } from "vitest";
import { readableLog } from "../../scripts/log-lines.ts";

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

  it("takes lines in pieces, and leaves what is no happening as it is", () => {
    const log = `[wrangler:info] GET / 200 OK (1ms)\n\n${SUCCEEDED}\n{"level":"x"}\n✘ [ERROR] Oh {"level":1}\n\nend\n`;
    expect(read(...log)).toBe(log.replace(SUCCEEDED, read(`${SUCCEEDED}\n`).trimEnd()));
  });
});
