import { RefusedError } from '../../base/errors';
import { atMostEvery, type Logger } from '../../base/log';
import type { Metrics } from '../../base/metrics';
import { eachOf } from '../../base/parallel';
import type { Delivery, EmqxApi } from '../../emqx/api';
import type { RetainerApi } from '../../emqx/retainer';
import type { SharedState } from '../../lanes/state';
import type { Message } from '../../mqtt/message';
import { deliveryOf } from '../delivery';
import type { Address, Signer } from '../signature';
import { GRACE_MS } from '../times';
import type { RestoredCopies } from './restored-copies';
import type { RetainedIds } from './retained-ids';

/** Parallel requests, to EMQX or to the shared state. */
export const PARALLEL = 8;
const LEASE_OWNER = 'restore';
/** A broker may refuse any number of messages: the log has one line of each kind in this time. */
const LOG_MS = 60_000;
const FOR_NOBODY: Address = { mailbox: '', kind: 'retained' };

export interface RetainedPublisherDeps {
  readonly emqx: Pick<EmqxApi, 'publish'>;
  readonly retainer: Pick<RetainerApi, 'idOf'>;
  readonly state: Pick<SharedState, 'lease'>;
  readonly copies: RestoredCopies;
  readonly ids: RetainedIds;
  readonly signer: Signer;
  readonly metrics: Pick<Metrics, 'retainedRestored'>;
  readonly log: Pick<Logger, 'warn'>;
  readonly now: () => number;
}

/** Finds out which retained messages EMQX lacks, and publishes them. It notes the server's own copies in RestoredCopies. */
export class RetainedPublisher {
  private readonly unnamed: (fields: object) => void;
  private readonly unretained: (fields: object) => void;

  constructor(private readonly deps: RetainedPublisherDeps) {
    const { log } = deps;
    this.unnamed = atMostEvery(LOG_MS, (fields) => log.warn(fields, 'retained message not restored: EMQX cannot be asked about its topic'));
    this.unretained = atMostEvery(LOG_MS, (fields) =>
      log.warn(fields, 'EMQX did not retain a restored message; look into its log for the reason'),
    );
  }

  /** The messages of whose topics EMQX retains none. `unknown`: for how many EMQX can't be asked. */
  async absentOf(messages: readonly Message[]): Promise<{ absent: Message[]; unknown: number }> {
    const absent: Message[] = [];
    let unknown = 0;
    await eachOf(messages, PARALLEL, async (message) => {
      const copyId = await this.idOf(message.topic);
      if (copyId === null) absent.push(message);
      else if (copyId === undefined) unknown++;
      else await this.recognize(message, copyId);
    });
    return { absent, unknown };
  }

  /**
   * undefined if EMQX can't answer for this topic. The server then publishes nothing to it, because EMQX may have a
   * message there. The other topics don't wait for it.
   */
  private async idOf(topic: string): Promise<string | null | undefined> {
    try {
      return await this.deps.retainer.idOf(topic);
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      this.unnamed({ topic, reason: error.message });
      return undefined;
    }
  }

  /** A process published this copy and died before it knew EMQX's id of it. */
  private async recognize({ topic }: Message, copyId: string): Promise<void> {
    const copy = await this.deps.copies.of(topic);
    if (copy !== null && copy.copyId === null && copyId > copy.id) await this.deps.copies.note(topic, { ...copy, copyId });
  }

  /** @returns the topics of which EMQX retains the message now. */
  async publish(messages: readonly Message[]): Promise<Set<string>> {
    const { emqx, retainer, metrics, state } = this.deps;
    const retained = new Set<string>();
    if (messages.length === 0) return retained;
    // A client that subscribes meanwhile gets the message from EMQX. The claim keeps the server from sending it as
    // well.
    await this.deps.ids.note(messages.map((message) => ({ ...message, retain: true })));
    await state.lease(
      messages.map(({ id }) => ({ name: id, owner: LEASE_OWNER })),
      GRACE_MS,
    );
    const outcomes = await emqx.publish(messages.map((message) => this.retainedDelivery(message)));
    await eachOf(messages, PARALLEL, async (message) => {
      const outcome = outcomes[messages.indexOf(message)];
      const copyId = await retainer.idOf(message.topic);
      metrics.retainedRestored.inc({ outcome: copyId === null ? 'refused' : 'restored' });
      // EMQX's answer does not show that it did not retain a message: the message may be larger than the limit, above
      // the rate, or the table may be full.
      if (copyId === null) return this.unretained({ event_id: message.id, topic: message.topic, outcome: outcome?.result });
      retained.add(message.topic);
      await this.deps.copies.note(message.topic, { copyId, id: message.id });
    });
    return retained;
  }

  private retainedDelivery(message: Message): Delivery {
    const { topic, qos } = message;
    return { ...deliveryOf(message, { topic, qos, now: this.deps.now() }, this.deps.signer, FOR_NOBODY), retain: true };
  }

  /** A publish with an empty payload deletes the topic's retained message. */
  async clear(topic: string, id: string): Promise<void> {
    const { emqx, signer } = this.deps;
    const { properties } = deliveryOf({ id, properties: {} } as Message, { topic, qos: 0, now: 0 }, signer, FOR_NOBODY);
    await emqx.publish([{ topic, qos: 0, retain: true, payload: Buffer.alloc(0), properties }]);
  }
}
