/** What `cloudflare:workers` gives to the objects when they run in the simulation (an alias in vitest.config.ts). */
export class DurableObject<Env> {
  protected readonly ctx: DurableObjectState;
  protected readonly env: Env;

  constructor(ctx: DurableObjectState, env: Env) {
    this.ctx = ctx;
    this.env = env;
  }
}
