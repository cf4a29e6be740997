/** What an event is like, as lists and its own page say it. */
import { Foreign } from "../ui/foreign";
import { EVENTS_PATH, withQuery } from "../ui/paths";
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

type SearchLinkProps = { name: "email" | "campaignId"; value: string | null; none: string };

/** Leads to the other events of the same lead or campaign. */
export function SearchLink({ name, value, none }: SearchLinkProps) {
  if (value === null) return <span class="quiet">{none}</span>;
  return (
    <a href={withQuery(EVENTS_PATH, { [name]: value })}>
      <Foreign text={value} />
    </a>
  );
}

export function noneOf(erased: boolean): string {
  return erased ? "erased" : "–";
}
