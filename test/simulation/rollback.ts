/**
 * A rollback in the middle of a run: a later release first, whose stored data is one step newer; then today's code,
 * object by object, which must leave alone what it does not know; then the later release again.
 */
import type { Chance } from "./chance";
import { type Code, Instance, type SimulatedObject } from "./objects";
import { codeOf, type Release, TODAY } from "./releases";
import type { Deploys, RolloutTally } from "./rollout";
import type { Owner, Scheduler } from "./scheduler";

export type RollbackPlan = {
  /** The step with which it begins, and the one with which the later release comes back. */
  afterSteps: number;
  backAfterSteps: number;
  /** Per step, that one object is made anew. */
  chance: number;
};

/** So long both are at work after each change. */
const OVERLAP_STEPS = 60;

export class Rollback implements Deploys {
  readonly tally: RolloutTally = { deployed: 0, toReleased: 0, toToday: 0 };
  readonly #later: Release;
  readonly #plan: RollbackPlan;
  readonly #chance: Chance;
  readonly #scheduler: Scheduler;
  readonly #laters = new WeakSet<Owner>();
  #isOver = false;

  constructor(
    later: Release,
    { plan, chance, scheduler }: { plan: RollbackPlan; chance: Chance; scheduler: Scheduler },
  ) {
    this.#later = later;
    this.#plan = plan;
    this.#chance = chance;
    this.#scheduler = scheduler;
  }

  get releases(): Release[] {
    return [TODAY, this.#later];
  }

  get #isRolledBack(): boolean {
    const { steps } = this.#scheduler;
    return !this.#isOver && steps > this.#plan.afterSteps && steps <= this.#plan.backAfterSteps;
  }

  get #target(): Release {
    return this.#isRolledBack ? TODAY : this.#later;
  }

  /** Whose code begins now. */
  #release(): Release {
    const { afterSteps, backAfterSteps } = this.#plan;
    const { steps } = this.#scheduler;
    const isOverlap = [afterSteps, backAfterSteps].some(
      (beganAt) => steps > beganAt && steps <= beganAt + OVERLAP_STEPS,
    );
    if (isOverlap && !this.#isOver && this.#chance.happens(0.5)) {
      return this.#isRolledBack ? this.#later : TODAY;
    }
    return this.#target;
  }

  ofInvocation(): Release {
    const release = this.#release();
    if (release === this.#later) this.#laters.add(this.#scheduler.current);
    return release;
  }

  ofObject(className: string): Code {
    return codeOf(this.#release(), className);
  }

  calls(object: SimulatedObject): void {
    const { current } = this.#scheduler;
    const isLater =
      current instanceof Instance
        ? current.object.version === this.#later.version
        : this.#laters.has(current);
    if (isLater && object.version < this.#later.version) this.tally.toToday += 1;
    if (!isLater && object.version === this.#later.version) this.tally.toReleased += 1;
  }

  goOn(objects: Iterable<SimulatedObject>): SimulatedObject[] {
    if (!this.#chance.happens(this.#plan.chance)) return [];
    const others = this.#othersOf(objects);
    return others.length === 0 ? [] : this.#deploy([this.#chance.pick(others)]);
  }

  end(objects: Iterable<SimulatedObject>): SimulatedObject[] {
    this.#isOver = true;
    return this.#deploy(this.#othersOf(objects));
  }

  #othersOf(objects: Iterable<SimulatedObject>): SimulatedObject[] {
    return [...objects].filter(({ version }) => version !== this.#target.version);
  }

  #deploy(objects: SimulatedObject[]): SimulatedObject[] {
    for (const object of objects) {
      const { version } = this.#target;
      this.#scheduler.note(`deploys ${object.className} ${object.name}, version ${version}`);
      this.tally.deployed += 1;
      object.deploy(codeOf(this.#target, object.className));
    }
    return objects;
  }
}
