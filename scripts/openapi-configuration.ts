/** The configuration file of `npm run apply`: every webhook of a relay that has a name. */
import * as z from "zod/mini";
import { name, putSchema } from "../src/contract/webhook-settings";

const headerValue = z
  .union([
    z.string(),
    z
      .strictObject({ $env: z.string().check(z.regex(/^[A-Za-z_][A-Za-z0-9_]*$/)) })
      .register(z.globalRegistry, {
        description: "The value of this environment variable, when the file is applied.",
      }),
  ])
  .register(z.globalRegistry, { id: "HeaderValue" });

const webhook = z
  .extend(z.omit(putSchema, { dryRun: true }), {
    name,
    headers: z.optional(z.nullable(z.record(z.string(), headerValue))),
  })
  .register(z.globalRegistry, { id: "ConfiguredWebhook" });

export const configurationSchema = z
  .strictObject({ $schema: z.optional(z.string()), webhooks: z.array(webhook) })
  .register(z.globalRegistry, { id: "WebhooksFile" });

/** Its other name, and only that: generated clients for Go and Python have a `Configuration` of their own. */
export const CONFIGURATION = { Configuration: { $ref: "#/components/schemas/WebhooksFile" } };
