import type { QoS } from './message';

/** Tables of EMQX's own backends may contain rows with QoS -1. */
export function clampQos(qos: number): QoS {
  return qos <= 0 ? 0 : qos >= 2 ? 2 : 1;
}
