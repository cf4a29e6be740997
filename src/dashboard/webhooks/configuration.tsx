/** The webhook as the file of `npm run apply` would have it. */
import { configurationOf } from "../../contract/configured";
import { listedWebhook } from "../../contract/webhooks";
import { isListener, type Webhook } from "../../domain/webhook";
import { Code } from "../ui/parts";

export function AsConfiguration({ webhook }: { webhook: Webhook }) {
  if (isListener(webhook)) return null;
  const json = JSON.stringify(configurationOf(listedWebhook(webhook)), null, 2);
  return (
    <details id="configuration">
      <summary>As configuration</summary>
      {webhook.name === null ? (
        <p class="quiet">A webhook is kept in a file by its name: give it one first.</p>
      ) : (
        <>
          <p class="quiet">
            For the file of <code>npm run apply</code>. Values of headers come from the environment;
            the query of a URL is not shown.
          </p>
          <Code label="The webhook as configuration" text={json} />
        </>
      )}
    </details>
  );
}
