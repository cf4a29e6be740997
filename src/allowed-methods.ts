/** The answer to a method that a path does not know: which it does. */

/** Whatever form of it a route asks for. */
const PARAMETER = /:\w+(\{[^/]*\})?/g;

/**
 * A path that is spelled out is not also one with a parameter in its place.
 *
 * @returns the `Allow` of a path (RFC 9110, section 10.2.1) for a method that is not in it; null where there is no
 *   such path, or it knows the method.
 */
export function otherMethods(routes: readonly { method: string; path: string }[]) {
  const calls = routes
    .filter(({ path }) => !path.includes("*"))
    .map(({ method, path }) => ({
      method,
      path,
      pattern: new RegExp(`^${path.replaceAll(".", "\\.").replaceAll(PARAMETER, "[^/]+")}$`),
    }));
  return (method: string, path: string): string | null => {
    const literal = calls.filter((call) => call.path === path);
    const matching = literal.length > 0 ? literal : calls.filter((call) => call.pattern.test(path));
    const methods = new Set(matching.map((call) => call.method));
    if (methods.has("GET")) methods.add("HEAD");
    return methods.size === 0 || methods.has(method) ? null : [...methods].sort().join(", ");
  };
}
