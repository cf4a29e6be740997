/** Whether a webhook sends, and why it was disabled. */
export const WEBHOOK_STATUSES = ["active", "paused", "disabled"] as const;
export type WebhookStatus = (typeof WEBHOOK_STATUSES)[number];
export const STATUS_REASONS = ["gone", "failing"] as const;
export type StatusReason = (typeof STATUS_REASONS)[number];
