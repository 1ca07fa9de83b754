import type { PublishOutcome } from '../../emqx/api';
import { RefusedError, RetryableError } from '../../base/errors';
import type { Message } from '../../mqtt/message';
import { isWildcard, splitShare } from '../../mqtt/topic';
import type { Claims } from '../claims';
import type { RetainedIds } from '../retained/retained-ids';
import { TOMBSTONE_MS } from '../times';
import type { SenderDeps } from './deps';
import { fateOf, isAcked, type Parcel } from './parcel';

/**
 * What is done with messages that nobody will acknowledge: because of QoS 0, because of the policy `settle: delivered`,
 * or because EMQX rejected them.
 */
export class Settling {
  constructor(
    private readonly deps: SenderDeps,
    private readonly claims: Pick<Claims, 'isFirstRefusal'>,
    private readonly retained: Pick<RetainedIds, 'idOf'>,
  ) {}

  /**
   * The topic's retained message, if EMQX has sent it on the subscription and nobody will acknowledge it. With an
   * acknowledgement to come the run skips the message and looks later (RunReader).
   */
  async sentByEmqx(parcel: Parcel): Promise<Message | null> {
    const { messages, run } = parcel;
    const unacknowledged = messages.filter((message) => message.retain && !isAcked(message, parcel));
    const [first] = unacknowledged;
    if (first === undefined || splitShare(run.filter).group !== null) return null;
    const newest = await this.retained.idOf(first.topic);
    const message = unacknowledged.find(({ id }) => id === newest);
    return message !== undefined && (await this.isRetained(message)) ? message : null;
  }

  private async isRetained({ topic, id }: Message): Promise<boolean> {
    try {
      return ((await this.deps.emqx.retainer?.idOf(topic)) ?? '') >= id;
    } catch (error) {
      if (!(error instanceof RetryableError || error instanceof RefusedError)) throw error;
      // EMQX can't answer for this topic, which must not hold up the client. Sending the message twice is better than
      // never.
      return false;
    }
  }

  /** A message whose acknowledgement will never come counts as delivered when EMQX has accepted it (promise 16). */
  async settle(parcel: Parcel, all: readonly Message[]): Promise<void> {
    const { seat, run, policy } = parcel;
    const messages = all.filter((message) => fateOf(message, parcel) === 'settle');
    if (messages.length === 0) return;
    const filters = [splitShare(run.filter).filter].filter(isWildcard);
    if (policy.mode === 'pubsub') await seat.read(messages.map(({ topic, id }) => ({ topic, id, filters })));
    else await this.remove(messages, this.deps.now() + TOMBSTONE_MS);
  }

  /**
   * A message that EMQX rejects for one client's inbox, for example because the client id is too long for a topic,
   * stays stored for the others (promise 20).
   */
  async refuse({ seat, policy, run }: Parcel, messages: readonly Message[], outcomes: readonly PublishOutcome[]): Promise<void> {
    for (const [i, message] of messages.entries()) {
      const outcome = outcomes[i];
      if (outcome?.result !== 'refused') continue;
      if (policy.deliverTo === 'inbox') {
        const reason = `EMQX refused it for the inbox of client ${run.clientid.slice(0, 100)}: ${outcome.reason}`;
        if (await this.claims.isFirstRefusal(seat.key, message.id)) await this.deps.setAside(message, reason);
      } else {
        await this.deps.setAside(message, `EMQX refused it: ${outcome.reason}`);
        // No tombstone is left, so that an operator can repair the cause and retry the dead letter.
        await this.remove([message], 0);
      }
    }
  }

  private async remove(messages: readonly Message[], tombstoneUntil: number): Promise<void> {
    await this.deps.store.removeMessages(messages, tombstoneUntil);
    this.deps.metrics.messagesRemoved.inc(messages.length);
  }
}
