/** The webhooks of a crash run and the services behind them: real HTTP servers that survive every crash. */
import {
  type Answer,
  type Behaviour,
  type ReceivedRequest,
  startReceiver,
} from "../../scripts/receiver.ts";
import type { AcceptedEvent, Request } from "../rig/account.ts";
import type { Api } from "../rig/api.ts";
import type { Chance } from "../simulation/chance.ts";

/** The part of an envelope that webhooks choose by. */
type Envelope = { event: string; data: { reply?: { classification?: string } } };

export type Plan = {
  name: string;
  registration: Record<string, unknown>;
  /** What the registration asks for, in code. */
  isWanted: (event: Envelope) => boolean;
  behaviour: (chance: Chance) => Behaviour;
};

/** Slow enough that kills land within deliveries. */
const answering =
  (minMs: number, maxMs: number, failures: number) =>
  (chance: Chance): Behaviour =>
  () => {
    const delayMs = chance.between(minMs, maxMs);
    if (!chance.happens(failures)) return { status: chance.pick([200, 204]), delayMs };
    return chance.weighted<Answer>([
      [4, { status: 500, delayMs, body: "it is not my day" }],
      [2, { status: 404, delayMs }],
      [1, "reset"],
    ]);
  };

const isReply = ({ event }: Envelope) => event === "reply.received";

export const PLANS: readonly Plan[] = [
  {
    name: "good",
    registration: { events: ["*"] },
    isWanted: () => true,
    behaviour: answering(5, 200, 0),
  },
  {
    name: "failing",
    registration: { events: ["message.sent", "message.bounced"] },
    isWanted: ({ event }) => event.startsWith("message."),
    behaviour: answering(20, 250, 0.12),
  },
  {
    name: "ordered",
    registration: {
      events: ["reply.received"],
      filter: { "data.reply.classification": { $ne: "out_of_office" } },
      ordered: true,
    },
    isWanted: (event) => isReply(event) && event.data.reply?.classification !== "out_of_office",
    behaviour: answering(5, 50, 0.01),
  },
  {
    name: "wide",
    registration: { events: ["*"], concurrency: 60 },
    isWanted: () => true,
    behaviour: answering(50, 400, 0.01),
  },
];

/** Takes every request and answers none. */
export const HANGING: Plan = {
  name: "hanging",
  registration: { events: ["*"] },
  isWanted: () => true,
  behaviour: () => () => "hang",
};

export class Service {
  readonly name: string;
  readonly webhookId: string;
  readonly ordered: boolean;
  readonly hangs: boolean;
  readonly concurrency: number;
  readonly isWanted: Plan["isWanted"];
  /** What the webhook is owed, in the order in which its Subscriber has it. */
  readonly owed: AcceptedEvent[] = [];
  readonly requests: readonly Request[];
  readonly #close: () => Promise<void>;

  private constructor(
    plan: Plan,
    webhookId: string,
    { requests, close }: { requests: Request[]; close: () => Promise<void> },
  ) {
    this.name = plan.name;
    this.webhookId = webhookId;
    this.ordered = plan.registration.ordered === true;
    this.hangs = plan === HANGING;
    this.concurrency = Number(plan.registration.concurrency ?? 6);
    this.isWanted = plan.isWanted;
    this.requests = requests;
    this.#close = close;
  }

  /** Starts the receiver and registers it. @param life the one that runs, asked with each request. */
  static async open(
    plan: Plan,
    { api, chance, life }: { api: Api; chance: Chance; life: () => number },
  ): Promise<Service> {
    const requests: Request[] = [];
    const receiver = await startReceiver({
      behaviour: plan.behaviour(chance),
      onRequest: (request: ReceivedRequest) => requests.push({ ...request, life: life() }),
    });
    try {
      const url = `${receiver.url}/${plan.name}`;
      const webhook = await api.register({ url, ...plan.registration });
      receiver.secret = webhook.signingSecret;
      return new Service(plan, webhook.id, { requests, close: receiver.close });
    } catch (thrown) {
      await receiver.close();
      throw thrown;
    }
  }

  close(): Promise<void> {
    return this.#close();
  }
}
