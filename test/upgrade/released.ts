/** What is kept of a release: its bundle, stored state that it wrote, and what its API said of that state. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { temporaryDirectory } from "../../scripts/temporary.ts";
import type { Build } from "../rig/workerd.ts";
import { unpack } from "./pack.ts";
import type { Received } from "./receiver.ts";

/** A list of the API, or one of its objects, as it was answered. */
export type Answers = Record<string, unknown>;

export type Account = {
  signingSecret: string;
  apiKey: string;
  /** Every event that was accepted. */
  events: { id: string; event: string; body: string }[];
  /** By what they are for. */
  webhooks: Record<string, string>;
  /** What services got. */
  received: Omit<Received, "status">[];
  /** A call that was answered once for all, and its answer. */
  idempotent: { key: string; path: string; body: unknown; answer: unknown };
  /** What the API answered to each GET just before the release was killed. */
  answers: Answers;
};

/** So long that nothing of a fixture is past it when a test runs; past that the fixture is made anew. */
export const RETENTION = "365d";

/** Those of which something is kept, oldest first. */
export const RELEASES = readdirSync(import.meta.dirname)
  .filter((name) => /^\d+\.\d+\.\d+$/.test(name))
  .sort((one, other) => one.localeCompare(other, "en", { numeric: true }));

export function releaseDirectory(release: string): string {
  return join(import.meta.dirname, release);
}

export function accountOf(release: string): Account {
  return JSON.parse(
    gunzipSync(readFileSync(join(releaseDirectory(release), "account.json.gz"))).toString(),
  );
}

/** The released bundle, as `buildWorker` would leave it. */
export function releasedBuild(release: string): Build {
  return unpacked("bundle", join(releaseDirectory(release), "bundle.json.gz"));
}

/** A copy of the state, that a relay may go on with. */
export function releasedState(release: string): Build {
  return unpacked("state", join(releaseDirectory(release), "state.json.gz"));
}

function unpacked(name: string, file: string): Build {
  const directory = temporaryDirectory(name);
  unpack(file, directory.directory);
  return directory;
}
