/** Writing down what somebody did beside changing a webhook: the Registry writes those down itself. */
import { REGISTRY_NAME } from "../domain/placement";

export type Deed = {
  /** Who: a fingerprint of the API key. */
  by: { key: string };
  action: string;
  webhookId: string | null;
  after: Record<string, unknown>;
};

export async function writeDown(env: Env, deed: Deed): Promise<void> {
  await env.REGISTRY.getByName(REGISTRY_NAME).addToAudit(deed);
}
