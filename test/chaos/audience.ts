import type { Policy } from '../../src/config/policies';
import type { Cast, Part } from './cast';

/** Who must get a message. For each of its readers a message is settled separately. */
export interface Audience {
  readonly partOf: (topic: string) => Part;
  readonly readersOf: (topic: string) => readonly string[];
  /** The reader that a subscriber of the topic is, or that it is a part of. */
  readonly readerOf: (subscriber: string, topic: string) => string;
  /** Whether each reader of the topic is one client: among several there is no order. */
  readonly isAlone: (topic: string) => boolean;
  /** A client subscribes to a topic whose readers are whoever has come (busy.ts). @returns false when it is one of them already, or the topic is another. */
  readonly join: (subscriber: string, topic: string) => boolean;
  readonly hasJoined: (subscriber: string, topic: string) => boolean;
}

const ANYBODY = '*';

/** The first acknowledgement decides, whosever it is. */
function queueAudience(cast: Cast): Audience {
  const partOf = (topic: string) => cast.partOf(topic);
  return {
    partOf,
    readersOf: (topic) => (partOf(topic).isServed ? [ANYBODY] : []),
    readerOf: () => ANYBODY,
    isAlone: (topic) => partOf(topic).members.length === 1,
    join: () => false,
    hasJoined: () => false,
  };
}

/** Every subscriber; the members of a shared group together. */
function pubsubAudience(cast: Cast): Audience {
  const partOf = (topic: string) => cast.partOf(topic);
  const joined = new Set<string>();
  const isBusy = (filter: string) => cast.parts.some(({ kind, filters }) => kind === 'busy' && filters.includes(filter));
  return {
    partOf,
    readersOf(topic) {
      const { name, kind, members, isShared, isServed } = partOf(topic);
      if (!isServed) return [];
      return isShared ? [name] : kind === 'busy' ? [...joined] : members;
    },
    readerOf(subscriber, topic) {
      const { name, isShared } = partOf(topic);
      return isShared ? name : subscriber;
    },
    isAlone: (topic) => !partOf(topic).isShared,
    join(subscriber, topic) {
      if (!isBusy(topic) || joined.has(subscriber)) return false;
      joined.add(subscriber);
      return true;
    },
    hasJoined: (subscriber, topic) => isBusy(topic) && joined.has(subscriber),
  };
}

export const audienceOf = (mode: Policy['mode'] | undefined, cast: Cast): Audience =>
  mode === 'pubsub' ? pubsubAudience(cast) : queueAudience(cast);
