/** What somebody else wrote, shown so that it cannot act where it is read: whatever is not seen is spelled out. */

/**
 * Control and format characters (those that turn the writing direction among them), blanks without width, and halves
 * of a pair. What makes one emoji of several stays.
 */
const UNSEEN =
  /\p{Cc}|\p{Cf}|\p{Cs}|\p{Co}|\p{Zl}|\p{Zp}|\p{Default_Ignorable_Code_Point}|\u2800/gu;
const LINES = /[\n\t]/;
const EMOJI_PARTS = /[\u200D\uFE0F]/;
const EMOJI = /(?:\p{Extended_Pictographic}|\p{Emoji_Modifier})\uFE0F?$/u;

/** The text with every character that would not be seen as `\u202e`, as JSON writes it. */
export function visible(text: string): string {
  return text.replace(UNSEEN, (character, index: number) => {
    if (LINES.test(character)) return character;
    const before = text.slice(Math.max(0, index - 4), index);
    if (EMOJI_PARTS.test(character) && EMOJI.test(before)) return character;
    return character.split("").map(escaped).join("");
  });
}

function escaped(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** The beginning of a text that may be long; `…` says that it goes on. */
export function beginning(text: string, characters: number): string {
  const all = [...text];
  if (all.length <= characters) return text;
  const kept = all.slice(0, characters - 1).join("");
  return `${kept.trimEnd()}…`;
}
