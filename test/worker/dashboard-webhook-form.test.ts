/** Registering and editing a webhook in the dashboard, and trying a filter. */
import { describe, expect } from "vitest";
import { it, leadsTo, signedIn, visitor } from "../rig/worker/dashboard";
import { eventOf, newEvents, register, registry, settingsOf } from "../rig/worker/engine";
import { inObject } from "../rig/worker/objects";
import { consume } from "../rig/worker/queue";
import { api, callWith, READ_ONLY_API_KEY } from "../rig/worker/requests";

const PATH = "/dashboard/webhooks";
const DRAFT = { url: "https://crm.example.com/in", events: "*" };
const MARKUP = "</textarea><script>alert(1)</script>";

type Listed = { id: string; url: string };

async function webhooks(): Promise<Listed[]> {
  return (await (await api("GET", "/v1/webhooks")).json<{ data: Listed[] }>()).data;
}

async function actions(): Promise<string[]> {
  const { data } = await (await api("GET", "/v1/audit")).json<{ data: { action: string }[] }>();
  return data.map(({ action }) => action);
}

async function tokenOf(path: string): Promise<string> {
  const page = await (await visitor.get(path)).text();
  const [, token] = /name="token" value="([0-9a-f-]{36})"/.exec(page) ?? [];
  expect(token).toBeDefined();
  return token ?? "";
}

describe("registering a webhook", () => {
  it("shows its secret once, with code and a test", async () => {
    const response = await visitor.post(PATH, {
      url: "https://crm.example.com/in",
      events: ["message.sent", "reply.received"],
      names: "link.clicked, message.opened",
      filter: '{"data.sequenceStep": {"$gt": 1}}',
      description: " The CRM ",
      headerName: ["X-Team", ""],
      headerValue: ["a-secret-value", ""],
      name: "crm",
      rateLimit: "0.5",
      ordered: "yes",
      concurrency: "24",
      timeout: "30s",
      retrySchedule: "1m 2m",
      giveUpOn: "400, 422",
      paused: "yes",
    });
    expect(response.status).toBe(200);
    const page = await response.text();
    const [{ id } = { id: "" }] = await webhooks();
    const { secrets, ...settings } = await settingsOf(id);
    expect(settings).toMatchObject({
      url: "https://crm.example.com/in",
      events: ["message.sent", "reply.received", "link.clicked", "message.opened"],
      filter: { "data.sequenceStep": { $gt: 1 } },
      description: "The CRM",
      headers: { "x-team": "a-secret-value" },
      name: "crm",
      rateLimit: 0.5,
      ordered: true,
      concurrency: 24,
      timeout: "30s",
      retrySchedule: "1m 2m",
      giveUpOn: [400, 422],
      status: "paused",
      relayHost: "relay.example",
    });
    expect(page).toContain(secrets[0]?.value);
    expect(page).toContain("X-Leadterra-Signature");
    expect(page).toContain("standardwebhooks");
    expect(page).toContain(`action="/dashboard/webhooks/${id}/test"`);
    expect(page).not.toContain("a-secret-value");
    expect(await (await visitor.get(`${PATH}/${id}`)).text()).not.toContain("whsec_");
    expect(await actions()).toEqual(["webhook.created"]);
  });

  it("asks for the URL that this relay takes", async () => {
    const asked = async (allowed: string) => {
      const headers = { cookie: visitor.cookie };
      const bindings = { ALLOW_PRIVATE_DESTINATIONS: allowed };
      return (await callWith(bindings, `${PATH}/new`, { headers })).text();
    };
    expect(await asked("false")).toContain("<code>https://</code> and a public name");
    const open = await asked("true");
    expect(open).toContain("<code>https://</code> or <code>http://</code>, private addresses too");
    expect(open).not.toContain("public name");
  });

  it("has the relay's own pace, no name and no status to give up on, unless they are typed", async () => {
    await visitor.post(PATH, DRAFT);
    const [{ id } = { id: "" }] = await webhooks();
    const defaults = { name: null, concurrency: 6, timeout: null, giveUpOn: [], status: "active" };
    expect(await settingsOf(id)).toMatchObject(defaults);
    const page = await (await visitor.get(`${PATH}/${id}`)).text();
    expect(page).toContain("10s, as the relay&#39;s own");
  });

  it("says at its field that another webhook has the name", async () => {
    await register({ name: "crm" });
    const response = await visitor.post(PATH, { ...DRAFT, name: "crm" });
    expect(response.status).toBe(422);
    expect(await response.text()).toMatch(/id="name-wrong"><li>Name is that of another webhook/);
    expect(await webhooks()).toHaveLength(1);
  });

  it("takes every event as just that, whatever else is ticked", async () => {
    await visitor.post(PATH, { ...DRAFT, events: ["message.sent", "*"], names: "a" });
    const [{ id } = { id: "" }] = await webhooks();
    expect((await settingsOf(id)).events).toEqual(["*"]);
  });

  it("takes those events that are ticked or named, where only these are wanted", async () => {
    const events = ["", "message.sent", "reply.received"];
    await visitor.post(PATH, { ...DRAFT, events, names: "link.clicked" });
    const [{ id = "" } = {}] = await webhooks();
    expect((await settingsOf(id)).events).toEqual([
      "message.sent",
      "reply.received",
      "link.clicked",
    ]);
    const none = await visitor.post(PATH, { ...DRAFT, events: "" });
    expect(none.status).toBe(422);
  });

  it("takes a secret of one's own", async () => {
    const signingSecret = `whsec_${btoa("x".repeat(32))}`;
    await visitor.post(PATH, { ...DRAFT, signingSecret });
    const [{ id } = { id: "" }] = await webhooks();
    expect((await settingsOf(id)).secrets).toEqual([{ value: signingSecret, expiresAtMs: null }]);
  });

  it("registers once, however often the form is sent, and keeps no secret for it", async () => {
    const token = await tokenOf(`${PATH}/new`);
    expect((await visitor.post(PATH, { ...DRAFT, token })).status).toBe(200);
    const again = await visitor.post(PATH, { ...DRAFT, token });
    const [{ id } = { id: "" }, ...others] = await webhooks();
    expect(others).toEqual([]);
    expect(again.status).toBe(303);
    const shows = again.headers.get("location") ?? "";
    expect(leadsTo(again)).toBe(`${PATH}/${id}?done=created_before`);
    expect(await (await visitor.get(shows)).text()).toContain("was registered by this form before");
    const kept = await inObject(registry(), ({ storage }) =>
      storage.sql.exec("SELECT * FROM answers").toArray(),
    );
    expect(JSON.stringify(kept)).toContain(id);
    expect(JSON.stringify(kept)).not.toContain("whsec_");
  });

  it("registers once when two clicks arrive at the same time", async () => {
    const token = await tokenOf(`${PATH}/new`);
    const answers = await Promise.all([
      visitor.post(PATH, { ...DRAFT, token }),
      visitor.post(PATH, { ...DRAFT, token }),
    ]);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 303]);
    expect(await webhooks()).toHaveLength(1);
  });

  it("may be sent again after a mistake", async () => {
    const token = await tokenOf(`${PATH}/new`);
    expect((await visitor.post(PATH, { url: "nonsense", events: "*", token })).status).toBe(422);
    expect((await visitor.post(PATH, { ...DRAFT, token })).status).toBe(200);
    expect(await webhooks()).toHaveLength(1);
  });

  it("says each mistake at its field, keeps what was typed, and forgets what is secret", async () => {
    const response = await visitor.post(PATH, {
      url: "https://crm.example.com/in",
      names: "no$name",
      filter: MARKUP,
      description: '"><script>alert(2)</script>',
      headerName: ["Host", "x-a", "X-A"],
      headerValue: ["a-secret-value", "1", "2"],
      rateLimit: "fast",
      retrySchedule: "soon",
      name: "The CRM",
      concurrency: "301",
      timeout: "2h",
      giveUpOn: "404 never 410",
      signingSecret: "too-short-a-secret",
    });
    expect(response.status).toBe(422);
    const page = await response.text();
    const oneLine = ["name", "rateLimit", "concurrency", "timeout", "retrySchedule", "giveUpOn"];
    for (const field of ["events", "filter", "headers", ...oneLine]) {
      expect(page, field).toContain(`id="${field}-wrong"`);
      expect(page, field).toMatch(new RegExp(`id="${field}"[^>]*aria-describedby="${field}-wrong`));
    }
    expect(page).toContain("<code>no$name</code> must be &quot;*&quot;, or 1 to 128");
    expect(page).toContain("is not JSON yet");
    expect(page).toContain("<code>Host</code> is a reserved header");
    expect(page).toContain("<code>x-a</code> must be given once");
    expect(page).toContain("<code>never</code> must be a number");
    expect(page).toContain("<code>410</code> must not be 408, 410 or 429");
    expect(page).toContain('value="404 never 410"');
    expect(page).toContain('id="signingSecret-wrong"');
    expect(page).toContain('value="fast"');
    expect(page).toContain("&lt;/textarea&gt;&lt;script&gt;alert(1)");
    for (const text of ["a-secret-value", "too-short-a-secret", "<script>alert"]) {
      expect(page).not.toContain(text);
    }
    expect(await webhooks()).toEqual([]);
  });

  it("says all mistakes at once, those too that only the relay's own configuration knows", async () => {
    const wrong = { url: "ftp://crm.example.com", concurrency: "9999" };
    const { id } = await register({ url: "https://crm.example.com/in?token=1" });
    for (const path of [PATH, `${PATH}/${id}/edit`]) {
      const page = await (await visitor.post(path, { ...DRAFT, ...wrong })).text();
      expect(page, path).toContain("must be at most 300");
      expect(page.match(/URL must use https:/g), path).toHaveLength(1);
    }
    const shown = "https://crm.example.com/in?…";
    const form = { ...DRAFT, url: shown, concurrency: "9999" };
    const page = await (await visitor.post(`${PATH}/${id}/edit`, form)).text();
    expect(page).toContain("must be at most 300");
    expect(page).not.toContain("URL must");
  });

  it("spells out what cannot be seen in what it refuses", async () => {
    const response = await visitor.post(PATH, {
      url: "https://crm.example.com/in",
      names: "reply.received\u200b",
      filter: "x\u202e",
      headerName: "x-a\u2066",
      headerValue: "1",
    });
    const page = (await response.text()).replaceAll(/ value="[^"]*"|<textarea[^<]*</g, "");
    expect(page).toContain("<code>reply.received\\u200b</code> must be");
    expect(page).toMatch(/is not JSON yet \([^)]*x\\u202e/);
    expect(page).toContain("<code>x-a\\u2066</code> must be");
    expect(page).not.toMatch(/[\u200b\u202e\u2066]/);
  });

  it("says why a URL is refused", async () => {
    const page = await (await visitor.post(PATH, { ...DRAFT, url: "ftp://a.example" })).text();
    expect(page).toMatch(/id="url-wrong"><li>URL must use https:/);
  });

  it("is not for who may only read", async () => {
    const reader = await signedIn(READ_ONLY_API_KEY);
    expect((await reader.get(`${PATH}/new`)).status).toBe(403);
    expect((await reader.post(PATH, DRAFT)).status).toBe(403);
    expect(await webhooks()).toEqual([]);
  });
});

describe("the query of a URL", () => {
  const url = "https://crm.example.com/in?token=not-for-any-page";

  it("is on no page, and stays when the settings are saved", async () => {
    const { id } = await register({ url });
    for (const path of [`${PATH}/${id}`, `${PATH}/${id}/edit`]) {
      const page = await (await visitor.get(path)).text();
      expect(page).toContain("https://crm.example.com/in?…");
      expect(page).not.toContain("not-for-any-page");
    }
    await visitor.post(`${PATH}/${id}/edit`, { ...DRAFT, url: "https://crm.example.com/in?…" });
    expect((await settingsOf(id)).url).toBe(url);
  });

  it("has to be typed anew with another URL", async () => {
    const { id } = await register({ url });
    const moved = { ...DRAFT, url: "https://crm.example.com/other?…" };
    const response = await visitor.post(`${PATH}/${id}/edit`, moved);
    expect(response.status).toBe(422);
    expect((await settingsOf(id)).url).toBe(url);
  });
});

describe("editing a webhook", () => {
  const FIELDS = { events: ["reply.received"], headers: { "x-team": "a-secret-value" } };

  it("shows what is set, but for the values of headers", async () => {
    const filter = { "data.reply.classification": "interested" };
    const { id } = await register({
      ...FIELDS,
      filter,
      events: ["reply.received", "link.clicked"],
    });
    const page = await (await visitor.get(`${PATH}/${id}/edit`)).text();
    expect(page).toContain('value="https://crm.example.com/in"');
    expect(page).toMatch(/value="reply.received" checked/);
    expect(page).not.toMatch(/value="\*" checked/);
    expect(page).toContain('value="link.clicked"');
    expect(page).toContain("&quot;data.reply.classification&quot;: &quot;interested&quot;");
    expect(page).toContain("x-team");
    expect(page).not.toContain("a-secret-value");
  });

  it("changes what differs, and keeps headers and secret", async () => {
    const { id, signingSecret } = await register(FIELDS);
    const response = await visitor.post(`${PATH}/${id}/edit`, {
      url: "https://crm.example.com/other?token=1",
      events: "*",
      description: "",
    });
    expect(leadsTo(response)).toBe(`${PATH}/${id}?done=changed`);
    expect(await settingsOf(id)).toMatchObject({
      url: "https://crm.example.com/other?token=1",
      events: ["*"],
      headers: { "x-team": "a-secret-value" },
      secrets: [{ value: signingSecret, expiresAtMs: null }],
    });
    expect(await actions()).toEqual(["webhook.updated", "webhook.created"]);
  });

  it("replaces all headers by those that are typed, or drops them when asked to", async () => {
    const { id } = await register(FIELDS);
    const edit = (fields: Record<string, string>) =>
      visitor.post(`${PATH}/${id}/edit`, { ...DRAFT, ...fields });
    await edit({ headerName: "x-other", headerValue: "2" });
    expect((await settingsOf(id)).headers).toEqual({ "x-other": "2" });
    await edit({ removesHeaders: "yes" });
    expect((await settingsOf(id)).headers).toEqual({});
  });

  it("asks before another origin costs the secret and the headers, then shows the new one once", async () => {
    const { id, signingSecret } = await register(FIELDS);
    const moved = { url: "https://erp.example.com/in", events: "*" };
    const token = await tokenOf(`${PATH}/${id}/edit`);
    const asked = await visitor.post(`${PATH}/${id}/edit`, { ...moved, token });
    expect(asked.status).toBe(422);
    expect(await asked.text()).toContain('id="replacesSecret-wrong"');
    expect((await settingsOf(id)).url).toBe("https://crm.example.com/in");

    const confirmed = { ...moved, token, replacesSecret: "yes" };
    const done = await visitor.post(`${PATH}/${id}/edit`, confirmed);
    const { url, secrets, headers } = await settingsOf(id);
    expect(url).toBe("https://erp.example.com/in");
    expect(headers).toEqual({});
    expect(secrets[0]?.value).not.toBe(signingSecret);
    expect(await done.text()).toContain(secrets[0]?.value);

    const again = await visitor.post(`${PATH}/${id}/edit`, confirmed);
    expect(again.status).toBe(303);
    expect((await settingsOf(id)).secrets).toEqual(secrets);
  });

  it("keeps secret and headers of a service that has moved", async () => {
    const { id, signingSecret } = await register(FIELDS);
    const url = "https://erp.example.com/in";
    const response = await visitor.post(`${PATH}/${id}/edit`, {
      url,
      events: "reply.received",
      replacesSecret: "no",
    });
    expect(leadsTo(response)).toBe(`${PATH}/${id}?done=changed`);
    const { secrets, ...settings } = await settingsOf(id);
    expect(settings).toMatchObject({ url, headers: FIELDS.headers });
    expect(secrets).toEqual([{ value: signingSecret, expiresAtMs: null }]);
  });

  it("shows the pace on form and page, changes it, and takes it back where it is emptied", async () => {
    const pace = { name: "crm", concurrency: 24, timeout: "30s", giveUpOn: [400, 422] };
    const { id } = await register(pace);
    const form = await (await visitor.get(`${PATH}/${id}/edit`)).text();
    for (const [field, value] of Object.entries({ ...pace, giveUpOn: "400 422" })) {
      expect(form).toMatch(new RegExp(`name="${field}" value="${value}"`));
    }
    const page = await (await visitor.get(`${PATH}/${id}`)).text();
    for (const shown of ["<code>crm</code>", "<dd>24</dd>", "<dd>30s</dd>", "<dd>400, 422</dd>"]) {
      expect(page).toContain(shown);
    }
    const typed = { ...DRAFT, name: "erp", concurrency: "300", timeout: "", giveUpOn: "" };
    await visitor.post(`${PATH}/${id}/edit`, typed);
    const changed = { name: "erp", concurrency: 300, timeout: null, giveUpOn: [] };
    expect(await settingsOf(id)).toMatchObject(changed);
    await visitor.post(`${PATH}/${id}/edit`, DRAFT);
    expect(await settingsOf(id)).toMatchObject({ name: null, concurrency: 6 });
  });

  it("says mistakes and changes nothing", async () => {
    const { id } = await register(FIELDS);
    const response = await visitor.post(`${PATH}/${id}/edit`, {
      url: "https://10.0.0.1:1/",
      names: "a b$",
    });
    expect(response.status).toBe(422);
    expect(await actions()).toEqual(["webhook.created"]);
    const reader = await signedIn(READ_ONLY_API_KEY);
    expect((await reader.get(`${PATH}/${id}/edit`)).status).toBe(403);
    expect((await reader.post(`${PATH}/${id}/edit`, DRAFT)).status).toBe(403);
    expect(await actions()).toEqual(["webhook.created"]);
  });
});

describe("trying a filter", () => {
  const TRIAL = `${PATH}/filter-trial`;
  const reply = (id: string, classification: string) =>
    eventOf("reply.received", { campaignId: "c", lead: {}, reply: { id, classification } });

  async function tried(form: Record<string, string | readonly string[]>): Promise<string> {
    const response = await visitor.post(TRIAL, form);
    expect(response.status).toBe(200);
    const page = await response.text();
    return page.slice(page.indexOf('id="trial"'));
  }

  it("tells of the latest events which it would get, and why not the others", async () => {
    await consume([await reply("r1", "interested"), await reply("r2", MARKUP)]);
    await consume([await eventOf("message.sent", { messageId: "m1" })]);
    const answer = await tried({
      events: "reply.received",
      filter: '{"data.reply.classification": "interested"}',
    });
    expect(answer).toContain(
      "Of the latest 2 reply.received events it would get <strong>1</strong>",
    );
    expect(answer).not.toContain("message.sent");
    expect(answer).toContain("data.reply.classification is &quot;&lt;/textarea&gt;");
    expect(answer).toContain("and the filter wants &quot;interested&quot;");
    expect(answer).not.toContain("<script>alert");
  });

  it("finds the events that it names behind however many others", async () => {
    await consume([await reply("r1", "interested")]);
    await consume(await newEvents(1_100));
    const form = { filter: '{"data.reply.classification": "interested"}' };
    expect(await tried({ ...form, events: "reply.received" })).toContain(
      "Of the latest 1 reply.received event it would get <strong>1</strong>",
    );
    expect(await tried({ ...form, events: ["reply.received", "message.bounced"] })).toContain(
      "Of the latest 1 such event it would get <strong>1</strong>",
    );
    expect(await tried({ ...form, events: "*" })).toContain(
      "Of the latest 20 events it would get <strong>0</strong>",
    );
    const none = await tried({ ...form, events: "campaign.started" });
    expect(none).toContain("No campaign.started event is among the latest of the last week.");
    expect(none).toContain("asks for campaign.started, not for message.sent");
  });

  it("tells the mistakes of a filter with their paths", async () => {
    const answer = await tried({ events: "*", filter: '{"data.x": {"$foo": 1}}' });
    expect(answer).toContain("<code>data.x.$foo</code> is not an operator");
    const hidden = await tried({ events: "*", filter: '{"data.x\u200b": {"$foo\u202e": 1}}' });
    expect(hidden).toContain("<code>data.x\\u200b.$foo\\u202e</code> is not an operator");
    expect(await tried({ events: "*", filter: "x\u202e" })).toContain("x\\u202e");
    expect(await tried({ events: "*", filter: "{" })).toContain("The filter is not JSON yet");
  });

  it("warns of a path that no event has, known or documented, and of no other", async () => {
    await consume([await eventOf("link.clicked", { link: { url: "https://a.example" } })]);
    const warning = "none of these events, and no documented one, has such a field";
    for (const path of ["data.reply.clasification", "data.links.url", "dat.reply"]) {
      const answer = await tried({ events: "*", filter: `{"${path}": "x"}` });
      expect(answer).toContain(`<code>${path}</code>: ${warning}`);
    }
    for (const path of ["data.reply.classification", "data.link.url", "data.bounceType"]) {
      expect(await tried({ events: ["", "*"], filter: `{"${path}": "x"}` })).not.toContain(warning);
    }
  });

  it("warns of a path that only events have which are not asked for", async () => {
    const filter = '{"data.bounceType": "hard"}';
    const warning =
      "none of these events, and no documented one that it asks for, has such a field";
    const sent = await tried({ events: "message.sent", filter });
    expect(sent).toContain(`<code>data.bounceType</code>: ${warning}`);
    for (const events of [["message.sent", "message.bounced"], ["*"], ["link.clicked"]]) {
      expect(await tried({ events, filter })).not.toContain("has such a field");
    }
    await consume([await eventOf("link.clicked", { link: {} })]);
    expect(await tried({ events: "link.clicked", filter })).toContain(warning);
  });

  it("says so when there is nothing to try it on, or nothing asked for", async () => {
    expect(await tried({ events: "*" })).toContain("No event is among the latest of the last week");
    expect(await tried({})).toContain("it would get nothing");
  });
});

describe("C1: editing a webhook that somebody else changes meanwhile", () => {
  /** What the form of this webhook sends when nothing is typed into it. */
  async function opened(id: string) {
    const page = await (await visitor.get(`${PATH}/${id}/edit`)).text();
    const valueIn = (name: string) =>
      unescaped(new RegExp(`name="${name}"[^>]*? value="([^"]*)"`).exec(page)?.[1] ?? "");
    const filter = unescaped(/name="filter"[^>]*>([^<]*)</.exec(page)?.[1] ?? "");
    const events = [...page.matchAll(/name="events" value="([^"]+)" checked/g)];
    return {
      shown: valueIn("shown"),
      token: valueIn("token"),
      url: valueIn("url"),
      // A browser drops the ends of lines from a field of one line.
      description: valueIn("description").replaceAll("\n", ""),
      filter,
      // As a browser sends it: "only these" is a choice without a name.
      events: ["", ...events.map(([, name = ""]) => name)],
      names: valueIn("names"),
      rateLimit: valueIn("rateLimit"),
      retrySchedule: valueIn("retrySchedule"),
    };
  }

  function unescaped(html: string): string {
    return html.replaceAll("&quot;", '"').replaceAll("&#39;", "'").replaceAll("&amp;", "&");
  }

  const FILTER = { "data.reply.classification": "interested" };

  it("saves what was typed and leaves alone what was not, whatever became of it", async () => {
    const { id } = await register({ description: "Mine" });
    const form = await opened(id);
    await api("PATCH", `/v1/webhooks/${id}`, {
      filter: FILTER,
      rateLimit: 3,
      headers: { "x-a": "1" },
    });
    const answer = await visitor.post(`${PATH}/${id}/edit`, { ...form, description: "Ours" });
    expect(leadsTo(answer)).toBe(`${PATH}/${id}?done=changed`);
    expect(await settingsOf(id)).toMatchObject({
      description: "Ours",
      filter: FILTER,
      rateLimit: 3,
      headers: { "x-a": "1" },
    });
  });

  it("saves what is typed into a form that the browser went back to after it was sent", async () => {
    const { id } = await register({ description: "Mine" });
    const form = { ...(await opened(id)), description: "Ours" };
    await visitor.post(`${PATH}/${id}/edit`, form);
    const answer = await visitor.post(`${PATH}/${id}/edit`, { ...form, rateLimit: "3" });
    expect(leadsTo(answer)).toBe(`${PATH}/${id}?done=changed`);
    expect(await settingsOf(id)).toMatchObject({ description: "Ours", rateLimit: 3 });
  });

  it("rotates once for another origin, however often the form comes at the same time", async () => {
    const { id } = await register();
    const form = { ...(await opened(id)), url: "https://erp.example.com/", replacesSecret: "yes" };
    const send = () => visitor.post(`${PATH}/${id}/edit`, form);
    const answers = await Promise.all([send(), send()]);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 303]);
    expect((await actions()).filter((action) => action === "webhook.updated")).toHaveLength(1);
  });

  it("shows both when both changed the same, and saves it when it is sent again", async () => {
    const { id } = await register({ description: "Mine" });
    const form = await opened(id);
    await api("PATCH", `/v1/webhooks/${id}`, { description: "Theirs", rateLimit: 3 });
    const answer = await visitor.post(`${PATH}/${id}/edit`, { ...form, description: "Ours" });
    expect(answer.status).toBe(409);
    const page = await answer.text();
    expect(page).toContain("Somebody else has changed this too");
    expect(page).toContain("<bdi>Theirs</bdi>");
    expect(page).toContain('value="Ours"');
    // What was not typed is shown as it is now, so that sending the form again does not take it back.
    expect(page).toMatch(/name="rateLimit"[^>]* value="3"/);
    expect((await settingsOf(id)).description).toBe("Theirs");
    const shown = unescaped(/name="shown" value="([^"]*)"/.exec(page)?.[1] ?? "");
    const again = { ...form, shown, rateLimit: "3", description: "Ours" };
    const saved = await visitor.post(`${PATH}/${id}/edit`, {
      ...again,
      token: crypto.randomUUID(),
    });
    expect(leadsTo(saved)).toBe(`${PATH}/${id}?done=changed`);
    expect(await settingsOf(id)).toMatchObject({ description: "Ours", rateLimit: 3 });
  });

  it("saves nothing, and writes nothing down, when the form is sent as it was shown", async () => {
    const before = {
      description: "Two\nlines",
      filter: FILTER,
      url: "https://a.example.com/in?t=1",
    };
    const { id } = await register(before);
    await api("PATCH", `/v1/webhooks/${id}`, { events: ["link.clicked", "message.sent"] });
    const answer = await visitor.post(`${PATH}/${id}/edit`, await opened(id));
    expect(leadsTo(answer)).toBe(`${PATH}/${id}?done=unchanged`);
    expect(await settingsOf(id)).toMatchObject({
      ...before,
      events: ["link.clicked", "message.sent"],
    });
    expect(await actions()).toEqual(["webhook.updated", "webhook.created"]);
  });

  it("keeps what is not seen in a filter, though the form spells it out", async () => {
    const filter = { "data.team\u202e": "a\u{e0001}b" };
    const { id } = await register({ filter, description: "Mine" });
    const form = await opened(id);
    expect(form.filter).toContain("\\u202e");
    const unchanged = await visitor.post(`${PATH}/${id}/edit`, form);
    expect(leadsTo(unchanged)).toBe(`${PATH}/${id}?done=unchanged`);
    const typed = { ...form, filter: form.filter.replace("data.", "data.lead.") };
    await visitor.post(`${PATH}/${id}/edit`, { ...typed, token: crypto.randomUUID() });
    expect((await settingsOf(id)).filter).toEqual({ "data.lead.team\u202e": "a\u{e0001}b" });
  });

  it("leaves a tick alone that somebody else made, and takes back none that it did not show", async () => {
    const { id } = await register({ description: "Mine" });
    const form = await opened(id);
    await api("PATCH", `/v1/webhooks/${id}`, { ordered: true, giveUpOn: [404], concurrency: 9 });
    await visitor.post(`${PATH}/${id}/edit`, { ...form, description: "Ours" });
    expect(await settingsOf(id)).toMatchObject({
      description: "Ours",
      ordered: true,
      giveUpOn: [404],
      concurrency: 9,
    });
  });

  it("shows both where both chose other events, whatever their order", async () => {
    const { id } = await register({ events: ["message.sent"] });
    const form = await opened(id);
    await api("PATCH", `/v1/webhooks/${id}`, { events: ["reply.received", "message.sent"] });
    const typed = { ...form, events: ["message.sent", "message.bounced"] };
    const answer = await visitor.post(`${PATH}/${id}/edit`, typed);
    expect(answer.status).toBe(409);
    expect(await answer.text()).toContain("<bdi>message.sent reply.received</bdi>");
    expect((await settingsOf(id)).events).toEqual(["reply.received", "message.sent"]);
  });

  it("asks nothing where both typed the same", async () => {
    const { id } = await register({ description: "Mine" });
    const form = await opened(id);
    await api("PATCH", `/v1/webhooks/${id}`, { description: "Ours" });
    const answer = await visitor.post(`${PATH}/${id}/edit`, { ...form, description: "Ours" });
    expect(leadsTo(answer)).toMatch(/\?done=(?:unchanged|changed)$/);
  });

  it("tells of headers that somebody replaced while they were replaced here too", async () => {
    const { id } = await register({ headers: { "x-team": "1" } });
    const form = await opened(id);
    await api("PATCH", `/v1/webhooks/${id}`, { headers: { "x-other": "2" } });
    const typed = { ...form, headerName: "x-mine", headerValue: "3" };
    const answer = await visitor.post(`${PATH}/${id}/edit`, typed);
    expect(answer.status).toBe(409);
    expect(await answer.text()).toContain("x-other");
    expect((await settingsOf(id)).headers).toEqual({ "x-other": "2" });
  });
});
