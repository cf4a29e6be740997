/** Work of many pages, one with each form: how far it is, and the form that goes on; with the script it is sent by itself. */
import type { Child } from "hono/jsx";
import { type Form, text } from "./form";
import { number } from "./format";
import { type ButtonTone, Hidden, Submit } from "./parts";

/** How far the forms before this one came. */
export type SoFar = {
  done: number;
  /** As it was counted; null where it was not, or not to the end. */
  of: number | null;
};

const NUMBER = /^\d{1,9}$/;

export function soFarIn(form: Form): SoFar {
  const [done, of] = [text(form, "so_far"), text(form, "of")];
  return {
    done: NUMBER.test(done) ? Number(done) : 0,
    of: NUMBER.test(of) ? Number(of) : null,
  };
}

type GoOnProps = {
  action: string;
  fields: Readonly<Record<string, string>>;
  soFar: SoFar;
  /** What was done so far. */
  headline: Child;
  tone: ButtonTone;
  /** Where one who stops is led. */
  out: string;
};

export function GoOn({ action, fields, soFar: { done, of }, headline, tone, out }: GoOnProps) {
  const isKnown = of !== null && of > done;
  return (
    <section class="panel narrow" aria-label="So far">
      <p class="headline" role="status">
        {headline}
      </p>
      <progress aria-label="So far" {...(isKnown && { value: done, max: of })} />
      {isKnown && (
        <p class="quiet">
          {number(done)} of {number(of)}
        </p>
      )}
      <form method="post" action={action} data-once="" data-goes-on="">
        <Hidden
          fields={{ ...fields, so_far: String(done), ...(of !== null && { of: String(of) }) }}
        />
        <Submit tone={tone} out={[out, "Stop here"]}>
          Go on
        </Submit>
      </form>
    </section>
  );
}
