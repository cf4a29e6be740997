import { describe, expect, it } from "vitest";
import type { Attempt } from "../rig/api.ts";
import { balance, type Request } from "./balance.ts";

const HOST = "crm.example.com";
const request = (life: number, attempt: number, eventId = "evt_1"): Request => ({
  life,
  attempt,
  eventId,
  host: HOST,
  path: "/ok",
  status: 200,
});
const logged = (number: number, error: string | null, trigger = "scheduled") =>
  ({ number, error, trigger }) as Attempt;
const judged = (requests: Request[], log: Attempt[]) =>
  balance(HOST, { requests, owed: ["evt_1"], log: () => log });

describe("the account of a service", () => {
  it("is wrong where what the relay knew as delivered came again, in this life or the next", () => {
    const log = [logged(1, null), logged(2, null)];
    for (const life of [0, 1]) {
      expect(judged([request(0, 1), request(life, 2)], log).wrong).toEqual([
        `${HOST}: evt_1 came again without cause`,
      ]);
    }
    const interrupted = [logged(1, "interrupted"), logged(2, null)];
    expect(judged([request(0, 1), request(0, 2)], interrupted).wrong).toHaveLength(1);
    expect(judged([request(0, 1), request(1, 2)], []).wrong).toHaveLength(1);
  });

  it("is right where that was in flight at the kill, failed for the relay, or was asked for", () => {
    const again = [request(0, 1), request(1, 2)];
    expect(judged(again, [logged(1, "interrupted"), logged(2, null)]).wrong).toEqual([]);
    expect(judged(again, [logged(1, "timeout"), logged(2, null)]).wrong).toEqual([]);
    expect(judged(again, [logged(1, null), logged(2, null, "manual")]).wrong).toEqual([]);
  });

  it("is wrong where more than twelve came again for one kill", () => {
    const events = Array.from({ length: 13 }, (_, index) => `evt_${index}`);
    const requests = [0, 1].flatMap((life) => events.map((id) => request(life, life + 1, id)));
    const log = [logged(1, "interrupted"), logged(2, null)];
    expect(judged(requests, log).wrong).toEqual([`${HOST}: 13 came again for one kill`]);
    expect(judged(requests.slice(0, -1), log).wrong).toEqual([]);
  });

  it("is wrong where the service never took an event", () => {
    expect(judged([{ ...request(0, 1), status: 500 }], []).wrong).toEqual([
      `${HOST}: evt_1 is lost`,
    ]);
  });
});
