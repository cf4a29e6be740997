/** Which methods a path takes: for the answer to one that it does not take. */
type Routed = { method: string; path: string };

/**
 * A path that is spelled out is not also one with a parameter in its place.
 *
 * @returns the `Allow` of a path (RFC 9110, section 10.2.1); null where there is no such path.
 */
export function otherMethods(routes: readonly Routed[]): (path: string) => string | null {
  const calls = routes
    .filter(({ path }) => !path.includes("*"))
    .map(({ method, path }) => ({
      method,
      path,
      pattern: new RegExp(`^${path.replaceAll(/:\w+/g, "[^/]+").replaceAll(".", "\\.")}$`),
    }));
  return (path) => {
    const literal = calls.filter((call) => call.path === path);
    const matching = literal.length > 0 ? literal : calls.filter((call) => call.pattern.test(path));
    const methods = new Set(matching.map(({ method }) => method));
    if (methods.size === 0) return null;
    if (methods.has("GET")) methods.add("HEAD");
    return [...methods].sort().join(", ");
  };
}
