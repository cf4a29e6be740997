/** Files of this folder are served as they are: importing one gives its text (wrangler.toml, `[[rules]]`). */
declare module "*.css" {
  const text: string;
  export default text;
}
declare module "*/client/live.js" {
  const text: string;
  export default text;
}
declare module "*.svg" {
  const text: string;
  export default text;
}
