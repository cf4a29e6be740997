/** The faults that the suite must catch, each planted alone. */

export type Project =
  | "bench"
  | "browser"
  | "crash"
  | "domain"
  | "journey"
  | "scripts"
  | "simulation"
  | "upgrade"
  | "worker";

/** A part of the suite, as vitest takes it. */
export type Tests = {
  project: Project;
  file: string;
  /** Only tests whose names match. */
  name?: string;
  /** As many runs of the simulation as `npm test` makes. */
  seeds?: "usual";
};

/** A rig with a verdict of its own: it ends with 1, and says after WRONG what is. */
export type Rig = { rig: string };

export type Suite = Tests | Rig;

export type Mutant = {
  /** The fault, in words. */
  name: string;
  file: string;
  /** Replaced in this order; each text to find must be there exactly once. */
  edits: readonly [find: string, replace: string][];
  /** Who should catch it. */
  suite: Suite;
};

const simulation: Suite = {
  project: "simulation",
  file: "test/simulation/simulation.test.ts",
  name: "keeps every invariant",
};

/** Those that everybody who changes the engine is promised to be told of. */
const PROMISED: readonly Mutant[] = [
  {
    name: "forgetting to re-arm the alarm",
    file: "src/actors/subscriber/clockwork.ts",
    edits: [["alarm.arm(this.#afterAlarm(started));", "void started;"]],
    suite: simulation,
  },
  {
    name: "forgetting the alarm that stands while the object sends",
    file: "src/actors/subscriber/clockwork.ts",
    edits: [
      [
        "this.#host.alarm.arm(maySend ? Date.now() + STANDING_MS : nextMs);",
        "if (!maySend) this.#host.alarm.arm(nextMs);",
      ],
    ],
    suite: simulation,
  },
  {
    name: "what is fresh: a delivery that has ended is sent from memory",
    file: "src/storage/fresh-tail.ts",
    edits: [["    this.#all.delete(id);\n", ""]],
    suite: simulation,
  },
  {
    name: "what is fresh: nothing waits, though an attempt has failed",
    file: "src/storage/delivery-store.ts",
    edits: [["Math.min(this.#noneBefore[index], delivery.dueAtMs)", "this.#noneBefore[index]"]],
    suite: simulation,
  },
  {
    name: "the list of attempts: one that is alone in its group is not written down",
    file: "src/storage/delivery-store.ts",
    edits: [["if (others.length > 0) this.#tables", "if (others.length > 1) this.#tables"]],
    suite: simulation,
  },
  {
    name: "the list of attempts: it ends at the head, though more was attempted before that moved back",
    file: "src/actors/subscriber/ledger.ts",
    edits: [["return latest(this.#run.attemptedTo, this.#run.head);", "return this.#run.head;"]],
    suite: simulation,
  },
  {
    name: "recording success before sending",
    file: "src/actors/subscriber/pump.ts",
    edits: [
      [
        "answer = await this.#host.attempt(delivery, lease.number);",
        `const success = { ...unanswered("interrupted", Date.now()), error: null, statusCode: 200 };
         this.#end(lease, { ...success, refused: false, isStale: false });
         this.#ledger.record();
         answer = await this.#host.attempt(delivery, lease.number);`,
      ],
    ],
    suite: simulation,
  },
  {
    name: "following redirects",
    file: "src/actors/subscriber/send.ts",
    edits: [['redirect: "manual"', 'redirect: "follow"']],
    suite: {
      project: "journey",
      file: "test/journey/receivers.test.ts",
      name: "is a redirect, and is not followed",
    },
  },
  {
    name: "sending again after a success",
    file: "src/domain/delivery.ts",
    edits: [['status: "delivered", dueAtMs: null, completedAtMs: endedAtMs', "dueAtMs: endedAtMs"]],
    suite: simulation,
  },
  {
    name: "deduplicating with KV alone",
    file: "src/storage/delivery-store.ts",
    edits: [
      ["const known = this.#known(arrivals.map(({ id }) => id));", "const known = new Set();"],
      ["const insert = `INSERT INTO", "const insert = `INSERT OR REPLACE INTO"],
    ],
    suite: simulation,
  },
  {
    name: "acknowledging a message before the Subscriber has it",
    file: "src/consumer.ts",
    edits: [
      [
        "  await handOver([...(await record(clear, routes, round)), ...halfRouted], round);",
        `  const recorded = await record(clear, routes, round);
         for (const { item } of recorded) round.fates.set(item, { kind: "routed", owed: [], full: [] });
         void handOver(recorded, { ...round, fates: new Map() });`,
      ],
    ],
    suite: simulation,
  },
  {
    name: "writing the KV key before the queue took the event",
    file: "src/operations/ingest.ts",
    edits: [
      ["after(remember(event.value, body, config.idempotencyTtlSeconds, env));", ""],
      [
        "const enqueued = await enqueue(",
        "if (config.idempotencyTtlSeconds !== null) await remember(event.value, body, config.idempotencyTtlSeconds, env);\n  const enqueued = await enqueue(",
      ],
    ],
    suite: { project: "worker", file: "test/worker/ingest.test.ts", name: "the memory of events" },
  },
  {
    name: "acknowledging a message before the Journal has it",
    file: "src/consumer.ts",
    edits: [
      [
        "const { webhookIds } = await inTime(recorded, CALL_TIMEOUT_MS);",
        `void recorded.catch(() => {});
         const webhookIds = entries.map((entry) => entry.webhookIds);`,
      ],
    ],
    suite: simulation,
  },
  {
    name: "counting an interrupted attempt",
    file: "src/domain/delivery.ts",
    edits: [["isUncounted(outcome, isFree)", "isUncounted(outcome, false)"]],
    suite: simulation,
  },
  {
    name: "a listener's attempts that run out never count",
    file: "src/domain/delivery.ts",
    edits: [["interruptible && !outcome.ranOut", "interruptible"]],
    suite: { project: "worker", file: "test/worker/listening.test.ts" },
  },
  {
    name: "each Lane has the whole rate limit for itself",
    file: "src/actors/subscriber/handing.ts",
    edits: [
      ["({ delivery, lease, startAtMs }) =>", "({ delivery, lease }, place) =>"],
      [
        "isTimed ? startAtMs : null",
        "isTimed ? Date.now() + (place * 1_000) / (webhook.rateLimit ?? 1) : null",
      ],
    ],
    suite: { project: "worker", file: "test/worker/lanes.test.ts" },
  },
  {
    name: "deliveries of an event that no Journal has look as if one had it",
    file: "src/consumer.ts",
    edits: [
      ["isUnrecorded ? 0 : message.timestamp.getTime()", "message.timestamp.getTime()"],
      [
        "({ item: { event, message, body }, isUnrecorded })",
        "({ item: { event, message, body } })",
      ],
    ],
    suite: { project: "worker", file: "test/worker/consumer.test.ts" },
  },
  {
    name: "a retry that is asked for again after a restart is made again",
    file: "src/actors/subscriber/deliveries.ts",
    edits: [["wasDone = isAgain && ", "wasDone = false && "]],
    suite: { project: "worker", file: "test/worker/audit.test.ts" },
  },
  {
    name: "a discard that is asked for again after a restart forgets what it did",
    file: "src/actors/subscriber/deliveries.ts",
    edits: [['call !== "" && last?.call === call', "false"]],
    suite: { project: "worker", file: "test/worker/audit.test.ts" },
  },
  {
    name: "what people end is written without its count",
    file: "src/actors/subscriber/deliveries.ts",
    edits: [
      [
        "        this.#parts.tables.atomically(() => {\n          change();\n          this.#ledger.save();\n        }),",
        "        {\n          change();\n          this.#ledger.save();\n        },",
      ],
    ],
    suite: { project: "worker", file: "test/worker/subscriber.test.ts" },
  },
  {
    name: "what came after midnight is looked through again and again",
    file: "src/storage/delivery-retention.ts",
    edits: [["Math.max(this.#store.noneKeptBeforeMs, noneMs)", "0"]],
    suite: { project: "worker", file: "test/worker/bounded.test.ts" },
  },
  {
    name: "answering a change of settings before the Subscriber has it",
    file: "src/actors/registry.ts",
    edits: [
      [
        "return this.#pushes.push(registration);",
        "void this.#pushes.push(registration);\n    return true;",
      ],
    ],
    suite: simulation,
  },
  {
    name: "making a table on a read of a Subscriber",
    file: "src/storage/run-store.ts",
    edits: [
      [
        'const query = "SELECT counters',
        'this.tables.make("hours", "CREATE TABLE hours (at INTEGER PRIMARY KEY, counters TEXT)");\n    const query = "SELECT counters',
      ],
    ],
    suite: simulation,
  },
  {
    name: "making a table on a read of a Journal",
    file: "src/storage/journal-store.ts",
    edits: [
      [
        'return this.tables.has("events");',
        'if (!this.tables.has("events")) this.#create();\n    return true;',
      ],
    ],
    suite: simulation,
  },
];

const MORE: readonly Mutant[] = [
  {
    name: "not writing the lease",
    file: "src/actors/subscriber/ledger.ts",
    edits: [
      [
        "this.#run.lease = { window: Math.max(this.#window, this.#unwritten.size), attempts };",
        "void attempts;",
      ],
    ],
    suite: simulation,
  },
  {
    name: "sending before the lease is on disk",
    file: "src/actors/subscriber/plan.ts",
    edits: [["      await this.#host.sync();\n    } catch", "    } catch"]],
    suite: { project: "worker", file: "test/worker/pump.test.ts", name: "a lease" },
  },
  {
    name: "sending before what was leased as it arrived is on disk",
    file: "src/actors/subscriber/plan.ts",
    edits: [["        await this.#host.sync();\n      } catch", "      } catch"]],
    suite: simulation,
  },
  {
    name: "a start that forgets what was leased as it arrived",
    file: "src/actors/subscriber/recovery.ts",
    edits: [["left.push(...openOf(behind));", ""]],
    suite: simulation,
  },
  {
    name: "an arrival leased farther behind the last save than a start looks",
    file: "src/actors/subscriber/ledger.ts",
    edits: [["this.#store.lastSeq(this.#run) < this.#run.arrivedTo + MAX_ARRIVALS_LEASED", "true"]],
    suite: { project: "worker", file: "test/worker/arrivals.test.ts", name: "is counted once" },
  },
  {
    name: "twelve attempts in flight",
    file: "src/domain/pace.ts",
    edits: [["const MAX_IN_FLIGHT = 6;", "const MAX_IN_FLIGHT = 12;"]],
    suite: simulation,
  },
  {
    name: "writing outcomes late, so that a crash repeats many",
    file: "src/actors/subscriber/pump.ts",
    edits: [
      [
        "this.#inFlight.size + unrecorded + unwritten + count <= pace.windowOf(situation)",
        "this.#inFlight.size < 100",
      ],
      ["const GATHER_MS = 100;", "const GATHER_MS = 60_000;"],
      ["return (this.#isLingering && !this.#mayLinger) || ", "return "],
      ["return this.#isFull ? ", "return false ? "],
    ],
    suite: {
      project: "worker",
      file: "test/worker/pump.test.ts",
      name: "a crash while attempts are in flight",
    },
  },
  {
    name: "waiting for the next arrival while something is due",
    file: "src/actors/subscriber/pump.ts",
    edits: [
      [
        "return nextAtMs === null || nextAtMs > this.#ledger.oldestAnswerAtMs + GATHER_MS;",
        "return nextAtMs !== undefined;",
      ],
    ],
    suite: { project: "worker", file: "test/worker/arrivals.test.ts", name: "keeps nothing else" },
  },
  {
    name: "two commits where one does",
    file: "src/actors/subscriber/pump.ts",
    edits: [["sinceMs >= 0 && sinceMs < GATHER_MS", "false"]],
    suite: { project: "worker", file: "test/worker/arrivals.test.ts", name: "with the arrival of" },
  },
  {
    name: "ignoring the lease's window in recovery",
    file: "src/actors/subscriber/recovery.ts",
    edits: [["const left = leased.slice(0, run.lease.window);", "const left = [...leased];"]],
    suite: {
      project: "worker",
      file: "test/worker/pump.test.ts",
      name: "a crash while attempts are in flight",
    },
  },
  {
    name: "sending again what was interrupted without closing the attempt",
    file: "src/actors/subscriber/recovery.ts",
    edits: [
      ["const left = leased.slice(0, run.lease.window);", "const left = leased.slice(0, 0);"],
    ],
    suite: simulation,
  },
  {
    name: "moving the head of fresh deliveries too far",
    file: "src/actors/subscriber/agenda.ts",
    edits: [
      [
        "this.#ledger.moveHead(left?.position ?? fresh.head);",
        "this.#ledger.moveHead(fresh.head);",
      ],
    ],
    suite: simulation,
  },
  {
    name: "leaving the head behind what was planned and given back",
    file: "src/actors/subscriber/ledger.ts",
    edits: [["if (fresh !== null && isBefore(fresh, this.#run.head)) this.#run.head = fresh;", ""]],
    suite: simulation,
  },
  {
    name: "an alarm that throws",
    file: "src/actors/subscriber/clockwork.ts",
    edits: [["alarm.arm(Date.now() + backoffMs);", "throw thrown;"]],
    suite: simulation,
  },
  {
    name: "ignoring Retry-After",
    file: "src/actors/subscriber/send.ts",
    edits: [["new Set([429, 503])", "new Set()"]],
    suite: simulation,
  },
  {
    name: "retrying early",
    file: "src/domain/schedule.ts",
    edits: [["wait + Math.floor(", "wait - Math.floor("]],
    suite: simulation,
  },
  {
    name: "hammering a dead service instead of probing it",
    file: "src/domain/health.ts",
    edits: [["before.probing || failuresInARow >= FAILURES_BEFORE_PROBING", "before.probing"]],
    suite: simulation,
  },
  {
    name: "the truth: a service that fails is said to be well",
    file: "src/domain/health.ts",
    edits: [["since(before.failingFromMs, isFailing, endedAtMs)", "before.failingFromMs"]],
    suite: simulation,
  },
  {
    name: "the truth: the next probe is told for when the delivery is due",
    file: "src/domain/waiting.ts",
    edits: [["Math.max(last.atMs, isProbe ? (probe.atMs ?? 0) : 0)", "last.atMs"]],
    suite: simulation,
  },
  {
    name: "the truth: counters that begin anew with each hour",
    file: "src/actors/subscriber/tally.ts",
    edits: [
      [
        "this.#run.hour = emptyHour(nowMs);",
        "this.#run.hour = emptyHour(nowMs);\n      this.#run.totals.attempts = {};",
      ],
    ],
    suite: simulation,
  },
  {
    name: "a resume of what was disabled that does not probe",
    file: "src/actors/subscriber/subscriber.ts",
    edits: [
      [
        "ledger.setHealth(release(health, wasDisabled, Date.now()));",
        "ledger.setHealth(release(health, false, Date.now()));",
      ],
    ],
    suite: { project: "worker", file: "test/worker/probing.test.ts", name: "is disabled" },
  },
  {
    name: "five days of failing that disable nobody",
    file: "src/domain/health.ts",
    edits: [
      ["const DISABLE_AFTER_MS = 5 * 86_400_000;", "const DISABLE_AFTER_MS = 6 * 86_400_000;"],
    ],
    suite: { project: "worker", file: "test/worker/probing.test.ts", name: "is disabled" },
  },
  {
    name: "starting attempts while the webhook is held",
    file: "src/actors/subscriber/in-force.ts",
    edits: [['webhook === null || webhook.status !== "active"', "webhook === null"]],
    suite: simulation,
  },
  {
    name: "letting an older version of a webhook replace a newer one",
    file: "src/actors/subscriber/subscriber.ts",
    edits: [["|| version <= webhook.version", ""]],
    suite: simulation,
  },
  {
    name: "rotating a secret without grace",
    file: "src/domain/webhook.ts",
    edits: [["secrets: [...old, { value: secret", "secrets: [{ value: secret"]],
    suite: { project: "worker", file: "test/worker/rotation.test.ts" },
  },
  {
    name: "not applying a filter",
    file: "src/domain/webhook.ts",
    edits: [["&& matches(event.envelope)", ""]],
    suite: simulation,
  },
  {
    name: "sending other bytes than those that came in",
    file: "src/actors/subscriber/attempt.ts",
    edits: [
      [
        "body: sending.body,",
        "body: new TextEncoder().encode(JSON.stringify(JSON.parse(new TextDecoder().decode(sending.body)))),",
      ],
    ],
    suite: simulation,
  },
  {
    name: "giving up a message whose dead letter was not kept",
    file: "src/consumer.ts",
    edits: [
      [
        "!(await kept(item, keep, round))",
        "!(await kept(item, keep, round)) && keep === undefined",
      ],
    ],
    suite: { project: "worker", file: "test/worker/consumer.test.ts" },
  },
  {
    name: "letting the dead-letter queue run out of retries before its retention ends",
    file: "wrangler.toml",
    edits: [["retry_delay = 12600", "retry_delay = 900"]],
    suite: { project: "domain", file: "test/domain/verdict.test.ts" },
  },
  {
    name: "holding a batch for a filter that is not understood",
    file: "src/domain/webhook.ts",
    edits: [
      [
        "      compiled.broken.push(compileRoute({ ...route, filter: null }));",
        "      throw route;",
      ],
    ],
    suite: { project: "worker", file: "test/worker/consumer.test.ts" },
  },
  {
    name: "taking an event with any signature",
    file: "src/operations/ingest.ts",
    edits: [["if (!(await verifyLeadterra(", "if (null === (await verifyLeadterra("]],
    suite: { project: "worker", file: "test/worker/ingest.test.ts", name: "a signature" },
  },
  {
    name: "changing something for a form of another origin",
    file: "src/dashboard/ui/same-origin.ts",
    edits: [["if (!isOwn || (site", "if (c.req.path === site || (site === null && site"]],
    suite: { project: "worker", file: "test/worker/dashboard-csrf.test.ts" },
  },
  {
    name: "keeping a session whose API key was removed",
    file: "src/dashboard/ui/session.ts",
    edits: [[`return \`\${purpose} \${apiKey}\`;`, "return purpose;"]],
    suite: { project: "worker", file: "test/worker/dashboard-session.test.ts" },
  },
  {
    name: "writing a row more for each outcome",
    file: "src/storage/delivery-store.ts",
    edits: [
      [
        "const set =",
        `this.#tables.sql.exec("UPDATE deliveries_" + delivery.period + " SET attempts = attempts WHERE id = ?", delivery.id);
         const set =`,
      ],
    ],
    suite: { project: "worker", file: "test/worker/cost.test.ts" },
  },
];

const LANES: readonly Mutant[] = [
  {
    name: "an outcome that the disk did not take forgotten in the lease",
    file: "src/actors/subscriber/ledger.ts",
    edits: [
      ["    this.#unwritten.add(answered);\n", "    this.leases.close(answered.lease.id);\n"],
    ],
    suite: { project: "worker", file: "test/worker/unwritten.test.ts" },
  },
  {
    name: "one row that stops a start",
    file: "src/actors/subscriber/recovery.ts",
    edits: [["    return [interrupted];", "    throw thrown;"]],
    suite: { project: "worker", file: "test/worker/unwritten.test.ts", name: "from starting" },
  },
  {
    name: "an erased person's Journal cleared first",
    file: "src/operations/events.ts",
    edits: [
      [
        "  const found = await Promise.all([\n    eraseFromWebhooks(env, ids),",
        "  await eraseFromJournals(env, days, ids);\n  const found = await Promise.all([\n    eraseFromWebhooks(env, ids),",
      ],
    ],
    suite: { project: "worker", file: "test/worker/erasure.test.ts" },
  },
  {
    name: "an erased event, owed by the list of a Journal that has not heard of it",
    file: "src/consumer.ts",
    edits: [["routed.filter(({ item }) => !round.erased.has(item.event.id))", "routed"]],
    suite: { project: "worker", file: "test/worker/consumer.test.ts", name: "counts no more once" },
  },
  {
    name: "an erased event, echoed by what answers an attempt that was on its way",
    file: "src/actors/subscriber/deliveries.ts",
    edits: [["    this.#ledger.leases.erased(id);\n", ""]],
    suite: { project: "worker", file: "test/worker/erasure.test.ts", name: "on its way of one" },
  },
  {
    name: "an erased event, with an address left in what Leadterra calls its message",
    file: "src/storage/journal-store.ts",
    edits: [['["timestamp", "campaign_id", "key"]', '["timestamp", "campaign_id"]']],
    suite: { project: "worker", file: "test/worker/erasure.test.ts", name: "own either" },
  },
  {
    name: "a search by an id that forgets what came ahead",
    file: "src/operations/events.ts",
    edits: [["next: next && { ...next, ahead: shown }", "next"]],
    suite: { project: "worker", file: "test/worker/events-api.test.ts", name: "own id" },
  },
  {
    name: "a cursor that one event alone may be ahead of",
    file: "src/contract/cursor.ts",
    edits: [["(?:~evt_[0-9A-Z]{26}){0,4}", "(?:~evt_[0-9A-Z]{26}){0,1}"]],
    suite: { project: "worker", file: "test/worker/events-api.test.ts", name: "own id" },
  },
  {
    name: "an erasure that ends somebody else's delivery, for what was answered to it",
    file: "src/actors/subscriber/deliveries.ts",
    edits: [["const isWhole = email === undefined ||", "const isWhole = email !== null ||"]],
    suite: { project: "worker", file: "test/worker/erasure.test.ts", name: "events of others" },
  },
  {
    name: "a page that is asked for by another method, taken for another site's form",
    file: "src/dashboard/app.ts",
    edits: [["    refuseOtherMethods,\n", ""]],
    suite: { project: "worker", file: "test/worker/dashboard-csrf.test.ts", name: "405" },
  },
  {
    name: "a body that was read before an erasure, taken after it",
    file: "src/actors/erased-lately.ts",
    edits: [
      [
        "return atMs !== undefined && atMs + REMEMBERED_MS > Date.now();",
        "return atMs !== undefined && atMs + REMEMBERED_MS < 0;",
      ],
    ],
    suite: { project: "worker", file: "test/worker/erasure-under-way.test.ts" },
  },
  {
    name: "what the platform gave up, acknowledged without a dead letter",
    file: "src/consumer.ts",
    edits: [
      [
        'round.fates.set(item, { kind: "not_consumed", mayBeErased })',
        'round.fates.set(item, { kind: "routed", owed: [], full: [] })',
      ],
    ],
    suite: simulation,
  },
  {
    name: "a dead letter that could not be kept, tried again each second",
    file: "src/domain/verdict.ts",
    edits: [["KEEP_AGAIN_SECONDS = 12_600", "KEEP_AGAIN_SECONDS = 1"]],
    suite: simulation,
  },
  {
    name: "a whole period moved in one turn",
    file: "src/actors/subscriber/housekeeping.ts",
    edits: [["const MAX_ROWS = 500;", "const MAX_ROWS = 50_000;"]],
    suite: simulation,
  },
  {
    name: "retention that fails, unguarded",
    file: "src/actors/subscriber/housekeeping.ts",
    edits: [["      this.#isBehind = false;\n", "      throw thrown;\n"]],
    suite: { project: "worker", file: "test/worker/retention.test.ts", name: "that fails" },
  },
  {
    name: "retention that moves a whole period in one turn",
    file: "src/actors/subscriber/housekeeping.ts",
    edits: [["const MAX_ROWS = 500;", "const MAX_ROWS = 1_000_000;"]],
    suite: { project: "worker", file: "test/worker/retention.test.ts", name: "move on" },
  },
  {
    name: "a list that reads attempts",
    file: "src/storage/delivery-tables.ts",
    edits: [['last_error AS "lastError"', 'last_error AS "lastError", length(log)']],
    suite: { project: "worker", file: "test/worker/bounded.test.ts" },
  },
  {
    name: "a refused request counted as the service's failure",
    file: "src/actors/subscriber/send.ts",
    edits: [["refused || thrown instanceof Interruption", "thrown instanceof Interruption"]],
    suite: { project: "worker", file: "test/worker/pump.test.ts", name: "refuses to make" },
  },
  {
    name: "a Lane that retries by itself",
    file: "src/actors/lane.ts",
    edits: [
      [
        "    held.outcomes.push({ id, number, outcome });",
        `    if (outcome.error !== null) {
           held.queue.push({ id, event, body, number, startAtMs: null });
           return;
         }
         held.outcomes.push({ id, number, outcome });`,
      ],
    ],
    suite: simulation,
  },
  {
    name: "an outcome of a Lane recorded twice",
    file: "src/actors/subscriber/ledger.ts",
    edits: [
      ["Object.assign(leased, { outcome })", "{ ...leased, outcome }"],
      ["    this.leases.close(delivery.id);\n    this.tally", "    this.tally"],
    ],
    suite: simulation,
  },
  {
    name: "a share that is not closed when its Lane has lost it",
    file: "src/actors/subscriber/lanes.ts",
    edits: [["    known.isLost = true;", ""]],
    suite: { project: "worker", file: "test/worker/lanes.test.ts", name: "does not know it" },
  },
  {
    name: "a share that is closed while its Lane lives",
    file: "src/actors/subscriber/lanes.ts",
    edits: [
      [
        "    if (isKnown) this.#ledger.giveBackOf(share.id, unsent);",
        "    if (isKnown) this.#close([share]);",
      ],
    ],
    suite: simulation,
  },
  {
    name: "a Lane that forgets what its Subscriber could not take",
    file: "src/actors/lane.ts",
    edits: [["const known = answered(await inTime", "const known = (await inTime"]],
    suite: { project: "worker", file: "test/worker/lanes.test.ts", name: "can take it" },
  },
  {
    name: "a Lane that is lost after one answer that was",
    file: "src/actors/subscriber/lanes.ts",
    edits: [["const MAX_SILENCES = 2;", "const MAX_SILENCES = 1;"]],
    suite: { project: "worker", file: "test/worker/lanes.test.ts", name: "keeps its share after" },
  },
  {
    name: "a share that its Lane has reported to an earlier life of the object, left in flight for good",
    file: "src/actors/lane.ts",
    edits: [["isOver: isKnown }", "isOver: false }"]],
    suite: { project: "worker", file: "test/worker/unwritten.test.ts", name: "by a crash" },
  },
  {
    name: "a seventh connection of a Lane",
    file: "src/actors/lane.ts",
    edits: [["this.#inFlight >= slots ||", "this.#inFlight > slots ||"]],
    suite: simulation,
  },
  {
    name: "a recall that is forgotten when a delivery is cancelled",
    file: "src/actors/subscriber/subscriber.ts",
    edits: [
      [
        "return this.#changing([id], () => this.#engine.deliveries.cancel(id, atMs), null);",
        "return this.#changing([], () => this.#engine.deliveries.cancel(id, atMs), null);",
      ],
    ],
    suite: {
      project: "worker",
      file: "test/worker/lanes.test.ts",
      name: "a cancelled delivery that a Lane had not started is not sent",
    },
  },
];

const upgrade: Rig = { rig: "test/upgrade/rig.ts" };

const schema: Suite = { project: "upgrade", file: "test/upgrade/schema.test.ts" };

const rollback: Suite = {
  project: "simulation",
  file: "test/simulation/rollback.test.ts",
  name: "loses nothing",
};

const rollout: Suite = {
  project: "simulation",
  file: "test/simulation/rollout.test.ts",
  name: "loses nothing",
};

/** Those that would make a release lose what the one before it stored. */
const STORED: readonly Mutant[] = [
  {
    name: "stored data: a column added without a step",
    file: "src/storage/schema.ts",
    edits: [
      ['      { of: "batches", sql: "ALTER TABLE batches ADD COLUMN after INTEGER" },\n', ""],
    ],
    suite: rollout,
  },
  {
    name: "stored data: a field of JSON without a default",
    file: "src/storage/run.ts",
    edits: [["slots: z.catch(z.number(), MAX_IN_FLIGHT)", "slots: z.number()"]],
    suite: { project: "upgrade", file: "test/upgrade/stored-json.test.ts" },
  },
  {
    name: "an upgrade: a reader that loses a field of what an older release wrote",
    file: "src/storage/stored-json.ts",
    edits: [
      [
        "[name, tuple[at]]",
        '[name, tuple.length < ATTEMPT_PLACES.length && name === "durationMs" ? 0 : tuple[at]]',
      ],
    ],
    suite: upgrade,
  },
  {
    name: "an upgrade: a list that leaves one out",
    file: "src/storage/delivery-lists.ts",
    edits: [
      [
        "if (verdict) deliveries.push(delivery);",
        'if (verdict && delivery.lastError !== "expired") deliveries.push(delivery);',
      ],
    ],
    suite: upgrade,
  },
  {
    name: "stored data: a step that is not one transaction with its number",
    file: "src/storage/schema.ts",
    edits: [
      ["storage.transactionSync(() => {", "(() => {"],
      [
        "      writeVersion(sql, from + 1);\n    });",
        "      writeVersion(sql, from + 1);\n    })();",
      ],
    ],
    suite: schema,
  },
  {
    name: "stored data: a step edited after it was settled",
    file: "src/storage/schema.ts",
    edits: [
      [
        "registry: [],",
        'registry: [{ of: "webhooks", sql: "ALTER TABLE webhooks ADD COLUMN late TEXT" }],',
      ],
    ],
    suite: schema,
  },
  {
    name: "stored data: a step edited in what leaves no trace in a shape",
    file: "src/storage/schema.ts",
    edits: [
      [
        '"dead-letters": [],',
        '"dead-letters": [{ of: "dead_letters", sql: "UPDATE dead_letters SET id = id" }],',
      ],
    ],
    suite: schema,
  },
  {
    name: "stored data: no refusal of what is newer than the code",
    file: "src/storage/schema.ts",
    edits: [["version > VERSION ? version : null", "null"]],
    suite: { project: "worker", file: "test/worker/newer-data.test.ts" },
  },
  {
    name: "a rollback: what is newer than the code is written over",
    file: "src/storage/schema.ts",
    edits: [["version > VERSION ? version : null", "null"]],
    suite: rollback,
  },
  {
    name: "a deploy: a field of the run row without a default",
    file: "src/storage/run.ts",
    edits: [["  arrivedTo: t.number,", "  arrivedTo: z.number(),"]],
    suite: rollout,
  },
  {
    name: "a deploy: what an object cannot do yet counts as done",
    file: "src/consumer.ts",
    edits: [
      [
        'alertNewerData(thrown, round);\n    return thrown instanceof LateError ? "silent" : "owed";',
        'return errorText(thrown).includes("does not implement") ? "accepted" : "owed";',
      ],
    ],
    suite: rollout,
  },
];

/** Of the relay's own events. */
const OWN: readonly Mutant[] = [
  {
    name: "own events: one goes to the webhook that it is about",
    file: "src/domain/webhook.ts",
    edits: [[" && !isAbout(event, id)", ""]],
    suite: simulation,
  },
  {
    name: "own events: one is sent twice, under two ids",
    file: "src/actors/outbox.ts",
    edits: [
      [
        '    logInfo("relay_event.sent",',
        `    const more = JSON.stringify({ ...told, timestamp: iso(atMs + 1) });
    await this.#host.env().EVENTS.send(new TextEncoder().encode(more));
    logInfo("relay_event.sent",`,
      ],
    ],
    suite: simulation,
  },
  {
    name: "own events: the Subscriber forgets what the Registry has not answered to",
    file: "src/actors/subscriber/tally.ts",
    edits: [["return this.#run.told;", "return this.#run.told.splice(0);"]],
    suite: { project: "worker", file: "test/worker/relay-events.test.ts", name: "over a restart" },
  },
  {
    name: "own events: what was heard is forgotten where an older call comes late",
    file: "src/actors/outbox.ts",
    edits: [["count: Math.max(known, told.length)", "count: told.length"]],
    suite: { project: "worker", file: "test/worker/relay-events.test.ts", name: "long on its way" },
  },
  {
    name: "Journal: a bisection reads what stands behind the bodies",
    file: "src/storage/journal-store.ts",
    edits: [
      [
        'const query = "SELECT at FROM batches WHERE seq = ?";',
        // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the text of a template.
        "const query = `SELECT ${BATCH_COLUMNS} FROM batches WHERE seq = ?`;",
      ],
    ],
    suite: { project: "worker", file: "test/worker/journal.test.ts", name: "the hours of a day" },
  },
  {
    name: "own events: the Registry forgets one before the queue has it",
    file: "src/actors/outbox.ts",
    edits: [
      [
        "    this.#underWay = row;\n    try {",
        "    this.#underWay = row;\n    this.#store.save({ ...row, count: 0 });\n    try {",
      ],
    ],
    suite: simulation,
  },
];

const deployTest = (name: string): Suite => ({
  project: "scripts",
  file: "test/scripts/deploy-cloudflare.test.ts",
  name,
});

/** Of what `npm run deploy` brings to Cloudflare. */
const DEPLOYS: readonly Mutant[] = [
  {
    name: "npm run deploy: a queue is not bound",
    file: "wrangler.toml",
    edits: [['binding = "EVENTS"', 'binding = "EVENT"']],
    suite: deployTest("makes all that the relay needs"),
  },
  {
    name: "npm run deploy: the tag of a migration is edited",
    file: "wrangler.toml",
    edits: [['tag = "v1"', 'tag = "v1.0"']],
    suite: deployTest("keeps its objects"),
  },
  {
    name: "npm run deploy: a secret's name is misspelt where it is told",
    file: "scripts/deploy.ts",
    edits: [
      [
        'const LEADTERRA_SECRET = "LEADTERRA_SIGNING_SECRETS";',
        'const LEADTERRA_SECRET = "LEADTERRA_SIGNING_SECRET";',
      ],
    ],
    suite: deployTest("makes all that the relay needs"),
  },
  {
    name: "npm run deploy: a secret's name is misspelt where it is asked for",
    file: "scripts/deploy-check.ts",
    edits: [
      ['["LEADTERRA_SIGNING_SECRETS", "API_KEYS"]', '["LEADTERRA_SIGNING_SECRETS", "API_KEY"]'],
    ],
    suite: deployTest("asks for the secrets"),
  },
  {
    name: "npm run deploy: a secret's name is misspelt for the Deploy button",
    file: "package.json",
    edits: [['"READ_ONLY_API_KEYS": {', '"READONLY_API_KEYS": {']],
    suite: deployTest("describes every binding"),
  },
];

export const MUTANTS: readonly Mutant[] = [
  ...PROMISED,
  ...MORE,
  ...LANES,
  ...OWN,
  ...STORED,
  ...DEPLOYS,
];
