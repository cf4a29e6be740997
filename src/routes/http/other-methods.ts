/** Which methods a path takes: for the answer to one that it does not take. */
type Routed = { method: string; path: string };

/** @returns the `Allow` of a path (RFC 9110 §10.2.1); null where there is no such path. */
export function otherMethods(routes: readonly Routed[]): (path: string) => string | null {
  const calls = routes
    .filter(({ path }) => !path.includes("*"))
    .map(({ method, path }) => ({
      method,
      pattern: new RegExp(`^${path.replaceAll(/:\w+/g, "[^/]+").replaceAll(".", "\\.")}$`),
    }));
  return (path) => {
    const methods = new Set(
      calls.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method),
    );
    if (methods.size === 0) return null;
    if (methods.has("GET")) methods.add("HEAD");
    return [...methods].sort().join(", ");
  };
}
