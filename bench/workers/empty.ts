/** The least that a Worker can be. */
// biome-ignore lint/style/noDefaultExport: the entry of a Worker.
export default {
  fetch: () => new Response("ok"),
} satisfies ExportedHandler;
