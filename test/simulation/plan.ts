/** What kind of run a seed makes: which faults, which features, which people, and how much of each. */
import { Chance } from "./chance";
import { TEMPERS, type Temper } from "./network";
import type { RollbackPlan } from "./rollback";
import type { RolloutPlan } from "./rollout";

/** Of an outage of 60 hours too, through which three objects are asked each minute. */
export const MAX_STEPS = 60_000;

/** So long that retries in the queue are used up: 20 hours the consumer's own, 55 with those of a dead letter. */
export type OutagePlan = {
  /** Of objects that cannot be asked; null for a deploy whose code throws before it looks at a batch. */
  away: string[] | null;
  afterSteps: number;
  hours: number;
};

/** What kind of run it is. */
export type Plan = {
  faults: boolean;
  people: boolean;
  webhooks: number;
  events: number;
  /** So many steps until the faults end. */
  faultySteps: number;
  /** Chances per step. */
  crash: number;
  jump: number;
  act: number;
  repeatAlarm: number;
  /** Chances per call: that it is lost, and that it takes seconds. */
  loseCall: number;
  delayCall: number;
  /** That a call between a Subscriber and its Lane comes twice. */
  repeatCall: number;
  /** Webhooks that somebody listens to. */
  listeners: boolean;
  /** Webhooks that want more than six attempts at once. */
  lanes: boolean;
  /** All events within a few seconds. */
  burst: boolean;
  /** Some objects take no more writes for a while. */
  fillsUp: boolean;
  /** Now and then the disk of any object does not take a write, which the next time it does. */
  diskFails: boolean;
  sweeps: boolean;
  slowCrypto: boolean;
  /** People erase persons, and replay and redrive many at once. */
  upkeep: boolean;
  outage: OutagePlan | null;
  /** Thousands of deliveries of one webhook that is paused, kept until they are past their retention twice. */
  hoards: boolean;
  retention: "30d" | "1d";
  alerts: boolean;
  tempers: Temper[];
  /** Somebody looks at every webhook after each step; else now and then. */
  looksAlways: boolean;
  /** Metrics are scraped now and then. */
  scrapes: boolean;
  /** Of today's code over the release that a run began with. */
  rollout: RolloutPlan;
  /** To today's code, from a release after it. */
  rollback: RollbackPlan | null;
  /** Webhooks that ask for the relay's own events. */
  ownEvents: boolean;
};

export function planOf(seed: number): Plan {
  const chance = new Chance(seed ^ 0x40c0);
  const plan = withOutage(usualPlanOf(seed), new Chance(seed ^ 0x0a7a));
  if (chance.happens(1 / 300)) return hoarding(plan);
  return withOwnEvents(plan, new Chance(seed ^ 0x0e7e));
}

/** None is told to the webhook that it is about: there is one more. They tell of trouble: there is some, mostly. */
function withOwnEvents(plan: Plan, chance: Chance): Plan {
  if (!chance.happens(1 / 3)) return plan;
  const own = { ownEvents: true, webhooks: plan.webhooks + 1 };
  if (plan.outage !== null || chance.happens(0.3)) return { ...plan, ...own };
  const tempers = [chance.pick(TEMPERS), ...TROUBLED];
  return { ...plan, ...own, tempers, events: Math.max(plan.events, chance.between(3, 10)) };
}

const TROUBLED: Temper[] = ["dead", "dead", "dead", "late", "flaky", "leaving"];

/** Every write of the object is judged with all its rows: nothing else goes on beside it. */
function hoarding(plan: Plan): Plan {
  const quiet = { people: false, upkeep: false, listeners: false, lanes: false, sweeps: false };
  const unseen = { looksAlways: false, scrapes: false, slowCrypto: false, alerts: false };
  return {
    ...plan,
    ...quiet,
    ...unseen,
    hoards: true,
    faults: true,
    // Each time that 500 rows expire or move, all or none, one of them would.
    diskFails: false,
    outage: null,
    webhooks: 1,
    events: 2_000,
    crash: 0.002,
    burst: true,
    jump: 0,
    retention: "1d",
    // Until time ends them.
    faultySteps: MAX_STEPS,
  };
}

/** Each message is received a hundred times: few of them, and enough steps for people to act meanwhile. */
function withOutage(plan: Plan, chance: Chance): Plan {
  if (!plan.faults || plan.lanes || plan.listeners || !chance.happens(0.08)) return plan;
  return {
    ...plan,
    events: Math.min(plan.events, 4),
    burst: false,
    jump: 0,
    faultySteps: chance.between(100, 1_000),
    upkeep: true,
    people: true,
    outage: { ...chance.pick(OUTAGES), afterSteps: chance.between(0, 60) },
  };
}

/** Where the Registry is away each object asks for it once a minute: not for longer than it takes. */
const OUTAGES: Omit<OutagePlan, "afterSteps">[] = [
  { away: null, hours: 25 },
  { away: null, hours: 60 },
  { away: ["Registry"], hours: 22 },
  { away: ["Journal"], hours: 22 },
  { away: ["Subscriber"], hours: 22 },
  { away: ["DeadLetters"], hours: 60 },
  { away: ["Journal", "DeadLetters"], hours: 60 },
  { away: ["Subscriber", "DeadLetters"], hours: 60 },
];

export function usualPlanOf(seed: number): Plan {
  const plan = watchedPlanOf(seed);
  const chance = new Chance(seed ^ 0x1a9e);
  if (!chance.happens(0.25)) return withListeners(plan, new Chance(seed ^ 0x115e));
  const events = chance.pick([10, 20, 40]);
  return { ...plan, lanes: true, webhooks: 1, events, burst: chance.happens(0.7) };
}

function watchedPlanOf(seed: number): Plan {
  const plan = basicPlanOf(seed);
  const looksAlways = new Chance(seed ^ 0x100c).happens(0.1);
  const scrapes = new Chance(seed ^ 0x5c4a).happens(0.2);
  // Days that nobody lives through hand nothing over.
  const jump = scrapes ? 0 : plan.jump;
  const upkeep = new Chance(seed ^ 0xe7a5).happens(0.15);
  const diskFails = plan.faults && new Chance(seed ^ 0xd15c).happens(0.1);
  const people = plan.people || upkeep;
  return {
    ...plan,
    looksAlways,
    scrapes,
    jump,
    upkeep,
    diskFails,
    outage: null,
    hoards: false,
    rollback: null,
    ownEvents: false,
    people,
  };
}

function withListeners(plan: Plan, chance: Chance): Plan {
  if (!chance.happens(0.3)) return plan;
  const faultySteps = chance.between(200, 500);
  return { ...plan, listeners: true, events: chance.pick([5, 10, 20]), faultySteps };
}

function basicPlanOf(
  seed: number,
): Omit<
  Plan,
  | "looksAlways"
  | "scrapes"
  | "upkeep"
  | "diskFails"
  | "outage"
  | "hoards"
  | "rollback"
  | "ownEvents"
> {
  const chance = new Chance(seed ^ 0x5eed);
  const faults = !chance.happens(0.2);
  const burst = chance.happens(0.04);
  return {
    faults,
    people: chance.happens(0.7),
    webhooks: burst ? 1 : chance.pick([1, 1, 1, 1, 2, 2, 3]),
    events: burst ? 30 : chance.pick([1, 2, 3, 4, 5, 6, 10]),
    lanes: false,
    listeners: false,
    repeatCall: faults ? 0.05 : 0,
    faultySteps: chance.between(40, 280),
    crash: faults ? chance.pick(burst ? [0.02] : [0, 0.005, 0.02]) : 0,
    jump: faults ? chance.pick([0, 0.002]) : 0,
    act: chance.pick([0.005, 0.02, 0.05]),
    repeatAlarm: faults ? chance.pick([0, 0.005]) : 0,
    loseCall: faults ? chance.pick([0, 0.02, 0.1]) : 0,
    delayCall: faults ? chance.pick([0.01, 0.02, 0.2]) : 0,
    burst,
    fillsUp: faults && chance.happens(0.1),
    sweeps: chance.happens(0.3),
    slowCrypto: chance.happens(0.15),
    retention: chance.happens(0.85) ? "30d" : "1d",
    alerts: chance.happens(0.1),
    tempers: chance.happens(0.5) ? [...TEMPERS] : [chance.pick(TEMPERS), chance.pick(TEMPERS)],
    rollout: {
      afterSteps: chance.between(0, 200),
      chance: chance.pick([0.5, 0.1, 0.03]),
      lacks: chance.pick([null, null, "routing", "record", "accept", "keep"]),
    },
  };
}

/** Within the 20 hours for which the queue keeps what cannot be handed over. */
export function rollbackPlanOf(seed: number): Plan {
  const chance = new Chance(seed ^ 0xbac4);
  const afterSteps = chance.between(20, 200);
  const backAfterSteps = afterSteps + chance.between(50, 400);
  return {
    ...usualPlanOf(seed),
    jump: 0,
    scrapes: false,
    fillsUp: false,
    faultySteps: backAfterSteps + chance.between(30, 200),
    rollback: { afterSteps, backAfterSteps, chance: chance.pick([0.5, 0.1, 0.05]) },
  };
}
