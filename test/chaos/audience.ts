import type { Policy } from '../../src/config/policies';
import { groupOf, memberName } from './groups';

/** Who must get a message. For each of its readers a message is settled separately. */
export interface Audience {
  readonly readersOf: (topic: string) => readonly string[];
  /** The reader that a subscriber of the topic is, or that it is a part of. */
  readonly readerOf: (subscriber: string, topic: string) => string;
  /** Whether each reader of the topic is one client: among several there is no order. */
  readonly isAlone: (topic: string) => boolean;
}

const ANYBODY = '*';

/** The first acknowledgement decides, whosever it is. */
const QUEUE: Audience = {
  readersOf: () => [ANYBODY],
  readerOf: () => ANYBODY,
  isAlone: (topic) => groupOf(topic).members === 1,
};

/** Every subscriber; the members of a shared group together. */
const PUBSUB: Audience = {
  readersOf(topic) {
    const { name, members, isShared } = groupOf(topic);
    return isShared ? [name] : Array.from({ length: members }, (_, i) => memberName(name, i));
  },
  readerOf(subscriber, topic) {
    const { name, isShared } = groupOf(topic);
    return isShared ? name : subscriber;
  },
  isAlone: (topic) => !groupOf(topic).isShared,
};

export const audienceOf = (mode: Policy['mode'] | undefined): Audience => (mode === 'pubsub' ? PUBSUB : QUEUE);
