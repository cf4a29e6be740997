/** What an event is like, as lists and its own page say it. */
import { Foreign } from "../ui/foreign";
import { Badge } from "../ui/parts";
import { Time } from "../ui/time";

/** A time that a stranger gave: as one if it is one, else as it is. */
export function GivenTime({ text }: { text: string | null }) {
  const ms = text === null ? Number.NaN : Date.parse(text);
  if (text !== null && Number.isNaN(ms))
    return (
      <code>
        <Foreign text={text} />
      </code>
    );
  return <Time ms={text === null ? null : ms} none="missing" />;
}

export function Conformity({ conforms }: { conforms: boolean }) {
  return conforms ? <>yes</> : <Badge tone="warn">no</Badge>;
}
