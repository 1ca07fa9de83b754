import type { Reading, Receipt } from './record';

/** Why a subscriber got a message once more; at least once is what MQTT's QoS 1 promises. */
export type Cause =
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

export type Side = 'server' | 'emqx' | 'database';
/** Which sides had a fault in the time. */
export type FaultBetween = (from: number, to: number) => ReadonlySet<Side>;

export interface Copies {
  readonly reading: Reading;
  readonly before: Receipt;
  readonly receipt: Receipt;
  readonly isAlone: boolean;
  readonly faultBetween: FaultBetween;
}

export function causeOf({ reading, before, receipt, isAlone, faultBetween }: Copies): Cause {
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
