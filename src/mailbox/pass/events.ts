import type { Policy } from '../../config/policies';
import type { EmqxApi } from '../../emqx/api';
import type { MailEvent } from '../../lanes/jobs';
import { clientConsumer, consumerOf, mailboxKey } from '../../mqtt/consumer';
import { splitShare } from '../../mqtt/topic';
import { canReach } from '../../policies/overlap';
import { requestsOf, serves } from '../positions/readers';
import type { Seat } from './seat';

/**
 * The consumer whose mailbox the event is for; null if the event does not name the consumer. Then only the mailbox
 * knows it.
 */
export function consumerIn(event: MailEvent): string | null {
  switch (event.kind) {
    case 'change':
      return clientConsumer(event.change.clientid);
    case 'deliver':
      return consumerOf(event.request);
    case 'left':
    case 'late':
      return event.consumer;
    case 'acked':
      return event.group?.consumer ?? (mailboxKey(clientConsumer(event.clientid)) === event.to ? clientConsumer(event.clientid) : null);
    case 'dropped':
      return mailboxKey(clientConsumer(event.clientid)) === event.to ? clientConsumer(event.clientid) : null;
    case 'wake':
      return null;
  }
}

/**
 * Applies the seat's events, except acknowledgements (acks.ts) and drops (drops.ts). `emqx` is null if there is no EMQX
 * to deliver with.
 */
export async function applyEvents(
  seat: Seat,
  policies: readonly Policy[],
  emqx: Pick<EmqxApi, 'messageQueues'> | null,
  now: number,
): Promise<void> {
  const delivers = emqx !== null;
  for (const event of seat.events) {
    switch (event.kind) {
      case 'change':
        if (delivers) applyChange(seat, event.change, now);
        break;
      case 'deliver':
        // `$queue/...` may name a message queue of EMQX 6. Nothing that is published by REST enters such a queue, and
        // EMQX itself keeps its messages.
        if (event.request.filter.startsWith('$queue/') && (await emqx?.messageQueues?.()) === true) break;
        await register(seat, event.request, policies);
        if (delivers) seat.learn({ kind: 'subscribed', request: event.request }, now);
        break;
      case 'left':
        if (delivers) seat.learn({ kind: 'unsubscribed', clientid: event.clientid, filter: event.filter, at: event.at }, now);
        break;
      case 'late':
        await seat.late([{ topic: event.topic, id: event.id }]);
        break;
      case 'acked':
      case 'dropped':
      case 'wake':
        break;
    }
  }
}

type Change = Extract<MailEvent, { kind: 'change' }>['change'];

function applyChange(seat: Seat, change: Change, now: number): void {
  if (change.kind === 'connected') {
    seat.learn({ kind: 'connected', at: change.at, cleanStart: change.cleanStart ?? null, expiryMs: change.expiryMs ?? null }, now);
  } else if (change.kind === 'disconnected') {
    seat.learn({ kind: 'disconnected', at: change.at, connectedAt: change.connectedAt }, now);
  } else if (change.kind === 'unsubscribed') {
    seat.learn({ kind: 'unsubscribed', clientid: change.clientid, filter: change.filter, at: change.at }, now);
  }
}

/** Notes the reader of pubsub topics in its positions, from its first subscription on. */
async function register(
  seat: Seat,
  request: Extract<MailEvent, { kind: 'deliver' }>['request'],
  policies: readonly Policy[],
): Promise<void> {
  const { filter } = splitShare(request.filter);
  if (serves(request, 'pubsub') && canReach(policies, filter, 'pubsub')) await seat.subscribed(filter, request.at);
}

/** Mail for the groups (in pubsub mode) that the client leaves. */
export function leavings(policies: readonly Policy[], change: Change): MailEvent[] {
  if (change.kind !== 'unsubscribed') return [];
  const { clientid, filter, at } = change;
  return requestsOf(policies, { clientid, filter, at, qos: 0 }).flatMap(({ consumer }): MailEvent[] =>
    consumer === undefined ? [] : [{ to: mailboxKey(consumer), kind: 'left', consumer, clientid, filter, at }],
  );
}
