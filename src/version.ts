import { version } from "../package.json";

/** The version of the relay, as `User-Agent` and `/healthz` give it. */
export const VERSION = version;
