import type { ClientChange } from '../../lanes/jobs';
import type { ClientState } from '../../stores/store';

export type ConnectionChange = Extract<ClientChange, { kind: 'connected' | 'disconnected' }>;

/**
 * The state of a client after an event. The same events in another order give the same state. When a client id connects
 * a second time, EMQX ends its first connection, possibly on another node. The `disconnected` event of the first
 * connection may then arrive last, or have the later time. Its `connectedAt` tells which connection ended.
 */
export function stateAfter(state: ClientState | null, change: ConnectionChange): ClientState {
  return change.kind === 'connected' ? connected(state, change) : disconnected(state, change);
}

type Connected = Extract<ConnectionChange, { kind: 'connected' }>;
type Disconnected = Extract<ConnectionChange, { kind: 'disconnected' }>;

function connected(state: ClientState | null, { clientid, node, at }: Connected): ClientState {
  if (state !== null && !isNewConnection(state, node, at)) return state;
  return { clientid, connected: true, node, connectedAt: at, disconnectedAt: state?.disconnectedAt ?? null, at: latest(at, state?.at) };
}

function isNewConnection(state: ClientState, node: string | null, at: number): boolean {
  // Only the end of a connection is known. If an event has the same millisecond, a client more probably came back than
  // came and went.
  if (state.connectedAt === null) return at >= (state.disconnectedAt ?? state.at);
  // Two events within one millisecond are two connections if their nodes differ; on the same node they are one event,
  // sent twice.
  return at > state.connectedAt || (at === state.connectedAt && isOther(node, state.node));
}

function disconnected(state: ClientState | null, change: Disconnected): ClientState {
  const { clientid, node, at, connectedAt } = change;
  const disconnectedAt = latest(at, state?.disconnectedAt);
  if (state !== null && !endsCurrent(state, change)) return { ...state, disconnectedAt };
  return {
    ...{ clientid, connected: false, node: node ?? state?.node ?? null },
    ...{ connectedAt: connectedAt ?? state?.connectedAt ?? null, disconnectedAt, at: latest(at, state?.at) },
  };
}

/** Whether the event is about the connection that the state knows, or about a younger one. */
function endsCurrent(state: ClientState, { node, at, connectedAt }: Disconnected): boolean {
  if (connectedAt === null || state.connectedAt === null)
    return at > (state.connectedAt ?? state.at) || (!state.connected && at === state.at);
  return connectedAt > state.connectedAt || (connectedAt === state.connectedAt && !(state.connected && isOther(node, state.node)));
}

function isOther(node: string | null, known: string | null): boolean {
  return node !== null && known !== null && node !== known;
}

/** The greater of both times, because the store keeps the state with the greatest `at`. */
function latest(at: number, known: number | null | undefined): number {
  return Math.max(at, known ?? 0);
}
