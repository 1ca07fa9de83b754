import type { Policy } from '../../config/policies';
import type { DeliveryRequest } from '../../lanes/jobs';
import { groupConsumer } from '../../mqtt/consumer';
import { isWildcard, matches, splitShare } from '../../mqtt/topic';
import { canReach } from '../../policies/overlap';
import type { Subscription } from '../../stores/store';

/** Who reads what, from subscriptions. Pure functions. */

/** Whether a request reads topics of this mode: a shared subscription has one request for each of the modes, any other one for both. */
export function serves({ filter, consumer }: Pick<DeliveryRequest, 'filter' | 'consumer'>, mode: Policy['mode']): boolean {
  return splitShare(filter).group === null || (consumer === undefined ? mode === 'queue' : mode === 'pubsub');
}

/** What to deliver for a subscription: a group's pubsub topics are read in the group's lane, everything else in the client's own. */
export function requestsOf(policies: readonly Policy[], request: DeliveryRequest): DeliveryRequest[] {
  const { group, filter } = splitShare(request.filter);
  if (group === null) return [request];
  return [
    ...(canReach(policies, filter, 'queue') ? [request] : []),
    ...(canReach(policies, filter, 'pubsub') ? [{ ...request, consumer: groupConsumer(group) }] : []),
  ];
}

export interface Readers {
  /** The acknowledgement counts for the client itself. */
  readonly client: boolean;
  readonly groups: readonly string[];
  /** Of several subscriptions that brought the message, or may have, an acknowledgement does not say which. */
  readonly sure: boolean;
}

/** Who has read a message that the client acknowledged: by its subscriptions as far as they are known. */
export function readersOf(subscriptions: readonly Subscription[], topic: string): Readers {
  const matching = subscriptions.map((each) => splitShare(each.topic)).filter(({ filter }) => matches(filter, topic));
  const groups = [...new Set(matching.flatMap(({ group }) => (group === null ? [] : [groupConsumer(group)])))];
  const plain = matching.some(({ group }) => group === null);
  return { client: plain || groups.length === 0, groups, sure: !plain && groups.length <= 1 };
}

/** The consumer's wildcard filters (without `$share/...`) that match the topic: they say since when it reads topics it has no position in. */
export function wildcardsOf(subscriptions: readonly Subscription[], consumer: string, topic: string): string[] {
  const own = subscriptions
    .map((each) => splitShare(each.topic))
    .filter(({ group, filter }) => {
      const whose = group === null ? null : groupConsumer(group);
      return (whose === null ? !consumer.startsWith('$share/') : whose === consumer) && isWildcard(filter) && matches(filter, topic);
    });
  return [...new Set(own.map(({ filter }) => filter))];
}
