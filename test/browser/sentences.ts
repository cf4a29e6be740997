/** What a page says with a number or a time in it, and its words for states: sentence by sentence, with what each is about. */
import type { Page } from "playwright-core";
import { expect } from "vitest";

/** What the contract allows a time to come to lie in the past. */
const TOLERANCE_MS = 2_000;

export type ToldTime = {
  atMs: number;
  words: string;
  title: string;
  isAhead: boolean;
  isSince: boolean;
};

export type Sentence = {
  /** The kind of place: `p`, `h3`, `td Attempts` by its column, `dd Pending` by its term, `note Pending` below that. */
  place: string;
  /** With `@` for a time and `#` for an id or an address. */
  text: string;
  times: ToldTime[];
  /** What it is about, as far as the row, the panel around it, its own links or the page's address name it. */
  webhookId: string | null;
  eventId: string | null;
  attempt: number | null;
};

export type Reading = { path: string; askedAtMs: number; readAtMs: number; sentences: Sentence[] };

type Block = Omit<Sentence, "webhookId" | "eventId" | "attempt"> & { about: string[] };

/** In the page: each block of text, and the label of each picture. */
const BLOCKS = `(() => {
  const BLOCK = "p,li,td,th,dt,dd,h1,h2,h3,summary,figcaption,button,pre,label,option,text,title,small,div,section,nav,footer,header,main,svg";
  const placeOf = (block) => {
    const { dataset: { label } = {} } = block;
    const tag = block.localName;
    if (tag === "td") return "td " + label;
    const told = block.closest("dd");
    const term = told?.parentElement.classList.contains("tile")
      ? told.parentElement.querySelector("dt") : told?.previousElementSibling;
    if (term) return (tag === "small" ? "note " : "dd ") + term.textContent;
    return tag === "pre" ? "pre " + block.parentElement.ariaLabel : tag;
  };
  const aboutOf = (block) => {
    const row = block.closest("[data-row]")?.dataset.row ?? "";
    const around = block.closest("li.notice, section.panel") ?? block;
    const links = around.querySelectorAll("a[href*='/webhooks/wh_']");
    return [row, ...[...links].map((link) => link.getAttribute("href"))];
  };
  const found = new Map();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let last = null;
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const element = node.parentElement;
    if (element.closest("script,style,noscript,[hidden]")) continue;
    const time = element.closest("time[datetime]");
    const block = (time ?? element).closest(BLOCK) ?? document.body;
    const told = found.get(block) ?? { text: "", times: [] };
    found.set(block, told);
    if (time === null) told.text += node.data;
    else if (time !== last) {
      told.text += "@";
      told.times.push({
        atMs: Date.parse(time.dateTime), words: time.textContent, title: time.title,
        isAhead: time.dataset.ahead !== undefined,
        isSince: time.dataset.since !== undefined,
      });
    }
    last = time;
  }
  const blocks = [...found].map(([block, told]) =>
    ({ place: placeOf(block), about: aboutOf(block), ...told }));
  const pictures = [...document.querySelectorAll("[role=img][aria-label]")].map((picture) =>
    ({ place: "picture", about: [], text: picture.ariaLabel, times: [] }));
  return { readAtMs: Date.now(), blocks: [...blocks, ...pictures] };
})()`;

/** Words that are read too: each is a state. */
const WORDS = /^td (?:State|Status)$/;
const ID_OR_ADDRESS = /(?:evt|wh)_[\dA-Z]{26}|\b127\.0\.0\.1(?::\d+)?/g;
const WEBHOOK_ID = /wh_[\dA-Z]{26}/;
const EVENT_ID = /evt_[\dA-Z]{26}/;
/** By its row; or the headers or the body of an answer, by what they are. */
const ATTEMPT = /^(?:evt_\w+\/)?(\d+)$|answer to attempt (\d+)$/;
const END_OF_SENTENCE = /(?<=[.!?]) +(?=[A-Z\d@])/;

/** Opens a page and reads what it says. */
export async function read(page: Page, path: string): Promise<Reading> {
  const askedAtMs = Date.now();
  await page.goto(path);
  const { readAtMs, blocks } = await page.evaluate<{ readAtMs: number; blocks: Block[] }>(BLOCKS);
  const sentences = blocks
    .flatMap((block) => sentencesOf(block, path))
    .filter(({ place, text }) => WORDS.test(place) || /[\d@]/.test(text));
  return { path, askedAtMs, readAtMs, sentences };
}

function sentencesOf({ place, text, times, about }: Block, path: string): Sentence[] {
  const named = [...about, path];
  const first = (pattern: RegExp) =>
    named.flatMap((each) => pattern.exec(each)?.at(-1) ?? []).at(0) ?? null;
  const attempt = [about[0] ?? "", place].flatMap((each) => {
    const [, row, answered] = ATTEMPT.exec(each) ?? [];
    return row ?? answered ?? [];
  });
  const subject = {
    webhookId: first(WEBHOOK_ID),
    eventId: first(EVENT_ID),
    attempt: attempt[0] === undefined ? null : Number(attempt[0]),
  };
  const plain = text.replace(/\s+/g, " ").trim().replace(ID_OR_ADDRESS, "#");
  const parts = place === "p" ? plain.split(END_OF_SENTENCE) : [plain];
  let told = 0;
  return parts.map((part) => {
    const count = part.split("@").length - 1;
    told += count;
    return { place, text: part, times: times.slice(told - count, told), ...subject };
  });
}

/** The words of a time say when it is, by the clock of the zone; what is to come is not past. */
export function expectTrueTimes({ path, askedAtMs, readAtMs, sentences }: Reading, zone: string) {
  for (const { text, times } of sentences) {
    const before = text.split("@");
    for (const [index, time] of times.entries()) {
      const about = `${path}: ${text}: ${JSON.stringify(time)}`;
      expect.soft(time.title, about).toBe(exactly(time.atMs, zone));
      expect.soft(time.isSince, about).toBe(before[index]?.endsWith("since "));
      expect.soft(wordsBetween(time, { askedAtMs, readAtMs, zone }), about).toContain(time.words);
      if (!time.isAhead) continue;
      expect.soft(time.atMs, about).toBeGreaterThanOrEqual(askedAtMs - TOLERANCE_MS);
    }
  }
}

const STEP_MS = 100;

/** What may be said of it while the page is on its way. */
function wordsBetween(
  { atMs, isAhead, isSince }: ToldTime,
  { askedAtMs, readAtMs, zone }: { askedAtMs: number; readAtMs: number; zone: string },
): Set<string> {
  const words = new Set<string>();
  for (let nowMs = askedAtMs; nowMs <= readAtMs + STEP_MS; nowMs += STEP_MS) {
    const distance = isAhead && atMs < nowMs + 2_000 ? "now" : distanceOf(atMs - nowMs);
    const clock = clockOf(atMs, nowMs, zone);
    words.add(isSince ? `${clock} (${distance})` : `${distance} (${clock})`);
  }
  return words;
}

function distanceOf(ms: number): string {
  const seconds = Math.floor(Math.abs(ms) / 1_000);
  if (seconds < 2) return "just now";
  const [unit, length] = (
    [
      ["day", 86_400],
      ["hour", 3_600],
      ["minute", 60],
      ["second", 1],
    ] as const
  ).find(([, each]) => seconds >= each) ?? ["second", 1];
  const amount = Math.floor(seconds / length);
  const words = `${amount} ${unit}${amount === 1 ? "" : "s"}`;
  return ms < 0 ? `${words} ago` : `in ${words}`;
}

function clockOf(atMs: number, nowMs: number, timeZone: string): string {
  const inZone = (options: Intl.DateTimeFormatOptions, ms: number) =>
    new Intl.DateTimeFormat("en-GB", { timeZone, ...options }).format(ms);
  const day = { day: "numeric", month: "short", year: "numeric" } as const;
  const clock = inZone({ hour: "2-digit", minute: "2-digit" }, atMs);
  return inZone(day, atMs) === inZone(day, nowMs) ? clock : `${inZone(day, atMs)}, ${clock}`;
}

/** `Sat, 28 Nov 2026, 18:05:07 CET`, as the relay writes it. */
export function exactly(atMs: number, timeZone: string): string {
  return new Intl.DateTimeFormat("en-GB", {
    weekday: "short",
    day: "numeric",
    month: "short",
    year: "numeric",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    timeZone,
    timeZoneName: "short",
  }).format(atMs);
}
