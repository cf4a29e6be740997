/** A request as a command line that makes it. */

type Request = {
  url: string;
  headers: readonly (readonly [name: string, value: string])[];
  /** Text that is no `@file`; it is sent byte for byte. */
  body: string;
};

export function curlOf({ url, headers, body }: Request): string {
  const lines = [
    // Brackets in a URL would be taken for a range.
    `curl --globoff --request POST ${quoted(url)}`,
    ...headers.map(([name, value]) => `--header ${quoted(`${name}: ${value}`)}`),
    `--data-binary ${quoted(body)}`,
  ];
  return lines.join(" \\\n  ");
}

/** One word of a POSIX shell, whatever is in it: within single quotes only they themselves mean something. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
