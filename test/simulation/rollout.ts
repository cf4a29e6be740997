/**
 * A deploy in the middle of a run: objects and invocations of a release first, then today's code, object by object
 * on what is stored. Until it is everywhere, both are at work and call each other. A release that stores the same
 * version may be rolled back to: then objects go back to it, too, before today's code is everywhere.
 */
import type { Chance } from "./chance";
import { type Code, Instance, type ObjectClass, type SimulatedObject } from "./objects";
import { codeOf, type Release, TODAY } from "./releases";
import type { Owner, Scheduler } from "./scheduler";

export type RolloutPlan = {
  /** So many steps until it begins. */
  afterSteps: number;
  /** Per step, that one object is made anew. */
  chance: number;
  /** A method that the release does not have yet. */
  lacks: string | null;
};

/** What was seen of it. */
export type RolloutTally = {
  deployed: number;
  /** Calls of today's code to the release's, and the other way round. */
  toReleased: number;
  toToday: number;
};

/** Whose code is where, while it changes. */
export type Deploys = {
  readonly tally: RolloutTally;
  /** Whose code has a part in the run. */
  readonly releases: Release[];
  /** The code of the invocation that begins now. */
  ofInvocation(): Release;
  /** The code of an object that is made now. */
  ofObject(className: string): Code;
  /** Somebody calls an object. */
  calls(object: SimulatedObject): void;
  /** One step of it. @returns the objects that were made anew. */
  goOn(objects: Iterable<SimulatedObject>): SimulatedObject[];
  /** The last of them is everywhere. */
  end(objects: Iterable<SimulatedObject>): SimulatedObject[];
};

export class Rollout implements Deploys {
  readonly tally: RolloutTally = { deployed: 0, toReleased: 0, toToday: 0 };
  readonly #before: Release | null;
  readonly #plan: RolloutPlan;
  readonly #chance: Chance;
  readonly #scheduler: Scheduler;
  readonly #released = new WeakSet<Owner>();
  #isOver: boolean;

  /** @param before the release that the run begins with; null when it is all today's code. */
  constructor(
    before: Release | null,
    { plan, chance, scheduler }: { plan: RolloutPlan; chance: Chance; scheduler: Scheduler },
  ) {
    this.#before = before;
    this.#plan = plan;
    this.#chance = chance;
    this.#scheduler = scheduler;
    this.#isOver = before === null;
  }

  /** Whose code has a part in the run. */
  get releases(): Release[] {
    return this.#before === null ? [TODAY] : [TODAY, this.#before];
  }

  get #isUnderWay(): boolean {
    return !this.#isOver && this.#scheduler.steps > this.#plan.afterSteps;
  }

  /** Whose code begins now. */
  #release(): Release {
    if (this.#before === null || this.#isOver) return TODAY;
    return this.#isUnderWay && this.#chance.happens(0.5) ? TODAY : this.#before;
  }

  /** The code of the invocation that begins now. */
  ofInvocation(): Release {
    const release = this.#release();
    if (release !== TODAY) this.#released.add(this.#scheduler.current);
    return release;
  }

  ofObject(className: string): Code {
    const Released = this.#release().classes[className];
    if (Released === undefined || Released === TODAY.classes[className]) {
      return codeOf(TODAY, className);
    }
    return this.#releasedCode(className, Released);
  }

  #releasedCode(className: string, Released: ObjectClass): Code {
    const { lacks } = this.#plan;
    const Class = lacks === null ? Released : without(lacks, Released);
    return { className, Class, version: this.#before?.version ?? 1, isReleased: true };
  }

  calls(object: SimulatedObject): void {
    if (this.#isOver) return;
    const { current } = this.#scheduler;
    const isReleased =
      current instanceof Instance ? current.object.isReleased : this.#released.has(current);
    if (isReleased && !object.isReleased) this.tally.toToday += 1;
    if (!isReleased && object.isReleased) this.tally.toReleased += 1;
  }

  /** One step of it. */
  goOn(objects: Iterable<SimulatedObject>): SimulatedObject[] {
    if (!this.#isUnderWay || !this.#chance.happens(this.#plan.chance)) return [];
    const all = [...objects].filter(({ isReleased }) => isReleased || this.#goesBack);
    return all.length === 0 ? [] : this.#deploy([this.#chance.pick(all)]);
  }

  get #goesBack(): boolean {
    return this.#before?.version === TODAY.version;
  }

  /** Today's code is everywhere. */
  end(objects: Iterable<SimulatedObject>): SimulatedObject[] {
    this.#isOver = true;
    return this.#deploy([...objects].filter(({ isReleased }) => isReleased));
  }

  #deploy(objects: SimulatedObject[]): SimulatedObject[] {
    for (const object of objects) {
      const { className, isReleased } = object;
      const Released = isReleased ? undefined : this.#before?.classes[className];
      this.#scheduler.note(`${Released ? "rolls back" : "deploys"} ${className} ${object.name}`);
      this.tally.deployed += 1;
      object.deploy(Released ? this.#releasedCode(className, Released) : codeOf(TODAY, className));
    }
    return objects;
  }
}

/** As the class was before it had the method. */
function without(method: string, Class: Code["Class"]): Code["Class"] {
  return class extends Class {
    constructor(ctx: DurableObjectState, env: Env) {
      super(ctx, env);
      Object.defineProperty(this, method, { value: undefined });
    }
  };
}
