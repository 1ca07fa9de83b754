import { NEVER_EXPIRES } from '../events/event';
import type { ClientChange } from '../lanes/jobs';

/**
 * The event that the change came from, for a dead letter that can be retried. An operator's request is not an event and
 * stays a change.
 */
export function changeBody(change: ClientChange): unknown {
  const { clientid, at } = change;
  switch (change.kind) {
    case 'connected':
      return { event: 'client.connected', clientid, node: change.node, connected_at: at, ...sessionColumns(change) };
    case 'disconnected':
      return { event: 'client.disconnected', clientid, node: change.node, connected_at: change.connectedAt, disconnected_at: at };
    case 'subscribed':
      return { event: 'session.subscribed', clientid, topic: change.filter, qos: change.qos, timestamp: at };
    case 'unsubscribed':
      return { event: 'session.unsubscribed', clientid, topic: change.filter, timestamp: at };
    case 'assigned':
    case 'withdrawn':
      return { change };
  }
}

function sessionColumns({ cleanStart, expiryMs, sessionOnly }: Extract<ClientChange, { kind: 'connected' }>): object {
  return {
    ...(typeof cleanStart === 'boolean' && { clean_start: cleanStart }),
    ...(typeof expiryMs === 'number' && { expiry_interval: expiryMs === NEVER_EXPIRES ? 0xffffffff : expiryMs / 1_000 }),
    ...(sessionOnly === true && { rule_set: 'offline-messages' }),
  };
}
