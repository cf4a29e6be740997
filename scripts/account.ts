/** The account of a run: what each receiver should have got, held against what it got and what the relay says. */
import type { ReceivedRequest } from "./receiver.ts";

/** An event that the relay accepted. */
export type SentEvent = { id: string; event: string; body: string };

/** A delivery as `GET /v1/webhooks/{id}/deliveries/{eventId}` shows it. */
export type ReportedDelivery = {
  eventId: string;
  status: string;
  attempts: number;
  attemptLog: readonly { number: number; statusCode: number | null }[];
};

export type Side = {
  name: string;
  /** The events that the webhook asked for. */
  expected: readonly SentEvent[];
  /** The statuses that the receiver gives to each event, the success last. */
  answers: readonly number[];
  requests: readonly ReceivedRequest[];
  /** All deliveries that the relay has for the webhook. */
  reported: readonly ReportedDelivery[];
};

export type SideAccount = {
  name: string;
  expected: number;
  /** Expected events that were received with success. */
  received: number;
  /** Successes beyond the first for an event. */
  duplicates: number;
  requests: number;
  /** Requests of which both signatures verify. */
  verified: number;
  /** Requests with the bytes that were sent to the relay. */
  identical: number;
  /** A sentence for everything that is not as it should be. */
  problems: readonly string[];
};

export function accountOf(side: Side): SideAccount {
  const { name, expected, requests } = side;
  const bodies = new Map(expected.map(({ id, body }) => [id, Buffer.from(body)]));
  const successes = requests.filter(({ answer }) => answer === 200).map(({ eventId }) => eventId);
  const distinct = new Set(successes.filter((id) => id !== null && bodies.has(id)));
  const account = {
    name,
    expected: expected.length,
    received: distinct.size,
    duplicates: successes.length - new Set(successes).size,
    requests: requests.length,
    verified: requests.filter(({ signatures }) => signatures?.leadterra && signatures.standard)
      .length,
    identical: requests.filter(({ eventId, body }) => bodies.get(eventId ?? "")?.equals(body))
      .length,
  };
  return { ...account, problems: [...problemsOfTotals(account), ...problemsOfDeliveries(side)] };
}

function problemsOfTotals(account: Omit<SideAccount, "problems">): string[] {
  const { name, expected, received, duplicates, requests, verified, identical } = account;
  const checks: [ok: boolean, problem: string][] = [
    [received === expected, `${name} received ${received} of ${expected} events`],
    [duplicates === 0, `${name} received ${duplicates} events more than once`],
    [
      verified === requests,
      `${name}: a signature of ${requests - verified} requests does not verify`,
    ],
    [
      identical === requests,
      `${name}: ${requests - identical} requests carry other bytes, or another event`,
    ],
  ];
  return checks.flatMap(([ok, problem]) => (ok ? [] : [problem]));
}

function problemsOfDeliveries({ name, expected, answers, requests, reported }: Side): string[] {
  const problems = expected.flatMap(({ id, event }) => {
    const came = requests.filter(({ eventId }) => eventId === id).map(({ answer }) => answer);
    const delivery = reported.find(({ eventId }) => eventId === id);
    const log = delivery?.attemptLog.map(({ statusCode }) => statusCode) ?? [];
    const checks: [what: string, is: string, shouldBe: string][] = [
      ["was answered", came.join(" "), answers.join(" ")],
      ["has status", delivery?.status ?? "none", "delivered"],
      ["has attempts", String(delivery?.attempts), String(answers.length)],
      ["has an attempt log of", log.join(" "), answers.join(" ")],
    ];
    return checks
      .filter(([, is, shouldBe]) => is !== shouldBe)
      .map(
        ([what, is, shouldBe]) => `${name}: ${event} ${what} ${is || "nothing"}, not ${shouldBe}`,
      );
  });
  const strangers = reported.filter(({ eventId }) => expected.every(({ id }) => id !== eventId));
  return [
    ...problems,
    ...strangers.map(
      ({ eventId }) => `${name}: the relay has a delivery of ${eventId}, which it did not ask for`,
    ),
  ];
}
