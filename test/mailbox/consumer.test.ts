import { readersOf, requestsOf, serves, wildcardsOf } from '../../src/mailbox/positions/readers';
import { clientConsumer } from '../../src/mqtt/consumer';
import { policy } from '../support/policies';

const policies = [policy({ filter: 'many/#', mode: 'pubsub' }), policy({ filter: 'off/#', mode: 'off' }), policy()];
const request = (filter: string) => ({ clientid: 'c', filter, qos: 1 as const, at: 1 });
const subscriptions = (...topics: string[]) => topics.map((topic) => ({ clientid: 'c', topic, qos: 1 as const }));

describe('a consumer', () => {
  it('is a client or a group, and no client id can take the name of a group', () => {
    expect(clientConsumer('c')).toBe('c');
    expect(clientConsumer('$share/g')).not.toBe('$share/g');
    expect(clientConsumer('$client/$share/g')).not.toBe(clientConsumer('$share/g'));
  });

  it.each([
    ['t/#', [undefined]],
    ['many/1', [undefined]],
    ['$share/g/many/1', ['$share/g']],
    ['$share/g/one', [undefined]],
    ['$share/g/#', [undefined, '$share/g']],
    ['$queue/many/1', ['$share/$queue']],
  ])('a subscription to %s is read for the consumers %j', (filter, consumers) => {
    expect(requestsOf(policies, request(filter)).map(({ consumer }) => consumer)).toEqual(consumers);
  });

  it('of a shared subscription is the client in queue mode and the group in pubsub mode', () => {
    expect((['queue', 'pubsub'] as const).map((mode) => serves(request('#'), mode))).toEqual([true, true]);
    expect((['queue', 'pubsub'] as const).map((mode) => serves(request('$share/g/#'), mode))).toEqual([true, false]);
    expect((['queue', 'pubsub'] as const).map((mode) => serves({ ...request('$share/g/#'), consumer: '$share/g' }, mode))).toEqual([
      false,
      true,
    ]);
  });

  it.each([
    [[], { client: true, groups: [], sure: true }],
    [['t/1', 'u/#'], { client: true, groups: [], sure: false }],
    [['$share/g/t/+'], { client: false, groups: ['$share/g'], sure: true }],
    [['$share/g/t/+', '$share/g/t/1'], { client: false, groups: ['$share/g'], sure: true }],
    [['$share/g/t/+', 't/1'], { client: true, groups: ['$share/g'], sure: false }],
    [['$share/g/t/+', '$share/h/#'], { client: false, groups: ['$share/g', '$share/h'], sure: false }],
    [['$share/g/u'], { client: true, groups: [], sure: true }],
  ])('of a message of t/1 is found from the subscriptions %j', (topics, readers) => {
    expect(readersOf(subscriptions(...topics), 't/1')).toEqual(readers);
  });

  it('has the wildcard filters of its own subscriptions', () => {
    const all = subscriptions('t/1', 't/+', 'u/+', '$share/g/#');
    expect(wildcardsOf(all, 'c', 't/1')).toEqual(['t/+']);
    expect(wildcardsOf(all, '$share/g', 't/1')).toEqual(['#']);
  });
});
