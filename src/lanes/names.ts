import { createHash } from 'node:crypto';

/**
 * How many queues of each kind a backend has. The numbers are fixed, because jobs of a lane that no longer exists would
 * wait for ever.
 */
export interface LaneCounts {
  readonly messages: number;
  readonly clients: number;
}

export const messageLane = (lane: number): string => `messages-${lane}`;
/** @param sink the history's name. Its lane does not depend on the position in HISTORY_URLS. */
export const historyLane = (sink: string): string =>
  `history-${/^\w*/.exec(sink)?.[0] ?? ''}-${createHash('sha256').update(sink).digest('hex').slice(0, 8)}`;
export const clientLane = (lane: number): string => `clients-${lane}`;

/** FNV-1a over UTF-16 units. In every process the same topic or client id belongs to the same lane. */
export function laneOf(text: string, lanes: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0) % lanes;
}
