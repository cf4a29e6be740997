/** Alerts leave from the Registry, through here. */
import { errorText, logError } from "../log";

const ALERT_TIMEOUT_MS = 10_000;

/** Posts `{"text": …}`, the form of Slack's incoming webhooks. Whether it was taken. */
export async function postAlert(url: string, text: string): Promise<boolean> {
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ text }),
      redirect: "manual",
      signal: AbortSignal.timeout(ALERT_TIMEOUT_MS),
    });
    await response.body?.cancel();
    if (response.ok) return true;
    logError("alert.not_sent", { status: response.status });
  } catch (thrown) {
    // The message of a failed fetch may hold the URL, which is a secret: its name tells enough.
    logError("alert.not_sent", {
      error: thrown instanceof Error ? thrown.name : errorText(thrown),
    });
  }
  return false;
}
