import type { Mutant, Project, Tests } from "../mutants.ts";

/**
 * A fault that one test file catches.
 *
 * @param test the file, such as `domain/ids`; the fault's name begins with it. @param words the fault.
 * @param file where it is planted. @param edits as of a `Mutant`.
 */
export function fault(
  test: `${Project}/${string}`,
  words: string,
  file: string,
  ...edits: Mutant["edits"]
): Mutant & { suite: Tests } {
  const [project] = test.split("/") as [Project];
  return {
    name: `${test}: ${words}`,
    file,
    edits,
    suite: { project, file: `test/${test}.test.ts` },
  };
}
