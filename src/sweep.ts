/** scheduled(): wakes what should have woken itself. Every 5 minutes, by cron. */
import { REGISTRY_NAME, subscriberNames } from "./domain/placement";
import { errorText, logError } from "./log";

export async function sweep(env: Env): Promise<void> {
  const { routes } = await env.REGISTRY.getByName(REGISTRY_NAME).routing(null);
  const names = (routes ?? []).flatMap(({ id }) => subscriberNames(id));
  await Promise.all(
    names.map(async (name) => {
      try {
        await env.SUBSCRIBER.getByName(name).check();
      } catch (thrown) {
        logError("subscriber.not_reached", { subscriber: name, error: errorText(thrown) });
      }
    }),
  );
}
