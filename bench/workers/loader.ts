/**
 * Starts Workers on demand, each in an isolate of its own that did not exist before:
 *
 *     PUT /NAME          remembers a Worker: {mainModule, modules, env}
 *     GET /NAME/path     a new isolate, and its answer to `GET /path`
 */
type Bindings = { LOADER: WorkerLoader };

const COMPATIBILITY = {
  compatibilityDate: "2026-11-01",
  compatibilityFlags: ["global_fetch_strictly_public"],
};

const workers = new Map<string, WorkerLoaderWorkerCode>();
let started = 0;

// biome-ignore lint/style/noDefaultExport: the entry of a Worker.
export default {
  async fetch(request, env) {
    const [, name = "", ...path] = new URL(request.url).pathname.split("/");
    if (request.method === "PUT") {
      workers.set(name, { ...COMPATIBILITY, ...(await request.json<WorkerLoaderWorkerCode>()) });
      return new Response("ok");
    }
    const worker = workers.get(name);
    if (worker === undefined) return new Response("unknown", { status: 404 });
    started += 1;
    const stub = env.LOADER.get(`${name} ${started}`, () => worker);
    return stub.getEntrypoint().fetch(`http://relay.example/${path.join("/")}`);
  },
} satisfies ExportedHandler<Bindings>;
