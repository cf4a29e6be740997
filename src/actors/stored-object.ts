/** What every object of the relay does with its stored data before anything else (`storage/schema.ts`). */
import { DurableObject } from "cloudflare:workers";
import { newerData } from "../domain/no-answer";
import { logError, logInfo } from "../log";
import { type Kind, openTables, VERSION } from "../storage/schema";
import type { Tables } from "../storage/tables";

/** An object with newer data looks again after this time: a deploy may have brought the code for it. */
const LOOK_AGAIN_MS = 60_000;
/** By their names in wrangler.toml: a bundle does not keep those of functions and classes. */
const CLASSES: Readonly<Record<Kind, string>> = {
  registry: "Registry",
  subscriber: "Subscriber",
  journal: "Journal",
  "dead-letters": "DeadLetters",
  lane: "Lane",
};

/**
 * An object whose data has the version of this code. Where the data is newer, no method of its class runs: a call is
 * answered `newer_data`, an alarm is set again, nothing is written.
 */
export abstract class StoredObject extends DurableObject<Env> {
  // Properties, for methods and accessors of a class can be reached over RPC, whatever TypeScript says.
  protected tables: Tables;
  protected readonly isNewer: boolean;
  /** What people call it: `Subscriber wh_…`. */
  readonly #title: string;
  static readonly #guarded = new WeakSet<StoredObject>();

  constructor(ctx: DurableObjectState, env: Env, kind: Kind) {
    super(ctx, env);
    for (let each = new.target.prototype; each !== StoredObject.prototype; ) {
      StoredObject.#guard(each);
      each = Object.getPrototypeOf(each);
    }
    const { tables, newerVersion, steppedFrom } = openTables(ctx.storage, kind);
    this.tables = tables;
    this.#title = `${CLASSES[kind]} ${ctx.id.name}`;
    this.isNewer = newerVersion !== null;
    if (newerVersion !== null) {
      logError("object.newer_data", { object: this.#title, version: newerVersion });
    }
    // Its time is what point-in-time recovery goes back to.
    if (steppedFrom !== null) {
      logInfo("object.upgraded", { object: this.#title, from: steppedFrom, to: VERSION });
    }
  }

  /** Makes every method of a class, once, refuse while the data is newer than the code. */
  static #guard(prototype: StoredObject): void {
    if (StoredObject.#guarded.has(prototype)) return;
    StoredObject.#guarded.add(prototype);
    for (const name of Object.getOwnPropertyNames(prototype)) {
      const { value: method } = Object.getOwnPropertyDescriptor(prototype, name) ?? {};
      if (name === "constructor" || typeof method !== "function") continue;
      const said = (object: StoredObject) => newerData(object.#title);
      const refusals: Record<string, (object: StoredObject) => unknown> = {
        alarm: ({ ctx }) => ctx.storage.setAlarm(Date.now() + LOOK_AGAIN_MS),
        fetch: (object) => Response.json(said(object)),
      };
      const refuse = refusals[name] ?? said;
      Object.defineProperty(prototype, name, {
        configurable: true,
        writable: true,
        value(this: StoredObject, ...args: unknown[]) {
          return this.isNewer ? refuse(this) : method.apply(this, args);
        },
      });
    }
  }
}
