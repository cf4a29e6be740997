/**
 * What the pages do beyond plain HTML: follow what happens, keep times current, copy, search, go on with what takes
 * several steps, and try a filter while one types it. Every page works without.
 */

// --- times ----------------------------------------------------------------------------------------------------

const RELATIVE = new Intl.RelativeTimeFormat("en");
const UNITS = /** @type {const} */ ([
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", 1_000],
]);
const JUST_NOW_MS = 2_000;
const TIMES_EVERY_MS = 10_000;

/** The rule of `relativeTime` in src/dashboard/ui/time.tsx. @param {number} ms @param {number} nowMs */
function relative(ms, nowMs) {
  const distanceMs = Math.abs(ms - nowMs);
  if (distanceMs < JUST_NOW_MS) return "just now";
  const [unit, lengthMs] = UNITS.find(([, length]) => distanceMs >= length) ?? ["second", 1_000];
  return RELATIVE.format(Math.trunc((ms - nowMs) / lengthMs), unit);
}

/** Of the whole page, as the relay knew it when it was asked for. */
const timeZone = document.documentElement.dataset.zone;
const day = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  year: "numeric",
  timeZone,
});
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZone });

/** The rule of `clockTime` in src/dashboard/ui/time.tsx. @param {number} ms @param {number} nowMs */
function clockTime(ms, nowMs) {
  const isToday = day.format(ms) === day.format(nowMs);
  return isToday ? clock.format(ms) : `${day.format(ms)}, ${clock.format(ms)}`;
}

const ZONE_COOKIE = "leadterra-relay-zone";
const ZONE_HEADER = "leadterra-relay-zone";
const A_YEAR_SECONDS = 31_536_000;

/** The next page is told in the browser's zone from the start. */
function tellZone() {
  const { timeZone: own } = new Intl.DateTimeFormat().resolvedOptions();
  const secure = location.protocol === "https:" ? "; Secure" : "";
  // biome-ignore lint/suspicious/noDocumentCookie: every browser has it, and nothing here is secret.
  document.cookie = `${ZONE_COOKIE}=${encodeURIComponent(own)}; Path=/dashboard; Max-Age=${A_YEAR_SECONDS}; SameSite=Strict${secure}`;
}

/** Tells times anew. */
function tellTimes() {
  for (const time of document.querySelectorAll("time[datetime]")) {
    const ms = Date.parse(time.getAttribute("datetime") ?? "");
    const nowMs = Date.now();
    const isNow = time.hasAttribute("data-ahead") && ms < nowMs + JUST_NOW_MS;
    const [distance, at] = [isNow ? "now" : relative(ms, nowMs), clockTime(ms, nowMs)];
    const text = time.hasAttribute("data-since") ? `${at} (${distance})` : `${distance} (${at})`;
    if (time.textContent !== text) time.textContent = text;
  }
}

// --- following ------------------------------------------------------------------------------------------------

/** Nothing is asked while nobody looks. While nothing changes, it is asked ever more rarely. */
const FIRST_MS = 2_000;
const SLOWEST_MS = 30_000;
const SLOWER = 1.4;

let waitMs = FIRST_MS;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
let asking = false;

function schedule() {
  clearTimeout(timer);
  if (document.visibilityState === "visible") timer = setTimeout(follow, waitMs);
}

/** Somebody looks, or does something: what happens is of interest again. */
function rouse() {
  if (asking || waitMs === FIRST_MS) return;
  waitMs = FIRST_MS;
  schedule();
}

async function follow() {
  asking = true;
  let changed = false;
  try {
    const response = await ask(location.href, { headers: { accept: "text/html" } });
    if (response.ok) changed = adopt(await response.text());
    tellCurrent(reasonOf(response));
  } catch {
    tellCurrent("data-offline");
  }
  asking = false;
  waitMs = changed ? FIRST_MS : Math.min(waitMs * SLOWER, SLOWEST_MS);
  schedule();
}

/** Whoever is not signed in is led away, by the relay or by what stands before it: to another host perhaps. @param {string} address @param {RequestInit} init */
function ask(address, init) {
  const headers = { ...init.headers, ...(timeZone !== undefined && { [ZONE_HEADER]: timeZone }) };
  return fetch(address, { ...init, headers, redirect: "manual" });
}

/** Why an answer shows nothing new, as an attribute; null when it does. @param {Response} response */
function reasonOf({ ok, type, status }) {
  if (ok) return null;
  if (type === "opaqueredirect" || status === 401) return "data-sign-in";
  return status === 404 ? "data-gone" : "data-offline";
}

const REASONS = ["data-sign-in", "data-gone", "data-offline"];

let currentAtMs = Date.now();

/** Says since when the page is not up to date, and why. @param {string | null} why an attribute; null when it is */
function tellCurrent(why) {
  if (why === null) currentAtMs = Date.now();
  const notice = document.getElementById("not-current");
  if (notice === null) return;
  const since = notice.querySelector("[data-since]");
  if (since !== null) since.textContent = clockTime(currentAtMs, Date.now());
  for (const name of REASONS) {
    notice.querySelector(`[${name}]`)?.toggleAttribute("hidden", name !== why);
  }
  const next = encodeURIComponent(location.pathname + location.search);
  notice.querySelector("[data-sign-in]")?.setAttribute("href", `/dashboard/sign-in?next=${next}`);
  notice.hidden = why === null;
}

/** Said below a region that somebody is working in, while there is something new for it. */
const standsStill = document.createElement("p");
standsStill.className = "quiet";
standsStill.setAttribute("role", "status");
standsStill.textContent =
  "Something new has come. This part stands still while you type, tick or select in it.";

/** @param {Element} region @param {boolean} isHeldBack there is something new for it */
function sayWhetherItStands(region, isHeldBack) {
  const isSaid = region.nextElementSibling === standsStill;
  // A press is over before the line could be read.
  if (isHeldBack && !isPressed && !isSaid) region.after(standsStill);
  if (isSaid && !isHeldBack) standsStill.remove();
}

/** Takes over the regions that differ, but for one that somebody is working in. @param {string} html */
function adopt(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html");
  /** @type {(() => void)[]} */
  const kept = [];
  let changed = false;
  for (const region of document.querySelectorAll("[data-live][id]")) {
    const successor = fresh.getElementById(region.id);
    if (successor === null) continue;
    const before = region.getAttribute("data-was") ?? "";
    const after = withoutTimes(successor);
    const differs = before !== after;
    const isHeld = isBusy(region);
    sayWhetherItStands(region, differs && isHeld);
    if (!differs || isHeld) continue;
    successor.setAttribute("data-was", after);
    markFresh(region, successor);
    kept.push(keep(region, successor));
    region.replaceWith(document.adoptNode(successor));
    changed = true;
  }
  if (changed) enhance();
  // What was done stays told, and is over: it colours no page that has moved on.
  if (changed) document.querySelector("main > .notice.good")?.classList.remove("good");
  for (const each of kept) each();
  return changed;
}

/** What scrolls by itself: tables, charts, payloads. */
const SCROLLED = "section[tabindex]";

/**
 * What somebody opened or closed stays so, what was scrolled where it is, and the focus too.
 *
 * @param {Element} before
 * @param {Element} after
 * @returns what is left to do once `after` is in its place.
 */
function keep(before, after) {
  for (const turned of before.querySelectorAll("details[data-turned]")) {
    const heir = heirOf(turned, before, after);
    heir?.toggleAttribute("open", turned.hasAttribute("open"));
    heir?.setAttribute("data-turned", "");
  }
  const scrolled = [...before.querySelectorAll(SCROLLED)].map((each) => {
    return { heir: heirOf(each, before, after), left: each.scrollLeft, top: each.scrollTop };
  });
  const active = before.contains(document.activeElement) ? document.activeElement : null;
  const focused = active && heirOf(active, before, after);
  const top = active?.getBoundingClientRect().top ?? 0;
  return () => {
    for (const { heir, left, top } of scrolled) heir?.scrollTo(left, top);
    if (!(focused instanceof HTMLElement)) return;
    focused.focus({ preventScroll: true });
    // What came in above moves nothing away from under the pointer.
    scrollBy(0, focused.getBoundingClientRect().top - top);
  };
}

/** Its like in the region's successor: in the same row, by the same name. @param {Element} element @param {Element} before @param {Element} after */
function heirOf(element, before, after) {
  /** @param {Element} region */
  const likes = (region) =>
    [...region.querySelectorAll(element.localName)].filter(
      (each) => nameOf(each) === nameOf(element),
    );
  return likes(after)[likes(before).indexOf(element)] ?? null;
}

/** @param {Element} element */
function nameOf(element) {
  const row = element.closest("[data-row]")?.getAttribute("data-row");
  const name =
    element.getAttribute("aria-label") ??
    element.getAttribute("href") ??
    element.closest("form.action")?.getAttribute("action") ??
    (element.querySelector("summary") ?? element).textContent;
  return `${row} ${name}`;
}

/** What a region says, without how long ago it was. @param {Element} region */
function withoutTimes(region) {
  const copy = /** @type {Element} */ (region.cloneNode(true));
  copy.removeAttribute("data-was");
  for (const time of copy.querySelectorAll("time")) {
    time.textContent = "";
    time.removeAttribute("title");
  }
  for (const each of copy.querySelectorAll(SCRIPTED)) each.removeAttribute("hidden");
  // A form that may be sent once has another one each time.
  for (const each of copy.querySelectorAll("input[name=token]")) each.removeAttribute("value");
  for (const bar of copy.querySelectorAll("progress[data-pending]")) bar.replaceWith();
  return copy.innerHTML;
}

/** Rows that were not there before stand out for a moment. @param {Element} before @param {Element} after */
function markFresh(before, after) {
  const known = new Set([...before.querySelectorAll("[data-row]")].map(rowOf));
  for (const row of after.querySelectorAll("[data-row]")) {
    if (!known.has(rowOf(row))) row.classList.add("fresh");
  }
}

/** @param {Element} element */
function rowOf(element) {
  return element.getAttribute("data-row");
}

/** Somebody types in it, ticked or chose something, selected text, or waits for the answer to a form. @param {Element} region */
function isBusy(region) {
  if (isPressed || region.querySelector("form[data-sent]") !== null) return true;
  if (region.contains(document.activeElement?.closest(TYPED_IN) ?? null)) return true;
  for (const input of region.querySelectorAll("input")) {
    if (input.checked !== input.defaultChecked) return true;
    // A tick of no value says "on" by itself.
    if (input.matches(TYPED_IN) && input.value !== input.defaultValue) return true;
  }
  for (const { options } of region.querySelectorAll("select")) {
    const chosen = [...options].find(({ defaultSelected }) => defaultSelected) ?? options[0];
    if (chosen?.selected === false) return true;
  }
  const selection = getSelection();
  return selection !== null && !selection.isCollapsed && selection.containsNode(region, true);
}

const TYPED_IN = "select, textarea, input:not([type=checkbox])";

/** A button or a key is down: what is under it stays until it is let go, or that would be no click. */
let isPressed = false;
for (const [state, signs] of /** @type {const} */ ([
  [true, ["pointerdown", "keydown"]],
  [false, ["pointerup", "pointercancel", "contextmenu", "keyup", "blur"]],
])) {
  for (const sign of signs) {
    addEventListener(sign, () => (isPressed = state), { passive: true });
  }
}

/** What somebody opens or closes. */
document.addEventListener("click", ({ target }) => {
  const summary = target instanceof Element ? target.closest("summary") : null;
  summary?.parentElement?.setAttribute("data-turned", "");
});

/** What only works with this script. */
const SCRIPTED = "[data-copy], [data-repeat], [data-select-all], [data-find]";

// --- copying --------------------------------------------------------------------------------------------------

let mostPending = 0;

/** How much of what waited has left, since this page was opened. */
function tellLeaving() {
  const bar = document.querySelector("progress[data-pending]");
  if (!(bar instanceof HTMLProgressElement)) return;
  const pending = Number(bar.dataset.pending);
  mostPending = Math.max(mostPending, pending);
  bar.max = mostPending;
  bar.value = mostPending - pending;
  bar.hidden = bar.value === 0;
}

function enhance() {
  tellTimes();
  tellLeaving();
  for (const each of document.querySelectorAll(SCRIPTED)) each.removeAttribute("hidden");
}

document.addEventListener("click", async (event) => {
  const target = event.target instanceof Element ? event.target : null;
  const button = target?.closest("[data-copy]");
  if (button) {
    await navigator.clipboard.writeText(button.getAttribute("data-copy") ?? "");
    const before = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => {
      button.textContent = before;
    }, 1_500);
  }
});

document.addEventListener("change", (event) => {
  const box = event.target;
  if (!(box instanceof HTMLInputElement) || !box.matches("[data-select-all]")) return;
  const all = box.form?.querySelectorAll("input[type=checkbox][name]") ?? [];
  for (const each of all) if (each instanceof HTMLInputElement) each.checked = box.checked;
});

// --- forms ----------------------------------------------------------------------------------------------------

/** The second click of a double click would take the place of the answer to the first, and of what it shows once. */
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || form.method !== "post") return;
  if (form.dataset.sent !== undefined) event.preventDefault();
  form.dataset.sent = "";
});

/** The page came back by the browser's own way, or nobody waits for the answer any more: its forms may be sent again. */
function letSend() {
  for (const form of document.querySelectorAll("form[data-sent]")) {
    form.removeAttribute("data-sent");
  }
}
addEventListener("pageshow", letSend);
globalThis.navigation?.addEventListener("navigateerror", letSend);

/** What is done a page at a time goes on by itself, until somebody stops it by leaving, however slowly that goes. */
function goOn() {
  const form = document.querySelector("form[data-goes-on]");
  if (!(form instanceof HTMLFormElement)) return;
  const going = setTimeout(() => form.requestSubmit(), GOES_ON_MS);
  form.querySelector("a")?.addEventListener("click", () => clearTimeout(going));
}
const GOES_ON_MS = 600;

/** `data-find` names a text by its label: lines that hold what is typed stand out, and the first is shown. */
document.addEventListener("input", ({ target }) => {
  if (!(target instanceof HTMLInputElement) || target.dataset.find === undefined) return;
  const text = document.querySelector(`[aria-label="${CSS.escape(target.dataset.find)}"]`);
  const wanted = target.value.toLowerCase();
  let first = null;
  for (const line of text?.querySelectorAll(".line") ?? []) {
    const isHit = wanted !== "" && (line.textContent ?? "").toLowerCase().includes(wanted);
    line.classList.toggle("hit", isHit);
    if (isHit) first ??= line;
    for (let fold = line.closest("details"); isHit && fold !== null; ) {
      fold.open = true;
      fold = fold.parentElement?.closest("details") ?? null;
    }
  }
  first?.scrollIntoView({ block: "nearest" });
});

/** `data-repeat` names the class of the rows above, of which one more is wanted. */
document.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? event.target.closest("[data-repeat]") : null;
  const rows = button?.parentElement?.querySelectorAll(`.${button.getAttribute("data-repeat")}`);
  const last = rows === undefined ? null : rows[rows.length - 1];
  if (!last) return;
  const row = /** @type {Element} */ (last.cloneNode(true));
  for (const input of row.querySelectorAll("input")) input.value = "";
  last.after(row);
  row.querySelector("input")?.focus();
});

// --- trying a filter ------------------------------------------------------------------------------------------

const TYPING_MS = 350;
const NOT_TRIED = "Not tried: the session has ended, or the relay does not answer.";
/** The fields that a trial depends on. */
const TRIED = new Set(["filter", "events", "names"]);

/**
 * A form with `data-trial` has a region of that id; its answer to what the form holds is shown there.
 *
 * @param {HTMLFormElement} form
 */
function tryWhileTyping(form) {
  const region = document.getElementById(form.dataset.trial ?? "");
  const action = form.dataset.trialAction;
  if (region === null || action === undefined) return;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let typing;
  let latest = 0;
  const attempt = async () => {
    latest += 1;
    const mine = latest;
    const body = new URLSearchParams();
    for (const [name, value] of new FormData(form)) {
      if (typeof value === "string" && TRIED.has(name)) body.append(name, value);
    }
    const response = await ask(action, { method: "POST", body }).catch(() => null);
    const html = response?.ok ? await response.text() : "";
    const answer = new DOMParser().parseFromString(html, "text/html").getElementById(region.id);
    // Only the answer to the last question counts; nor is the focus taken from whoever looks at the one before.
    if (mine !== latest || region.contains(document.activeElement)) return;
    region.replaceChildren(...(answer?.childNodes ?? [NOT_TRIED]));
    region.hidden = false;
    tellTimes();
  };
  form.addEventListener("input", ({ target }) => {
    if (!TRIED.has(target instanceof Element ? (target.getAttribute("name") ?? "") : "")) return;
    clearTimeout(typing);
    typing = setTimeout(attempt, TYPING_MS);
  });
  void attempt();
}

// --- begin ----------------------------------------------------------------------------------------------------

tellZone();
enhance();
goOn();
setInterval(tellTimes, TIMES_EVERY_MS);
for (const form of document.querySelectorAll("form[data-trial]")) {
  if (form instanceof HTMLFormElement) tryWhileTyping(form);
}
if (document.querySelector("[data-follows]") !== null) {
  for (const region of document.querySelectorAll("[data-live][id]")) {
    region.setAttribute("data-was", withoutTimes(region));
  }
  document.addEventListener("visibilitychange", () => {
    waitMs = FIRST_MS;
    schedule();
  });
  for (const sign of ["pointerdown", "keydown", "focus"])
    addEventListener(sign, rouse, { passive: true });
  schedule();
}
