/** Whether a webhook sends, and why it was disabled. */
export type WebhookStatus = "active" | "paused" | "disabled";
export type StatusReason = "gone" | "failing";
