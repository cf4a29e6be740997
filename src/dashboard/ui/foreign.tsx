import { visible } from "../../domain/foreign-text";

/** What somebody else wrote. Its writing direction ends with it. */
export function foreign(text: string) {
  return <bdi>{visible(text)}</bdi>;
}
