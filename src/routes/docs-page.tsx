/** The OpenAPI document as a page: HTML and one stylesheet, readable without JavaScript. */
import type { Document } from "./openapi";

/** As much of the document as the page shows. */
type Schema = {
  $ref?: string;
  type?: string | string[];
  format?: string;
  pattern?: string;
  enum?: unknown[];
  const?: unknown;
  items?: Schema;
  anyOf?: Schema[];
  allOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  description?: string;
  default?: unknown;
  minimum?: number;
  maximum?: number;
  examples?: unknown[];
};
type Media = {
  schema?: Schema;
  example?: unknown;
  /** By the code of a failure. */
  examples?: Record<string, unknown>;
};
type Answer = {
  description: string;
  headers?: Record<string, unknown>;
  content?: Record<string, Media>;
};
type Parameter = {
  name: string;
  in: string;
  required?: boolean;
  description?: string;
  schema: Schema;
};
type Operation = {
  operationId: string;
  tags: string[];
  summary: string;
  description?: string;
  security: unknown[];
  parameters?: Parameter[];
  requestBody?: { required?: boolean; content: Record<string, Media> };
  responses: Record<string, Answer>;
};
type Shown = { method: string; path: string; operation: Operation };

/** @param stylePath where the Worker serves `STYLE`. */
export function docsPage(document: Document, stylePath: string): string {
  const { title, version, description } = document.info;
  const shown = operationsOf(document);
  const page = (
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>{`${title} · API`}</title>
        <link rel="stylesheet" href={stylePath} />
      </head>
      <body>
        <header>
          <h1>
            {title} <small>{version}</small>
          </h1>
          <p>{description}</p>
          <p>
            The same for machines: <a href="/openapi.json">openapi.json</a>
          </p>
        </header>
        <Contents document={document} shown={shown} />
        <main>
          {document.tags?.map((tag) => (
            <section>
              <h2 id={anchor(tag.name)}>{tag.name}</h2>
              <p>{tag.description}</p>
              {shown
                .filter(({ operation }) => operation.tags.includes(tag.name))
                .map((each) => (
                  <Call {...each} />
                ))}
            </section>
          ))}
          <section>
            <h2 id="schemas">Schemas</h2>
            {Object.entries(schemasOf(document)).map(([name, schema]) => (
              <article id={schemaAnchor(name)}>
                <h3>{name}</h3>
                {schema.description !== undefined && <p>{schema.description}</p>}
                <Fields schema={schema} />
                <Example value={schema.examples?.[0]} title="Example" />
              </article>
            ))}
          </section>
          <section>
            <h2 id="errors">Errors</h2>
            {Object.entries(problemsOf(document)).map(([code, value]) => (
              <article id={problemAnchor(code)}>
                <h3>{code}</h3>
                <p>{value.detail}</p>
                <Example value={value} title="" />
              </article>
            ))}
          </section>
        </main>
      </body>
    </html>
  );
  return `<!doctype html>${page.toString()}`;
}

function Contents({ document, shown }: { document: Document; shown: Shown[] }) {
  return (
    <nav aria-label="Contents">
      {document.tags?.map((tag) => (
        <details open>
          <summary>{tag.name}</summary>
          <ul>
            {shown
              .filter(({ operation }) => operation.tags.includes(tag.name))
              .map(({ method, path, operation }) => (
                <li>
                  <a href={`#${operation.operationId}`}>
                    <Method method={method} /> {path}
                  </a>
                </li>
              ))}
          </ul>
        </details>
      ))}
      <p>
        <a href="#schemas">Schemas</a> · <a href="#errors">Errors</a>
      </p>
    </nav>
  );
}

function Call({ method, path, operation }: Shown) {
  const { parameters = [], requestBody } = operation;
  return (
    <article id={operation.operationId}>
      <h3>
        <Method method={method} /> <code>{path}</code>
      </h3>
      <p>
        <strong>{operation.summary}.</strong> {operation.description}
      </p>
      <p class="note">
        {operation.security.length === 0
          ? "No key needed."
          : method === "get"
            ? "Any API key."
            : "A key with all rights."}
      </p>
      {parameters.length > 0 && <Parameters parameters={parameters} />}
      {requestBody !== undefined && <Body {...requestBody} />}
      <h4>Answers</h4>
      {Object.entries(operation.responses).map(([status, answer]) => (
        <AnswerOf status={status} answer={answer} />
      ))}
    </article>
  );
}

function Method({ method }: { method: string }) {
  return <span class={`method ${method}`}>{method.toUpperCase()}</span>;
}

function Parameters({ parameters }: { parameters: Parameter[] }) {
  return (
    <>
      <h4>Parameters</h4>
      <dl>
        {parameters.map((parameter) => (
          <Field
            name={parameter.name}
            note={parameter.in}
            required={parameter.required === true}
            schema={{ description: parameter.description, ...parameter.schema } as Schema}
          />
        ))}
      </dl>
    </>
  );
}

function Body({ required, content }: NonNullable<Operation["requestBody"]>) {
  return (
    <>
      <h4>Body{required === true ? "" : " (may be left out)"}</h4>
      {Object.values(content).map(({ schema = {}, example }) => (
        <>
          <Fields schema={schema} />
          <Example value={example} title="Example" />
        </>
      ))}
    </>
  );
}

function AnswerOf({ status, answer }: { status: string; answer: Answer }) {
  const [[type, media] = ["", {}]] = Object.entries(answer.content ?? {}) as [string, Media][];
  const codes = Object.keys(media.examples ?? {});
  const headers = Object.keys(answer.headers ?? {});
  return (
    <details class={Number(status) < 300 ? "ok" : "failure"}>
      <summary>
        <code>{status}</code> {codes.length > 0 ? codes.join(", ") : answer.description}
      </summary>
      {type !== "" && (
        <p class="note">
          {type} {media.schema !== undefined && <Type schema={media.schema} />}
        </p>
      )}
      {headers.length > 0 && <p class="note">With {headers.join(", ")}</p>}
      {media.example !== undefined && <Example value={media.example} title="" />}
      <ul>
        {codes.map((code) => (
          <li>
            <a href={`#${problemAnchor(code)}`}>{code}</a>
          </li>
        ))}
      </ul>
    </details>
  );
}

function Fields({ schema }: { schema: Schema }) {
  const { properties, required = [] } = schema;
  if (properties === undefined) {
    return (
      <p>
        <Type schema={schema} />
      </p>
    );
  }
  return (
    <dl>
      {Object.entries(properties).map(([name, field]) => (
        <Field name={name} note="" required={required.includes(name)} schema={field} />
      ))}
    </dl>
  );
}

type FieldProps = { name: string; note: string; required: boolean; schema: Schema };

function Field({ name, note, required, schema }: FieldProps) {
  return (
    <div>
      <dt>
        <code>{name}</code>
        {required && <small> required</small>}
        {note !== "" && <small> {note}</small>}
      </dt>
      <dd>
        <Type schema={schema} /> {limitsOf(schema)} {schema.description}
      </dd>
    </div>
  );
}

/** A schema in a few words. */
function Type({ schema }: { schema: Schema }) {
  if (schema.$ref !== undefined) {
    const name = schema.$ref.split("/").at(-1) ?? "";
    return <a href={`#${schemaAnchor(name)}`}>{name}</a>;
  }
  if (schema.items !== undefined) {
    return (
      <>
        <i>list of</i> <Type schema={schema.items} />
      </>
    );
  }
  const choices = schema.anyOf ?? schema.allOf;
  if (choices !== undefined) {
    return (
      <>
        {choices.map((choice, index) => (
          <>
            {index > 0 && (schema.anyOf ? " or " : " and ")}
            <Type schema={choice} />
          </>
        ))}
      </>
    );
  }
  return <i>{typeText(schema)}</i>;
}

function typeText({ type, format, enum: values, const: value }: Schema): string {
  if (value !== undefined) return JSON.stringify(value);
  if (values !== undefined) return values.map((each) => JSON.stringify(each)).join(" | ");
  const types = [type ?? "any"].flat().join(" | ");
  return format === undefined ? types : `${types} (${format})`;
}

function limitsOf({ minimum, maximum, default: preset }: Schema): string {
  const limits = [
    minimum === undefined ? "" : `from ${minimum}`,
    maximum === undefined || maximum >= Number.MAX_SAFE_INTEGER ? "" : `to ${maximum}`,
    preset === undefined ? "" : `(default ${JSON.stringify(preset)})`,
  ];
  return limits.filter((limit) => limit !== "").join(" ");
}

function Example({ value, title }: { value: unknown; title: string }) {
  if (value === undefined) return null;
  const text = JSON.stringify(value, null, 2);
  return (
    <figure>
      {title !== "" && <figcaption>{title}</figcaption>}
      {/* A region that scrolls has to be reachable by keyboard. */}
      <pre tabindex={0}>{text}</pre>
    </figure>
  );
}

function operationsOf({ paths = {} }: Document): Shown[] {
  return Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item as Record<string, unknown>).map(([method, operation]) => ({
      method,
      path,
      operation: operation as Operation,
    })),
  );
}

function schemasOf({ components }: Document): Record<string, Schema> {
  return (components?.schemas ?? {}) as Record<string, Schema>;
}

function problemsOf({ components }: Document): Record<string, { detail: string }> {
  const examples = (components?.examples ?? {}) as Record<string, { value: { detail: string } }>;
  return Object.fromEntries(Object.entries(examples).map(([code, { value }]) => [code, value]));
}

function problemAnchor(code: string): string {
  return `error-${code}`;
}

function anchor(name: string): string {
  return name.toLowerCase().replaceAll(" ", "-");
}

function schemaAnchor(name: string): string {
  return `schema-${name}`;
}

export const STYLE = `
:root {
  color-scheme: light dark;
  --ink: light-dark(#1c2024, #e6e8eb);
  --quiet: light-dark(#5b6570, #a0a9b3);
  --paper: light-dark(#ffffff, #14171a);
  --panel: light-dark(#f3f5f7, #1d2126);
  --line: light-dark(#d8dde3, #343b43);
  --link: light-dark(#0b57a4, #7db8f5);
  --get: light-dark(#0b57a4, #7db8f5);
  --post: light-dark(#17682f, #74cc8c);
  --patch: light-dark(#8a5200, #e5b05c);
  --delete: light-dark(#ab2328, #f58d8d);
}
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { margin: 0 auto; max-width: 80rem; padding: 1rem; color: var(--ink); background: var(--paper); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 small, dt small, .note { color: var(--quiet); font-size: 0.875rem; font-weight: normal; }
h3 { margin: 0; font-size: 1.05rem; }
h4 { margin: 1rem 0 0.25rem; font-size: 0.9rem; }
a { color: var(--link); }
code, pre, .method { font-family: ui-monospace, monospace; font-size: 0.9em; }
pre { margin: 0; padding: 0.75rem; overflow-x: auto; border: 1px solid var(--line); border-radius: 0.4rem; background: var(--panel); overflow-wrap: normal; }
figure { margin: 0.5rem 0; }
figcaption { color: var(--quiet); font-size: 0.875rem; }
article { margin: 1rem 0; padding: 1rem; border: 1px solid var(--line); border-radius: 0.5rem; }
article:target { border-color: var(--link); }
dl { margin: 0; }
dl > div { padding: 0.35rem 0; border-top: 1px solid var(--line); }
dd { margin: 0; color: var(--quiet); }
summary { cursor: pointer; padding: 0.15rem 0; }
nav ul { margin: 0; padding: 0; list-style: none; }
nav li a { display: block; padding: 0.3rem 0; font: 0.85rem ui-monospace, monospace; text-decoration: none; }
nav li a:hover, nav li a:focus-visible { text-decoration: underline; }
.method { font-weight: 700; }
.get { color: var(--get); }
.post { color: var(--post); }
.patch { color: var(--patch); }
.delete { color: var(--delete); }
.ok > summary code { color: var(--post); }
.failure > summary code { color: var(--delete); }
@media (min-width: 60rem) {
  body { display: grid; grid-template-columns: 22rem minmax(0, 1fr); column-gap: 2rem; }
  header { grid-column: 1 / -1; }
  nav { position: sticky; top: 0; max-height: 100vh; overflow-y: auto; padding-bottom: 2rem; align-self: start; }
  dl > div { display: grid; grid-template-columns: 14rem minmax(0, 1fr); column-gap: 1rem; }
}
`.trimStart();
