/**
 * Virtual time and the order of things. Everything that may happen is a task; one at a time is picked by chance
 * among those whose time has come, and the microtasks that it leaves behind are run to the end before the next.
 */
import type { Chance } from "./chance";

/** Whose code a task runs: an instance of an object, an invocation of the Worker, or the platform itself. */
export type Owner = { readonly name: string; alive: boolean };

export type Task = {
  readonly owner: Owner;
  readonly atMs: number;
  readonly label: string;
  readonly run: () => void;
};

/** Captured before the run replaces it. */
const realSetImmediate = setImmediate;

export class Scheduler {
  readonly #chance: Chance;
  #tasks: Task[] = [];
  readonly trace: string[] = [];
  nowMs: number;
  /** By so much the clock went ahead of the time that passed. */
  jumpedMs = 0;
  readonly startMs: number;
  steps = 0;
  /** Whose code runs now: calls to fetch, timers and storage are put down to it. */
  current: Owner;
  readonly platform: Owner = { name: "platform", alive: true };

  constructor(chance: Chance, startMs: number) {
    this.#chance = chance;
    this.nowMs = startMs;
    this.startMs = startMs;
    this.current = this.platform;
  }

  /** Has `run` called at some step after `delayMs`, unless its owner is gone by then. */
  after(delayMs: number, owner: Owner, label: string, run: () => void): Task {
    const task: Task = { owner, atMs: this.nowMs + delayMs, label, run };
    if (owner.alive) this.#tasks.push(task);
    return task;
  }

  cancel(task: Task): void {
    const index = this.#tasks.indexOf(task);
    if (index !== -1) this.#tasks.splice(index, 1);
  }

  /** Ends everything that `owner` waits for. */
  dropTasksOf(owner: Owner): void {
    owner.alive = false;
    this.#tasks = this.#tasks.filter((task) => task.owner !== owner);
  }

  /** When the next task can run; null when there is none. */
  nextAtMs(): number | null {
    let next: number | null = null;
    for (const task of this.#tasks) if (next === null || task.atMs < next) next = task.atMs;
    return next;
  }

  /** Runs one task with all its microtasks; moves the clock on when none is ready. */
  async step(): Promise<void> {
    const task = this.#take();
    if (task === null) return;
    this.steps += 1;
    this.note(task.label, task.owner);
    this.current = task.owner;
    task.run();
    await new Promise<void>((resolve) => realSetImmediate(resolve));
    this.current = this.platform;
  }

  /** Runs code of `owner` between two steps, with all its microtasks. */
  async between(owner: Owner, run: () => void): Promise<void> {
    this.current = owner;
    run();
    await new Promise<void>((resolve) => realSetImmediate(resolve));
    this.current = this.platform;
  }

  #take(): Task | null {
    let ready = 0;
    let earliest: Task | null = null;
    let chosen: Task | null = null;
    for (const task of this.#tasks) {
      if (earliest === null || task.atMs < earliest.atMs) earliest = task;
      if (task.atMs > this.nowMs) continue;
      ready += 1;
      if (this.#chance.between(1, ready) === 1) chosen = task;
    }
    const task = chosen ?? earliest;
    if (task === null) return null;
    this.nowMs = Math.max(this.nowMs, task.atMs);
    this.cancel(task);
    return task;
  }

  note(text: string, owner: Owner = this.current): void {
    const ms = this.nowMs - this.startMs;
    this.trace.push(`${String(this.steps).padStart(5)} +${ms}ms ${owner.name}: ${text}`);
  }
}
