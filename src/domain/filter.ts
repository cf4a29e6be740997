/**
 * The filter language: MongoDB's query form over the envelope of an event (docs/contract.md), without regular expressions.
 *
 *     {"data.reply.classification": "interested"}
 *     {"data.bounceType": {"$in": ["hard"]}, "$or": [{"event": "message.bounced"}, {"data.lead.score": {"$gte": 5}}]}
 *
 * Paths. Segments are separated by dots and name own properties only: `__proto__` and `constructor` are names like
 * any other. At an array a whole number picks that element; every other segment goes on in each element that is an
 * object. At the end of the path an array counts with each of its elements. One value that fits is enough; `$ne`,
 * `$nin`, `$not` and `$exists: false` want that none fits.
 *
 * Values. Strings, numbers, booleans and null are compared, each with its own type only; objects and arrays are
 * not comparable. Null also equals a missing value. Strings are ordered by UTF-16 code unit, which is the order of
 * time for ISO 8601 timestamps in UTC.
 *
 * Cost. A condition looks at each value in the envelope at most once, and a filter has a bounded number of them.
 */
import { isObject, own } from "./event";

type Ordered = string | number;
type Scalar = Ordered | boolean | null;

/** What stands under a path; all of it must hold. */
type Operators = { readonly [operator: `$${string}`]: Scalar | readonly Scalar[] | Operators };

/** Paths with what they must hold, and `$and` and `$or` with their lists; `{}` matches every event. */
export type Filter = { readonly [path: string]: Scalar | Operators | readonly Filter[] };

/** `path` leads to the mistake from `filter` on, such as `filter.$and.0.data.bounceType.$in`. */
type FilterMistake = { path: string; message: string };

/** Whether an envelope is wanted. Any JSON value may be given; it is never changed and nothing is thrown. */
type Matcher = (envelope: unknown) => boolean;

const MAX_FILTER_BYTES = 8192;
/** The filter itself is the first level; each `$and`, `$or` and `$not` is one more. */
const MAX_DEPTH = 8;
/** A condition is one operator on one path; an implicit equality is one too, `$not` itself is none. */
const MAX_CONDITIONS = 64;
/** Each mistake repeats the path to it, so their number has to be bounded for the answer to be. */
const MAX_MISTAKES = 64;

/**
 * Every mistake in `value` (past 64 the first ones), empty when it may be registered. Never throws.
 *
 * A number that JSON could not give exactly is one: 2⁵³ + 1 is read as 2⁵³, and would want another event than was
 * meant. Filters of before may hold such a number, so it is none to `compileFilter`.
 */
export function checkFilter(value: unknown): FilterMistake[] {
  if (jsonBytes(value) > MAX_FILTER_BYTES) {
    return [{ path: "filter", message: `must be JSON of at most ${MAX_FILTER_BYTES} bytes` }];
  }
  const { mistakes, inexact } = read(value);
  return [...mistakes, ...inexact].slice(0, MAX_MISTAKES);
}

/** A filter made ready to run many times. Throws on a filter that `checkFilter` refuses, inexact numbers aside. */
export function compileFilter(filter: Filter): Matcher {
  const { matcher, mistakes } = read(filter);
  const [mistake] = mistakes;
  if (mistake !== undefined) throw new TypeError(`${mistake.path} ${mistake.message}`);
  return matcher;
}

/** In UTF-8 and without white space; infinite for what cannot be written out. */
function jsonBytes(value: unknown): number {
  try {
    return new TextEncoder().encode(JSON.stringify(value)).length;
  } catch {
    return Infinity; // a cycle, a bigint, or nesting that exhausts the stack
  }
}

// Reading: one walk finds the mistakes and builds the matcher, so that the two cannot disagree.

type Reading = { mistakes: FilterMistake[]; inexact: FilterMistake[]; conditions: number };
/** Where in the filter the walk is. */
type Place = { path: string; depth: number };

function read(value: unknown): Omit<Reading, "conditions"> & { matcher: Matcher } {
  const reading: Reading = { mistakes: [], inexact: [], conditions: 0 };
  const root = { path: "filter", depth: 1 };
  const matcher = readFilter(value, root, reading);
  if (reading.conditions > MAX_CONDITIONS) {
    note(root, `must have at most ${MAX_CONDITIONS} conditions`, reading);
  }
  return { matcher, mistakes: reading.mistakes, inexact: reading.inexact };
}

function readFilter(value: unknown, place: Place, reading: Reading): Matcher {
  if (!isObject(value)) return note(place, "must be an object of paths and operators", reading);
  const parts = Object.entries(value).map(([key, operand]) => {
    const here = inside(place, key);
    if (key === "$and" || key === "$or") return readList(key, operand, deeper(here), reading);
    if (key.startsWith("$")) return note(here, misplaced(key), reading);
    return readPath(key, operand, here, reading);
  });
  return allOf(parts);
}

function readList(key: "$and" | "$or", list: unknown, place: Place, reading: Reading): Matcher {
  if (!Array.isArray(list) || list.length === 0) {
    return note(place, "must be a list of one filter or more", reading);
  }
  if (place.depth > MAX_DEPTH) return note(place, TOO_DEEP, reading);
  const parts = list.map((part, at) => readFilter(part, inside(place, String(at)), reading));
  return key === "$and" ? allOf(parts) : anyOf(parts);
}

function readPath(key: string, operand: unknown, place: Place, reading: Reading): Matcher {
  const names = key.split(".");
  if (names.includes("")) {
    return note(place, "must be a path of names separated by single dots", reading);
  }
  const some = somewhere(names.map(toSegment));
  if (isObject(operand)) return readOperators(operand, some, place, reading);
  reading.conditions += 1;
  noteInexact(operand, place, reading);
  return isScalar(operand) ? some(equals(operand)) : note(place, NOT_COMPARABLE, reading);
}

function readOperators(operators: object, some: Some, place: Place, reading: Reading): Matcher {
  const entries = Object.entries(operators);
  if (!entries.some(([name]) => name.startsWith("$"))) return note(place, NOT_COMPARABLE, reading);
  const parts = entries.map(([name, operand]) => {
    const here = inside(place, name);
    if (name === "$not") return readNot(operand, some, deeper(here), reading);
    const operator = OPERATORS.get(name);
    if (operator === undefined) return note(here, misplaced(name), reading);
    reading.conditions += 1;
    noteInexact(operand, here, reading);
    return operator.matcher(operand, some) ?? note(here, operator.mistake, reading);
  });
  return allOf(parts);
}

function readNot(operand: unknown, some: Some, place: Place, reading: Reading): Matcher {
  if (!isObject(operand)) {
    return note(place, "must be an object of operators; for a single value there is $ne", reading);
  }
  if (place.depth > MAX_DEPTH) return note(place, TOO_DEEP, reading);
  return not(readOperators(operand, some, place, reading));
}

function inside(place: Place, key: string): Place {
  return { path: `${place.path}.${key}`, depth: place.depth };
}

function deeper(place: Place): Place {
  return { path: place.path, depth: place.depth + 1 };
}

/** @returns what stands in for the part that could not be read; a filter with mistakes is never run. */
function note({ path }: Place, message: string, reading: Reading): Matcher {
  if (reading.mistakes.length < MAX_MISTAKES) reading.mistakes.push({ path, message });
  return () => false;
}

function noteInexact(operand: unknown, { path }: Place, { inexact }: Reading): void {
  const isInexact = [operand]
    .flat()
    .some((each) => Number.isInteger(each) && !Number.isSafeInteger(each));
  if (isInexact && inexact.length < MAX_MISTAKES) inexact.push({ path, message: INEXACT });
}

const INEXACT =
  "must not be a whole number beyond ±(2⁵³ − 1): JSON numbers are exact up to there only";
const TOO_DEEP = `is nested too deeply: at most ${MAX_DEPTH} levels, the filter itself and each $and, $or and $not`;
const COMPARABLE = "a string, a number, true, false or null";
const NOT_COMPARABLE = `must be ${COMPARABLE}, or an object of operators; a field inside an object is named with a dotted path`;

function misplaced(name: string): string {
  if (name === "$and" || name === "$or") return "must stand beside paths, not under one";
  if (name === "$not" || OPERATORS.has(name)) return "must stand under a path";
  return `is not an operator; there are ${[...OPERATORS.keys(), "$and", "$or", "$not"].join(", ")}`;
}

// Matching.

/** Of one value; `undefined` is a missing one. */
type Test = (value: unknown) => boolean;
/** Whether some value that a path leads to passes a test. */
type Some = (test: Test) => Matcher;
/** `matcher` is null for an operand that does not fit; then `mistake` says what would. */
type Operator = { mistake: string; matcher: (operand: unknown, some: Some) => Matcher | null };

const VALUE = `must be ${COMPARABLE}`;
const LIST = `must be a list, each of its items ${COMPARABLE}`;
const NUMBER_OR_STRING = "must be a number or a string";

const OPERATORS: ReadonlyMap<string, Operator> = new Map([
  ["$eq", operator(isScalar, VALUE, (operand, some) => some(equals(operand)))],
  ["$ne", operator(isScalar, VALUE, (operand, some) => not(some(equals(operand))))],
  ["$in", operator(isFilledList, `${LIST}, and not empty`, (list, some) => some(isIn(list)))],
  ["$nin", operator(isList, LIST, (list, some) => not(some(isIn(list))))],
  ["$gt", order((value, operand) => value > operand)],
  ["$gte", order((value, operand) => value >= operand)],
  ["$lt", order((value, operand) => value < operand)],
  ["$lte", order((value, operand) => value <= operand)],
  [
    "$exists",
    operator(isBoolean, "must be true or false", (wanted, some) =>
      wanted ? some(isPresent) : not(some(isPresent)),
    ),
  ],
  ["$startsWith", affix((value, operand) => value.startsWith(operand))],
  ["$endsWith", affix((value, operand) => value.endsWith(operand))],
]);

function operator<T>(
  fits: (operand: unknown) => operand is T,
  mistake: string,
  matcher: (operand: T, some: Some) => Matcher,
): Operator {
  return { mistake, matcher: (operand, some) => (fits(operand) ? matcher(operand, some) : null) };
}

function order(holds: (value: Ordered, operand: Ordered) => boolean): Operator {
  return operator(isOrdered, NUMBER_OR_STRING, (operand, some) =>
    some((value) => sameType(value, operand) && holds(value, operand)),
  );
}

function affix(holds: (value: string, operand: string) => boolean): Operator {
  return operator(isString, "must be a string", (operand, some) =>
    some((value) => isString(value) && holds(value, operand)),
  );
}

function equals(operand: Scalar): Test {
  return operand === null
    ? (value) => value === null || value === undefined
    : (value) => value === operand;
}

function isIn(operands: readonly Scalar[]): Test {
  const known = new Set<unknown>(operands);
  return (value) => known.has(value ?? null);
}

function not(matcher: Matcher): Matcher {
  return (envelope) => !matcher(envelope);
}

function allOf(matchers: readonly Matcher[]): Matcher {
  return (envelope) => matchers.every((matcher) => matcher(envelope));
}

function anyOf(matchers: readonly Matcher[]): Matcher {
  return (envelope) => matchers.some((matcher) => matcher(envelope));
}

// Following a path: step by step over all values that it has led to, so that no depth can exhaust the stack.

/** `index` is null for a name that picks no element of an array. */
type Segment = { name: string; index: number | null };

function toSegment(name: string): Segment {
  return { name, index: /^(?:0|[1-9]\d*)$/.test(name) ? Number(name) : null };
}

function somewhere(path: readonly Segment[]): Some {
  return (test) => (envelope) =>
    valuesAt(path, envelope).some(
      (value) => test(value) || (Array.isArray(value) && value.some(test)),
    );
}

/**
 * What `path` leads to in an envelope, as a condition on it sees it: one value for each way that the path can go,
 * `undefined` where it ends in nothing. None when it leads through a list without fitting items.
 */
export function valuesOf(path: string, envelope: unknown): unknown[] {
  return valuesAt(path.split(".").map(toSegment), envelope);
}

function valuesAt(path: readonly Segment[], envelope: unknown): unknown[] {
  let values = [envelope];
  for (const segment of path) {
    const next: unknown[] = [];
    for (const value of values) follow(value, segment, next);
    values = next;
  }
  return values;
}

/** Adds to `found` what `segment` leads to from `value`: `undefined` where that is missing. */
function follow(value: unknown, { name, index }: Segment, found: unknown[]): void {
  if (!Array.isArray(value)) found.push(own(value, name));
  else if (index !== null) found.push(value[index]);
  else for (const item of value) if (isObject(item)) found.push(own(item, name));
}

function isString(value: unknown): value is string {
  return typeof value === "string";
}

function isBoolean(value: unknown): value is boolean {
  return typeof value === "boolean";
}

/** As an operand: `1e999` is JSON, but reads as infinity and would be stored as null. */
function isOrdered(value: unknown): value is Ordered {
  return isString(value) || Number.isFinite(value);
}

function isScalar(value: unknown): value is Scalar {
  return value === null || isBoolean(value) || isOrdered(value);
}

function isList(value: unknown): value is readonly Scalar[] {
  return Array.isArray(value) && value.every(isScalar);
}

function isFilledList(value: unknown): value is readonly Scalar[] {
  return isList(value) && value.length > 0;
}

function isPresent(value: unknown): boolean {
  return value !== undefined;
}

function sameType(value: unknown, operand: Ordered): value is Ordered {
  return typeof value === typeof operand;
}
