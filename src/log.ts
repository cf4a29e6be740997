/** One JSON line per happening; nothing else in the relay writes to the console. Never pass a secret. */

type Fields = Record<string, string | number | boolean | null | undefined | readonly string[]>;

/** @param happening what happened, as `noun.verb` in the past tense: `event.duplicate`. */
export function logInfo(happening: string, fields: Fields = {}): void {
  console.log(line("info", happening, fields));
}

/** Something that a person may want to look at, and that the relay deals with on its own. */
export function logWarning(happening: string, fields: Fields = {}): void {
  console.warn(line("warning", happening, fields));
}

/** Something that needs a person. */
export function logError(happening: string, fields: Fields = {}): void {
  console.error(line("error", happening, fields));
}

/** The text of what was thrown: its name and message, no stack. */
export function errorText(thrown: unknown): string {
  return thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
}

function line(level: string, happening: string, fields: Fields): string {
  return JSON.stringify({ level, happening, ...fields });
}
