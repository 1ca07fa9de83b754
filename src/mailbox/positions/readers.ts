import type { Policy } from '../../config/policies';
import type { DeliveryRequest } from '../../lanes/jobs';
import { groupConsumer } from '../../mqtt/consumer';
import { isWildcard, matches, splitShare } from '../../mqtt/topic';
import { canReach } from '../../policies/overlap';
import type { Subscription } from '../../stores/store';

/** Finds out from subscriptions who reads which messages. All functions are pure. */

/**
 * Whether a request reads topics of this mode. A shared subscription has one request for each mode; any other
 * subscription has one for both.
 */
export function serves({ filter, consumer }: Pick<DeliveryRequest, 'filter' | 'consumer'>, mode: Policy['mode']): boolean {
  return splitShare(filter).group === null || (consumer === undefined ? mode === 'queue' : mode === 'pubsub');
}

/**
 * The requests of a subscription. The pubsub topics of a group are read in the group's lane, everything else in the
 * client's own.
 */
export function requestsOf(policies: readonly Policy[], request: DeliveryRequest): DeliveryRequest[] {
  const { group, filter } = splitShare(request.filter);
  if (group === null) return [request];
  return [
    ...(canReach(policies, filter, 'queue') ? [request] : []),
    ...(canReach(policies, filter, 'pubsub') ? [{ ...request, consumer: groupConsumer(group) }] : []),
  ];
}

export interface Readers {
  /** Whether the acknowledgement counts for the client itself. */
  readonly client: boolean;
  readonly groups: readonly string[];
  /**
   * False if several subscriptions may have brought the message, because the acknowledgement does not say which one
   * did.
   */
  readonly sure: boolean;
}

/** Who has read a message that the client acknowledged, according to its known subscriptions. */
export function readersOf(subscriptions: readonly Subscription[], topic: string): Readers {
  const matching = subscriptions.map((each) => splitShare(each.topic)).filter(({ filter }) => matches(filter, topic));
  const groups = [...new Set(matching.flatMap(({ group }) => (group === null ? [] : [groupConsumer(group)])))];
  const plain = matching.some(({ group }) => group === null);
  return { client: plain || groups.length === 0, groups, sure: !plain && groups.length <= 1 };
}

/**
 * The consumer's wildcard filters (without `$share/...`) that match the topic. They say since when the consumer reads
 * topics that it has no position in.
 */
export function wildcardsOf(subscriptions: readonly Subscription[], consumer: string, topic: string): string[] {
  const own = subscriptions
    .map((each) => splitShare(each.topic))
    .filter(({ group, filter }) => {
      const whose = group === null ? null : groupConsumer(group);
      return (whose === null ? !consumer.startsWith('$share/') : whose === consumer) && isWildcard(filter) && matches(filter, topic);
    });
  return [...new Set(own.map(({ filter }) => filter))];
}
