import type { Message, MessageRef } from '../../mqtt/message';

/** How messages are written. Each call gets what fits into one request. */
export interface MessageWriter {
  /** The ids differ. A message that is stored already, or that has a tombstone at this time (ms), changes nothing. */
  save(messages: readonly Message[], now: number): Promise<void>;
  /**
   * @param tombstoneUntil null leaves no tombstones; valid ones stay.
   * @returns how many were stored.
   */
  remove(refs: readonly MessageRef[], now: number, tombstoneUntil: number | null): Promise<number>;
  /** The topic of each stored message whose entry in Keys.lives is due at this time (ms); null for every other id. */
  dueTopicsOf(ids: readonly string[], now: number): Promise<(string | null)[]>;
}

/** When a message expires, as a score of Keys.lives. */
export const lifeOf = ({ expiresAt }: Pick<Message, 'expiresAt'>): string | number =>
  expiresAt === null ? '+inf' : Math.max(0, expiresAt);
