/** The configuration file of `npm run apply`: every webhook of a relay that has a name. */
import * as z from "zod";
import { name, putSchema } from "../src/contract/webhook-settings";

const headerValue = z
  .union([
    z.string(),
    z
      .strictObject({ $env: z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/) })
      .meta({ description: "The value of this environment variable, when the file is applied." }),
  ])
  .meta({ id: "HeaderValue" });

const webhook = putSchema
  .omit({ dryRun: true })
  .extend({ name, headers: z.record(z.string(), headerValue).nullable().optional() })
  .meta({ id: "ConfiguredWebhook" });

export const configurationSchema = z
  .strictObject({ $schema: z.string().optional(), webhooks: z.array(webhook) })
  .meta({ id: "WebhooksFile", title: "Webhooks of a Leadterra Relay" });

/** Its other name, and only that: generated clients for Go and Python have a `Configuration` of their own. */
export const CONFIGURATION = { Configuration: { $ref: "#/components/schemas/WebhooksFile" } };
