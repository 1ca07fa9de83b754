import type { Policy } from '../../src/config/policies';
import { createMetrics } from '../../src/base/metrics';
import type { Delivery, EmqxApi, HeldView, PublishOutcome, SessionView } from '../../src/emqx/api';
import type { DeliveryRequest, MailEvent } from '../../src/lanes/jobs';
import type { Due } from '../../src/lanes/lanes';
import type { LaneProgress } from '../../src/lanes/sequence';
import { AcceptedAcks } from '../../src/mailbox/accepted-acks';
import type { Mailbox } from '../../src/mailbox/box/mailbox';
import { loadMailbox } from '../../src/mailbox/pass/boxes';
import { MailPass, type Failure } from '../../src/mailbox/pass/pass';
import { MSGID_PROPERTY, Signer } from '../../src/mailbox/signature';
import { clientKey, consumerOf, mailboxKey } from '../../src/mqtt/consumer';
import { MemoryStore } from '../support/memory-store';
import { message } from '../support/messages';
import { policy } from '../support/policies';
import { MemoryState } from './simulation/state';

/** One pass at a time over mailboxes, on a store and a shared state in memory, with an EMQX that answers what the test says. */
export class PassWorld {
  now = 20_000;
  readonly store = new MemoryStore();
  readonly state = new MemoryState(() => this.now);
  readonly acks = new AcceptedAcks(null);
  readonly signer = new Signer('key');
  /** Requests to publish, and what each had. */
  readonly requests: Delivery[][] = [];
  /** Clients whose inbox was subscribed. */
  readonly opened: string[] = [];
  /** Clients that EMQX was asked for. */
  readonly asked: string[] = [];
  readonly mail: MailEvent[] = [];
  readonly wakes: Due[] = [];
  readonly aside: string[] = [];
  /** EMQX's answer to a delivery. */
  outcome: (delivery: Delivery, i: number) => PublishOutcome = (_, i) => ({ result: 'delivered', id: `REST${this.requests.length}-${i}` });
  /** Called while EMQX publishes; an error that it throws is EMQX's answer. */
  publishing: () => void | Promise<void> = () => undefined;
  /** EMQX's view of the client's session; by default the session has just begun. */
  session: (clientid: string) => SessionView | null = () => ({
    connected: true,
    connectedAt: 19_800,
    createdAt: 19_800,
    persistent: false,
    durable: false,
    queued: 0,
    inflight: 0,
  });
  held: HeldView = { kind: 'list', messages: [], complete: true };
  progress: (lane: string) => LaneProgress = () => ({ tail: 0, oldest: null, waiting: null });
  private readonly pass: MailPass;

  constructor(
    fields: Partial<Policy> | readonly Partial<Policy>[] = {},
    change: (deps: ConstructorParameters<typeof MailPass>[0]) => Partial<ConstructorParameters<typeof MailPass>[0]> = () => ({}),
  ) {
    const policies = Array.isArray(fields) ? fields.map(policy) : [policy(fields as Partial<Policy>)];
    const deps: ConstructorParameters<typeof MailPass>[0] = {
      ...{
        store: this.store.asStore(),
        state: this.state,
        emqx: this.emqx(),
        signer: this.signer,
        acks: this.acks,
        policies,
        metrics: createMetrics(),
      },
      sequence: { progress: async (lanes) => new Map(lanes.map((lane) => [lane, this.progress(lane)])) },
      laneCounts: { messages: 1, clients: 2 },
      lanes: { mail: async (events) => void this.mail.push(...events), wake: async (due) => void this.wakes.push(...due) },
      clients: { apply: async () => new Map() },
      setAside: async ({ id }, reason) => void this.aside.push(`${id}: ${reason}`),
      now: () => this.now,
    };
    this.pass = new MailPass({ ...deps, ...change(deps) });
  }

  private emqx(): EmqxApi {
    const publish: EmqxApi['publish'] = async (deliveries) => {
      await this.publishing();
      this.requests.push([...deliveries]);
      return deliveries.map((each, i) => this.outcome(each, i));
    };
    const subscribe: EmqxApi['subscribe'] = async (clientid) => {
      if (this.session(clientid)?.connected !== true) return 'not-connected';
      this.opened.push(clientid);
      return 'subscribed';
    };
    const session: EmqxApi['session'] = async (clientid) => {
      this.asked.push(clientid);
      return this.session(clientid);
    };
    return { publish, subscribe, session, held: async () => this.held } as unknown as EmqxApi;
  }

  /** Messages that were published long before any subscription. */
  async stored(topic: string, ...ids: string[]): Promise<void> {
    await this.store.saveMessages(ids.map((id) => message({ topic, id, publishReceivedAt: 1 })));
  }

  handle(events: readonly MailEvent[], isRepeated = false): Promise<Failure[]> {
    return this.pass.handle(events, isRepeated);
  }

  /** The passes that are asked for until then. */
  async until(now: number): Promise<void> {
    for (;;) {
      const next = this.wakes.filter(({ at }) => at <= now).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.wakes.splice(this.wakes.indexOf(next), 1);
      this.now = Math.max(this.now, next.at);
      expect(await this.handle([{ to: next.to, kind: 'wake' }])).toEqual([]);
    }
    this.now = Math.max(this.now, now);
  }

  /** Topic and stored id of everything that EMQX was given. */
  get published(): string[] {
    return this.requests.flat().map(({ topic, properties }) => `${topic} ${properties.userProperties[MSGID_PROPERTY]}`);
  }

  async mailbox(consumer: string): Promise<Mailbox | null> {
    return loadMailbox(this.state, mailboxKey(consumer));
  }

  async out(consumer: string): Promise<string[]> {
    return [...((await this.mailbox(consumer))?.out.keys() ?? [])];
  }
}

export const deliver = (clientid: string, filter: string, fields: Partial<DeliveryRequest> = {}): MailEvent => {
  const request: DeliveryRequest = { clientid, filter, qos: 1, at: 19_900, ...fields };
  return { to: mailboxKey(consumerOf(request)), kind: 'deliver', request };
};
/** The acknowledgement of a delivery of the server, in the client's own mailbox. */
export const acked = (clientid: string, id: string, topic = 't', fields: object = {}): MailEvent => ({
  to: clientKey(clientid),
  kind: 'acked',
  clientid,
  id,
  topic,
  ours: true,
  ...fields,
});
