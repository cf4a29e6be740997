/** Work of many pages, one with each form: how far it is, and the form that goes on; with the script it is sent by itself. */
import { type Form, text } from "./form";
import { number } from "./format";
import { type PageOptions, page } from "./page";
import { Hidden, Submit, type SubmitTone } from "./parts";
import type { PageContext } from "./session";

const NUMBER = /^\d{1,9}$/;

/** How far the forms before this one came, `of` how many that were counted: null where not all were. */
export function soFarIn(form: Form) {
  const [done, of] = [text(form, "so_far"), text(form, "of")];
  return {
    done: NUMBER.test(done) ? Number(done) : 0,
    of: NUMBER.test(of) ? Number(of) : null,
  };
}

type Progress = ReturnType<typeof soFarIn> & {
  action: string;
  fields: Readonly<Record<string, string>>;
  headline: string;
  tone?: SubmitTone;
  /** Where one who stops is led. */
  out: string;
};

export function goOn(c: PageContext, options: PageOptions, progress: Progress) {
  const { action, fields, done, of, headline, tone = "primary", out } = progress;
  const isKnown = of !== null && of > done;
  const form = (
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
      <form method="post" action={action} data-goes-on="">
        <Hidden
          fields={{ ...fields, so_far: String(done), ...(of !== null && { of: String(of) }) }}
        />
        <Submit tone={tone} out={[out, "Stop here"]}>
          Go on
        </Submit>
      </form>
    </section>
  );
  return page(c, options, form);
}
