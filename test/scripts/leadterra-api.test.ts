import { afterEach, describe, expect, it } from "vitest";
import { EVENT_KINDS } from "../../scripts/leadterra.ts";
import {
  type LeadterraApi,
  type SecretPlacement,
  startLeadterraApi,
} from "../../scripts/leadterra-api.ts";

const API_KEY = "sk_live_for_the_test";
const REGISTRATION = {
  url: "https://relay.example.com/webhooks/leadterra",
  events: [...EVENT_KINDS],
};

let api: LeadterraApi | undefined;
afterEach(() => api?.close());

async function start(secret?: SecretPlacement): Promise<LeadterraApi> {
  api = await startLeadterraApi({ apiKey: API_KEY, ...(secret === undefined ? {} : { secret }) });
  return api;
}

function register({ url }: LeadterraApi, body: unknown, key = API_KEY): Promise<Response> {
  return fetch(`${url}/v1/webhooks`, {
    method: "POST",
    headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
}

type Json = Record<string, unknown>;

async function answerOf(leadterra: LeadterraApi): Promise<Json & { webhook: Json }> {
  return (await register(leadterra, REGISTRATION)).json();
}

describe("Leadterra's API", () => {
  it("answers a registration with the webhook and its signing secret", async () => {
    const leadterra = await start();
    const response = await register(leadterra, REGISTRATION);
    expect(response.status).toBe(201);
    const [registration] = leadterra.registrations;
    expect(await response.json()).toEqual({ webhook: registration });
    expect(registration).toMatchObject({ ...REGISTRATION, status: "active" });
    expect(registration?.id).toMatch(/^wh_/);
    expect(registration?.signingSecret).toMatch(/^[0-9a-f]{64}$/);
  });

  it.each([
    { field: "signingSecret", place: "beside" },
    { field: "signing_secret", place: "webhook" },
    { field: "secret", place: "beside" },
  ] as const)("can put the secret elsewhere: $field $place", async (placement) => {
    const leadterra = await start(placement);
    const { webhook, ...beside } = await answerOf(leadterra);
    const holder = placement.place === "webhook" ? webhook : beside;
    expect(holder[placement.field]).toBe(leadterra.registrations[0]?.signingSecret);
    expect(JSON.stringify({ webhook, beside }).match(/secret/gi)).toHaveLength(1);
  });

  it("can leave the secret out, as the example of the page does", async () => {
    const leadterra = await start("none");
    const json = await answerOf(leadterra);
    expect(Object.keys(json.webhook)).toEqual(["id", "url", "events", "status", "createdAt"]);
    expect(Object.keys(json)).toEqual(["webhook"]);
  });

  it("refuses another key", async () => {
    const leadterra = await start();
    expect((await register(leadterra, REGISTRATION, "sk_live_other")).status).toBe(401);
    expect(leadterra.registrations).toEqual([]);
  });

  it.each([
    ["no body to speak of", null],
    ["a URL without https", { ...REGISTRATION, url: "http://relay.example.com/" }],
    ["no events", { ...REGISTRATION, events: [] }],
    ["an unknown event", { ...REGISTRATION, events: ["message.opened"] }],
  ])("refuses %s", async (_name, body) => {
    const leadterra = await start();
    expect((await register(leadterra, body)).status).toBe(422);
    expect(leadterra.registrations).toEqual([]);
  });

  it("knows no other path", async () => {
    const { url } = await start();
    expect((await fetch(`${url}/v1/campaigns`)).status).toBe(404);
  });
});
