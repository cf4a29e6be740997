/** What stands where the events will be, until there is one. */
import { exampleEvent } from "../../domain/event";
import { quoted } from "../deliveries/curl";
import { FirstSteps, type Progress } from "../overview/first-steps";
import { Code, Copy } from "../ui/parts";

export function FirstEvent({ progress }: { progress: Progress }) {
  const command = signedExample(`${progress.origin}/webhooks/leadterra`);
  return (
    <>
      <FirstSteps {...progress} />
      <details class="panel">
        <summary>Send a signed example with curl</summary>
        <p class="quiet">
          Put the signing secret into <code>LEADTERRA_SIGNING_SECRET</code> first. It is the very
          example of Leadterra's page, so the second time it counts as a duplicate.
        </p>
        <p class="actions">
          <Copy text={command}>Copy the commands</Copy>
        </p>
        <Code label="Commands that send an example" text={command} />
      </details>
    </>
  );
}

function signedExample(url: string): string {
  const body = JSON.stringify(exampleEvent("reply.received", Date.parse("2025-06-11T09:14:35Z")));
  return [
    `body=${quoted(body)}`,
    'signature=$(printf %s "$body" | openssl dgst -sha256 -hmac "$LEADTERRA_SIGNING_SECRET" -r | cut -d " " -f 1)',
    `curl ${quoted(url)} --header "X-Leadterra-Signature: $signature" --data-binary "$body"`,
  ].join("\n");
}
