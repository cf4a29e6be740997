/** What helps a webhook that has a problem, as one button. */
import { boundOf, isSoonOver } from "../../domain/late";
import { number } from "../ui/format";
import { newToken } from "../ui/once";
import { Action } from "../ui/parts";
import { webhookPath } from "../ui/paths";
import { useViewer } from "../ui/viewer";
import { figuresOf } from "./late";
import { hasStumbled, isFailing, type Watched } from "./problem";

/** Nothing where none does, or for whoever may only look. */
export function Help({ watched }: { watched: Watched }) {
  const { webhook, stats } = watched;
  if (!useViewer().mayChange) return null;
  const path = webhookPath(webhook.id);
  const { state, pending, undeliverable } = stats.health;
  // What waits for nothing but a replay is not helped by a resume.
  const isForReplay = pending === 0 && undeliverable > 0;
  if (state === "disabled" || (state === "paused" && !isForReplay)) {
    return (
      <Action action={`${path}/resume`} tone="primary">
        Resume
      </Action>
    );
  }
  const isTried = isFailing(watched) && (pending > 0 || undeliverable === 0);
  if (isTried || (hasStumbled(watched) && pending > 0)) {
    return (
      <Action action={`${path}/try`} tone="primary" isOnce>
        Try now
      </Action>
    );
  }
  if (state === "late" && !isSoonOver(webhook, figuresOf(stats))) {
    return (
      <a class="button" href={`${path}/edit?pace#${boundOf(webhook, figuresOf(stats)).field}`}>
        Change its pace
      </a>
    );
  }
  if (undeliverable === 0) return null;
  return (
    <Action
      action={`${path}/replay`}
      tone="primary"
      isOnce
      fields={{
        step: "go",
        token: newToken(),
        only: "undeliverable",
        of: String(undeliverable),
        since: new Date(webhook.createdAtMs).toISOString(),
      }}
    >
      Replay {number(undeliverable)}
    </Action>
  );
}
