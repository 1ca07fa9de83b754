import type { QoS } from './message';

/** Old rows of EMQX's backends have been seen with QoS -1. */
export function clampQos(qos: number): QoS {
  return qos <= 0 ? 0 : qos >= 2 ? 2 : 1;
}
