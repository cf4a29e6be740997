/** Code that verifies a delivery, ready to be taken over; `RELAY_SECRET` is the webhook's signing secret. */

/** By language. The first way needs nothing new where a handler for Leadterra's own webhooks exists. */
export const SAMPLES: Record<"leadterra" | "standard", Readonly<Record<string, string>>> = {
  leadterra: {
    "Node or TypeScript": `import { createHmac, timingSafeEqual } from "node:crypto";

/** @param body the raw bytes; @param signature the header X-Leadterra-Signature, if there is one */
export function isGenuine(body: Buffer, signature: string | null | undefined): boolean {
  const secret = process.env.RELAY_SECRET ?? ""; // the whole of it, with whsec_
  const expected = Buffer.from(createHmac("sha256", secret).update(body).digest("hex"));
  const given = Buffer.from(signature ?? "");
  return given.length === expected.length && timingSafeEqual(given, expected);
}
`,
    Python: `import hashlib, hmac, os

def is_genuine(body: bytes, signature) -> bool:    # the header X-Leadterra-Signature, or None
    secret = os.environ["RELAY_SECRET"].encode()   # the whole of it, with whsec_
    expected = hmac.new(secret, body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), (signature or "").encode())
`,
  },
  standard: {
    "Node or TypeScript": `import { Webhook } from "standardwebhooks"; // npm install standardwebhooks

const webhook = new Webhook(process.env.RELAY_SECRET ?? "");

/** @param body the raw text; throws when it does not verify, or is older than five minutes */
export function eventIn(body: string, headers: Record<string, string>): unknown {
  return webhook.verify(body, headers); // webhook-id, webhook-timestamp, webhook-signature
}
`,
    Python: `import base64, hashlib, hmac, os, re, time

def is_genuine(body: bytes, headers) -> bool:
    sent_at = headers.get("webhook-timestamp", "")
    if not re.fullmatch("[0-9]{1,12}", sent_at) or abs(time.time() - int(sent_at)) > 300:
        return False
    key = base64.b64decode(os.environ["RELAY_SECRET"].removeprefix("whsec_"))
    signed = f"{headers.get('webhook-id')}.{sent_at}.".encode() + body
    expected = b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    return any(
        hmac.compare_digest(expected, each.encode())
        for each in headers.get("webhook-signature", "").split()
    )
`,
  },
};
