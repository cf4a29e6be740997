/** Which runs of the simulation are made: SEEDS so many, from FIRST on; SEED only this one. */
import type { Outcome } from "./world";

export const { SEED } = process.env;
const SHOWN_LINES = 40;
/** Half of the usual runs, each half in a file of its own: a machine has two cores. */
const HALF = 1_000;

/** @param usual how many where the environment does not say. */
export function seeds(usual: number): number[] {
  const count = Number(process.env.SEEDS ?? usual);
  const first = Number(process.env.FIRST ?? 1);
  return Array.from({ length: count }, (_, index) => first + index);
}

/** What `simulation.test.ts` runs: the first half, or what the environment says. */
export const firstHalf = seeds(HALF);

/** What `second-half.test.ts` runs; nothing where the environment says which. */
export const secondHalf = [SEED, process.env.SEEDS, process.env.FIRST].every(
  (each) => each === undefined,
)
  ? firstHalf.map((seed) => seed + HALF)
  : [];

export function report({ seed, plan, violation, trace }: Outcome): string {
  const lines = trace.slice(-SHOWN_LINES).join("\n");
  return `seed ${seed}: ${violation?.message}\n${JSON.stringify(plan)}\n${lines}\nSEED=${seed} shows all of it.\n`;
}
