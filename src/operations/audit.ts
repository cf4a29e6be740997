/** Writing down what somebody did beside changing a webhook: the Registry writes those down itself. */
import { registry } from "./objects";

export type Deed = {
  /** Who: a fingerprint of the API key. */
  by: { key: string };
  action: string;
  webhookId: string | null;
  after: Record<string, unknown>;
};

export async function writeDown(env: Env, deed: Deed): Promise<void> {
  await registry(env).addToAudit(deed);
}
