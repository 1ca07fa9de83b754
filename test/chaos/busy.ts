import type { Part } from './cast';

/** One topic with many readers (pubsub mode): those below from the start, and more that come while what everybody has read is purged. */
export const BUSY: Part = {
  ...{ kind: 'busy', name: 'busy', topics: ['busy/1'], filters: ['busy/1'], isShared: false, isServed: true },
  members: Array.from({ length: 4 }, (_, i) => `busy-${i}`),
  manner: { stays: true },
  weight: 40,
};

/** The readers that come later: one after so many ms, and so many at most. */
export const JOIN = { everyMs: 1_000, most: 24 } as const;
export const joinerName = (i: number): string => `busy-new-${i}`;
