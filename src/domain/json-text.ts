/** JSON that is put in as it came: reading and writing it again would change numbers, and drop a key given twice. */
export class JsonText {
  /** One JSON document. */
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** As `JSON.stringify`, with every `JsonText` as it is. */
export function stringify(value: unknown): string {
  const texts: string[] = [];
  const mark = crypto.randomUUID();
  const whole = JSON.stringify(value, (_, each: unknown) => {
    if (!(each instanceof JsonText)) return each;
    return `${mark} ${texts.push(each.text) - 1}`;
  });
  return texts.reduce((json, text, index) => json.replace(`"${mark} ${index}"`, () => text), whole);
}
