/** The field of a search that names an event: any name, the documented ones to choose from. */
import { EVENT_TYPES } from "../../domain/event";

export function EventNameField({ value }: { value: string | undefined }) {
  return (
    <label>
      Event name
      <input
        name="event"
        list="event-names"
        value={value ?? ""}
        placeholder="any"
        spellcheck={false}
        autocomplete="off"
      />
      <datalist id="event-names">
        {Object.keys(EVENT_TYPES).map((name) => (
          <option value={name} />
        ))}
      </datalist>
    </label>
  );
}
