import { visible } from "../../domain/foreign-text";

/** What somebody else wrote. Its writing direction ends with it. */
export function Foreign({ text }: { text: string }) {
  return <bdi>{visible(text)}</bdi>;
}
