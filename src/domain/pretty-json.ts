/** JSON made readable without being read: numbers keep their digits and strings their escapes. */

const INDENT = "  ";
const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s"{}[\],:]+/g;

/**
 * The same document with a line for each member.
 *
 * @param json a JSON document; anything else comes out as some text.
 * @param maxCharacters null when the result would be longer: brackets within brackets make much of little.
 */
export function prettyJson(json: string, maxCharacters: number): string | null {
  let pretty = "";
  let depth = 0;
  let before = "";
  for (const [token] of json.matchAll(TOKEN)) {
    if (closes(token)) depth -= 1;
    // Nothing stands between the brackets of an empty object or array.
    if (before === "," || opens(before) !== closes(token))
      pretty += `\n${INDENT.repeat(Math.max(0, depth))}`;
    else if (before === ":") pretty += " ";
    pretty += token;
    if (opens(token)) depth += 1;
    if (pretty.length > maxCharacters) return null;
    before = token;
  }
  return pretty;
}

function opens(token: string): boolean {
  return token === "{" || token === "[";
}

function closes(token: string): boolean {
  return token === "}" || token === "]";
}
