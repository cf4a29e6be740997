/** One line of an attempt log. */
import * as z from "zod";
import { type AttemptRecord, DELIVERY_ERRORS, TRIGGERS } from "../domain/delivery";
import { shown } from "../domain/time";
import { text, time } from "./fields";
import type { Fields } from "./route";

/** One list for attempts and deliveries: generators make constants of its words, which must not be there twice. */
export const deliveryError = z.enum(DELIVERY_ERRORS).meta({ id: "DeliveryError" });

export const attempt = z
  .object({
    number: z.int().positive(),
    trigger: z.enum(TRIGGERS).meta({ id: "Trigger" }),
    startedAt: time,
    durationMs: z.number().nonnegative(),
    statusCode: z.int().nullable(),
    error: deliveryError.nullable().meta({ description: "null on success: a status of 200–299." }),
    responseBody: text.nullable().meta({
      description: "The beginning of the answer, with secrets replaced by ***.",
    }),
    responseTruncated: z.boolean(),
    responseHeaders: z
      .record(z.string(), z.string())
      .nullable()
      .meta({ description: "Of a failure; null for a success." }),
  } satisfies Fields<AttemptRecord>)
  .meta({ id: "Attempt" });

/** An object of the release before does not say the headers. */
export function shownAttempt(record: AttemptRecord): z.infer<typeof attempt> {
  return shown({ ...record, responseHeaders: record.responseHeaders ?? null });
}

export const ATTEMPT_EXAMPLE: z.infer<typeof attempt> = {
  number: 1,
  trigger: "scheduled",
  startedAt: "2026-11-23T09:14:36.480Z",
  durationMs: 212,
  statusCode: 503,
  error: "status",
  responseBody: "try later",
  responseTruncated: false,
  responseHeaders: { "content-type": "text/plain", server: "nginx" },
};
