/** What an event is like, as lists and its own page say it. */
import { Badge } from "../ui/parts";
import { Time } from "../ui/time";

const KIB = 1_024;

/** A time that a stranger gave: as one if it is one, else as it is. */
export function GivenTime({ text, zone }: { text: string | null; zone: string }) {
  const ms = text === null ? Number.NaN : Date.parse(text);
  if (text !== null && Number.isNaN(ms)) return <code>{text}</code>;
  return <Time ms={text === null ? null : ms} zone={zone} none="missing" />;
}

export function Conformity({ conforms }: { conforms: boolean }) {
  return conforms ? <>yes</> : <Badge tone="warn">no</Badge>;
}

export function sizeOf(bytes: number): string {
  return bytes < KIB ? `${bytes} B` : `${(bytes / KIB).toFixed(1)} KiB`;
}
