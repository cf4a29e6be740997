/**
 * Cloudflare Access says who comes: a token in a header, which only Access puts there, but which anybody may send. So
 * it is verified each time, against the keys of the team.
 * https://developers.cloudflare.com/cloudflare-one/access-controls/applications/http-apps/authorization-cookie/validating-json/
 */
import { JOSEError } from "jose/errors";
import { createRemoteJWKSet, customFetch } from "jose/jwks/remote";
import { type JWTVerifyGetKey, jwtVerify } from "jose/jwt/verify";
import type { AccessConfig } from "../../config";
import { errorText, logWarning } from "../../log";

/** An unknown key is asked for so often at most, and so is a team that does not answer. */
const ASK_AGAIN_MS = 60_000;
const ASK_TIMEOUT_MS = 5_000;
/** Of Access' own making, and no more. */
const ALGORITHMS = ["RS256"];

/** By team; once per isolate. */
const keySets = new Map<string, JWTVerifyGetKey>();

/** @returns the address of who comes; null when the token does not say so. */
export async function whoComes(token: string, { team, audience }: AccessConfig) {
  try {
    const { payload } = await jwtVerify(token, keysOf(team), {
      issuer: team,
      audience,
      algorithms: ALGORITHMS,
      requiredClaims: ["exp"],
      currentDate: new Date(Date.now()),
    });
    const { email } = payload;
    return typeof email === "string" && email !== "" ? email : null;
  } catch (thrown) {
    const error =
      thrown instanceof JOSEError ? `${thrown.code}: ${thrown.message}` : errorText(thrown);
    logWarning("access.refused", { error });
    return null;
  }
}

function keysOf(team: string): JWTVerifyGetKey {
  const known = keySets.get(team);
  if (known !== undefined) return known;
  const keys = createRemoteJWKSet(new URL("/cdn-cgi/access/certs", team), {
    cooldownDuration: ASK_AGAIN_MS,
    timeoutDuration: ASK_TIMEOUT_MS,
    [customFetch]: patiently(),
  });
  keySets.set(team, keys);
  return keys;
}

/** Asks nobody again who has just refused. */
function patiently(): (url: string, init: RequestInit) => Promise<Response> {
  let refusedAtMs = Number.NEGATIVE_INFINITY;
  return async (url, init) => {
    if (Date.now() < refusedAtMs + ASK_AGAIN_MS) throw new Error("the team has just not answered");
    try {
      const response = await fetch(url, init);
      if (!response.ok) refusedAtMs = Date.now();
      return response;
    } catch (thrown) {
      refusedAtMs = Date.now();
      throw thrown;
    }
  };
}
