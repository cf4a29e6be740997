/** A stand-in for Leadterra's own API, on 127.0.0.1: `POST /v1/webhooks`, as its page "Register a webhook" shows it. */
import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { EVENT_KINDS, newId } from "./leadterra.ts";
import { closeServer, listen, readBody } from "./loopback.ts";

/**
 * Where the answer to a registration carries the signing secret. The page says that it is "returned when you
 * register the endpoint", and not how: its example shows none.
 */
export type SecretPlacement =
  | { field: "signingSecret" | "signing_secret" | "secret"; place: "webhook" | "beside" }
  | "none";

/** A webhook that somebody registered at the stand-in. */
export type Registration = {
  id: string;
  url: string;
  events: string[];
  status: "active";
  createdAt: string;
  signingSecret: string;
};

export type LeadterraApi = {
  url: string;
  registrations: Registration[];
  close(): Promise<void>;
};

export type LeadterraApiOptions = {
  /** The only Bearer key that is accepted. */
  apiKey: string;
  secret?: SecretPlacement;
  port?: number;
};

/** Leadterra's own API on 127.0.0.1: `POST /v1/webhooks` with a Bearer key answers 201 ("Register a webhook"). */
export async function startLeadterraApi(options: LeadterraApiOptions): Promise<LeadterraApi> {
  const registrations: Registration[] = [];
  const server = createServer((request, response) => {
    void register(request, options).then(({ status, json, registration }) => {
      if (registration !== undefined) registrations.push(registration);
      answerJson(response, status, json);
    });
  });
  const port = await listen(server, options.port);
  return { url: `http://127.0.0.1:${port}`, registrations, close: () => closeServer(server) };
}

type ApiAnswer = { status: number; json: unknown; registration?: Registration };

async function register(
  request: IncomingMessage,
  options: LeadterraApiOptions,
): Promise<ApiAnswer> {
  const body = await readBody(request);
  if (request.url !== "/v1/webhooks") return refusal(404, "not found");
  if (request.method !== "POST") return refusal(405, "method not allowed");
  if (request.headers.authorization !== `Bearer ${options.apiKey}`)
    return refusal(401, "bad API key");
  const wanted = parseRegistration(body);
  if (wanted === null) return refusal(422, "url (https) and a list of known events are needed");
  const registration: Registration = {
    id: newId("wh"),
    ...wanted,
    status: "active",
    createdAt: new Date().toISOString(),
    signingSecret: randomBytes(32).toString("hex"),
  };
  return { status: 201, json: withSecret(registration, options.secret), registration };
}

function refusal(status: number, message: string): ApiAnswer {
  return { status, json: { error: { message } } };
}

function parseRegistration(body: Buffer): Pick<Registration, "url" | "events"> | null {
  try {
    const { url, events } = JSON.parse(body.toString());
    const known =
      Array.isArray(events) && events.length > 0 && events.every((e) => EVENT_KINDS.includes(e));
    return known && URL.parse(url)?.protocol === "https:" ? { url, events } : null;
  } catch {
    return null;
  }
}

function withSecret(
  { signingSecret, ...webhook }: Registration,
  placement: SecretPlacement = { field: "signingSecret", place: "webhook" },
): unknown {
  if (placement === "none") return { webhook };
  const secret = { [placement.field]: signingSecret };
  return placement.place === "webhook"
    ? { webhook: { ...webhook, ...secret } }
    : { webhook, ...secret };
}

function answerJson(response: ServerResponse, status: number, json: unknown): void {
  response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(json));
}
