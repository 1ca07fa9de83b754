import type { Reading, Receipt } from './record';

export const BOTH = 'EMQX delivered it and we did, too';

/** Why a subscriber got a message once more; at least once is what MQTT's QoS 1 promises. */
export type Cause =
  /** In a session that outlives its connections, while neither the connection nor a server died (promise 19). */
  | typeof BOTH
  | 'EMQX delivered it and we did, too; its acknowledgement waited while queue or store was away'
  /** A persistent session: EMQX sends again what was not acknowledged when the connection broke. */
  | 'EMQX itself sent it again'
  | 'its connection broke before it acknowledged'
  | 'it had acknowledged, the server had not heard of it'
  | 'EMQX had sent it too, unacknowledged when we sent it'
  | 'it was sent for another subscriber of the topic'
  | 'a server died or stood still between the copies'
  | "EMQX's answer was lost or late between the copies"
  | 'queue or store was away between the copies'
  | 'unexplained';

/** `client`: its own session's copies, nobody else's. */
export type Side = 'server' | 'emqx' | 'database' | 'client';
/** Which sides had a fault in the time. */
export type FaultBetween = (from: number, to: number) => ReadonlySet<Side>;

export interface Copies {
  readonly reading: Reading;
  /** All that this subscriber got before. */
  readonly earlier: readonly Receipt[];
  readonly before: Receipt;
  readonly receipt: Receipt;
  readonly isAlone: boolean;
  /** Its session outlives its connections. */
  readonly isPersistent: boolean;
  readonly faultBetween: FaultBetween;
}

export function causeOf(copies: Copies): Cause {
  const { reading, before, receipt, isAlone, faultBetween } = copies;
  const both = bothOf(copies);
  if (both !== null) return both;
  if (!receipt.ours) return 'EMQX itself sent it again';
  const sentAt = reading.sends.findLast((at) => at <= receipt.at) ?? receipt.at;
  if (reading.ackedAt !== null && reading.ackedAt <= sentAt) return 'it had acknowledged, the server had not heard of it';
  if (before.connection !== receipt.connection) return 'its connection broke before it acknowledged';
  if (!isAlone) return 'it was sent for another subscriber of the topic';
  if (!before.ours) return 'EMQX had sent it too, unacknowledged when we sent it';
  const first = reading.sends.find((at) => at <= before.at) ?? before.at;
  const sides = faultBetween(first, sentAt);
  if (sides.has('server')) return 'a server died or stood still between the copies';
  if (sides.has('emqx')) return "EMQX's answer was lost or late between the copies";
  if (sides.has('database')) return 'queue or store was away between the copies';
  return 'unexplained';
}

/** Whether EMQX's own copy and ours both came, without a reason. */
function bothOf({ reading, earlier, receipt, isPersistent, faultBetween }: Copies): Cause | null {
  const other = isPersistent ? earlier.findLast(({ ours }) => ours !== receipt.ours) : undefined;
  if (other === undefined || other.connection !== receipt.connection) return null;
  const sentAt = reading.sends.findLast((at) => at <= receipt.at) ?? receipt.at;
  const sides = faultBetween(Math.min(other.at, sentAt), receipt.at);
  if (sides.has('server')) return null;
  const isAckUnknown = reading.ackAcceptedAt === null || reading.ackAcceptedAt > sentAt;
  return sides.has('database') && isAckUnknown
    ? 'EMQX delivered it and we did, too; its acknowledgement waited while queue or store was away'
    : BOTH;
}
