/** /openapi.json and /docs: what the API is. No key needed, no object called, nothing loaded from another host. */
import { Hono } from "hono";
import { sha256Hex } from "../domain/signature";
import { problem } from "./problem";

const HASH_DIGITS = 16;
const PAGE_HEADERS = {
  "content-security-policy":
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cache-control": "no-cache",
};
/** The name changes with the content. */
const STYLE_HEADERS = {
  "content-type": "text/css; charset=utf-8",
  "x-content-type-options": "nosniff",
  "cache-control": "public, max-age=31536000, immutable",
};

export const docs = new Hono<{ Bindings: Env }>()
  .get("/openapi.json", async (c) => {
    // Imported here, like the page: neither is evaluated before somebody asks for it.
    const { openApiDocument } = await import("./openapi");
    return c.json(openApiDocument(), 200, {
      "cache-control": "no-cache",
      "x-content-type-options": "nosniff",
    });
  })
  .get("/docs", async (c) => {
    const { html } = await page();
    return c.html(html, 200, PAGE_HEADERS);
  })
  .get("/docs/:style{style-[0-9a-f]+\\.css}", async (c) => {
    const { style, styleName } = await page();
    if (c.req.param("style") !== styleName) return problem(c, { code: "not_found" });
    return c.body(style, 200, STYLE_HEADERS);
  });

type Page = { html: string; style: string; styleName: string };

let made: Promise<Page> | null = null;

/** Once per isolate. */
function page(): Promise<Page> {
  made ??= makePage();
  return made;
}

async function makePage(): Promise<Page> {
  const [{ openApiDocument }, { docsPage, STYLE }] = await Promise.all([
    import("./openapi"),
    import("./docs-page"),
  ]);
  const hash = await sha256Hex(new TextEncoder().encode(STYLE));
  const styleName = `style-${hash.slice(0, HASH_DIGITS)}.css`;
  return { html: docsPage(openApiDocument(), `/docs/${styleName}`), style: STYLE, styleName };
}
