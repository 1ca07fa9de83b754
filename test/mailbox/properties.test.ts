import fc from 'fast-check';
import { isStored, policyFor } from '../../src/policies/policy';
import { inboxFilter, inboxTopic, isWildcard, matches, splitShare, stripInbox } from '../../src/mqtt/topic';
import type { Policy } from '../../src/config/policies';
import { topicRange } from '../../src/stores/shared/topic-range';
import { message } from '../support/messages';
import { policy } from '../support/policies';
import { Simulation } from './simulation';

/** Few names, so that topics and filters often meet; empty levels, and what a regular expression would trip over. */
const name = fc.constantFrom('a', 'b', 'aa', '', '.', '*', '$', '$a', '%', 'ü', ' ');
const topic = fc
  .array(name, { minLength: 1, maxLength: 4 })
  .map((levels) => levels.join('/'))
  .filter((text) => text !== '');
const filter = fc
  .tuple(fc.array(fc.oneof(name, fc.constant('+')), { minLength: 0, maxLength: 4 }), fc.boolean())
  .map(([levels, rest]) => [...levels, ...(rest ? ['#'] : [])].join('/'))
  .filter((text) => text !== '');
const clientid = fc.string({ unit: fc.constantFrom('a', '/', '+', '#', '%', '2', 'F', '$', 'é', '😀'), minLength: 1, maxLength: 6 });

/** Another way to the same answer: the filter as a grammar, level by level from the end of MQTT 5's chapter 4.7. */
function naive(filterLevels: readonly string[], levels: readonly string[], first = true): boolean {
  const [want, ...wants] = filterLevels;
  const [level, ...rest] = levels;
  if (want === '#') return !(first && level?.startsWith('$'));
  if (level === undefined || want === undefined) return level === undefined && (want === undefined || (want as string) === '#');
  if (want === '+' ? first && level.startsWith('$') : want !== level) return false;
  return rest.length === 0 && wants.length === 1 && wants[0] === '#' ? true : naive(wants, rest, false);
}

describe('topic filters', () => {
  it('match topics as MQTT specifies', () => {
    fc.assert(
      fc.property(filter, topic, (f, t) => expect(matches(f, t)).toBe(naive(f.split('/'), t.split('/')))),
      { numRuns: 5_000 },
    );
  });

  it('without wildcards match only the equal topic', () => {
    fc.assert(fc.property(topic, topic, (a, b) => expect(matches(a, b)).toBe(a === b)));
  });

  it('match only topics within their range of sorted topics', () => {
    const inRange = (f: string, t: string) => {
      const { exact, prefix } = topicRange(f);
      return t === exact || (prefix !== null && t.startsWith(prefix));
    };
    fc.assert(
      fc.property(filter, topic, (f, t) => !matches(f, t) || inRange(f, t)),
      { numRuns: 5_000 },
    );
  });

  it('of a shared subscription are the part after the group name', () => {
    fc.assert(
      fc.property(filter, fc.constantFrom('g', 'a b', '$'), (f, group) => {
        expect(splitShare(`$share/${group}/${f}`)).toEqual({ group, filter: f });
        expect(splitShare(`$queue/${f}`)).toEqual({ group: '$queue', filter: f });
        expect(isWildcard(f)).toBe(f.split('/').some((level) => level === '+' || level === '#'));
      }),
    );
  });

  // Promise 7: whatever the client ids, an inbox belongs to one of them.
  it('of an inbox match only the inbox of that client', () => {
    fc.assert(
      fc.property(clientid, clientid, topic, (a, b, t) => {
        expect(stripInbox(inboxTopic(a, t))).toEqual({ clientid: a, topic: t });
        expect(matches(inboxFilter(a), inboxTopic(b, t))).toBe(a === b);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('policies', () => {
  const list = fc
    .array(fc.record({ filter, mode: fc.constantFrom<Policy['mode']>('queue', 'off') }), { minLength: 1, maxLength: 6 })
    .map((all) => all.map(policy));

  it('decide by the first matching entry only', () => {
    fc.assert(
      fc.property(list, list, topic, (first, second, t) => {
        const index = first.findIndex((each) => naive(each.filter.split('/'), t.split('/')));
        const decided = first[index];
        const expected = decided === undefined || decided.mode === 'off' ? null : decided;
        expect(policyFor(first, t)).toBe(expected);
        if (decided !== undefined) expect(policyFor([...first, ...second], t)).toBe(expected);
        else expect(policyFor([...first, ...second], t)).toBe(policyFor(second, t));
      }),
      { numRuns: 2_000 },
    );
  });

  it('store QoS 1 and 2 always, and QoS 0 with storeQos0 only', () => {
    fc.assert(
      fc.property(fc.constantFrom(0, 1, 2), fc.boolean(), (qos, storeQos0) =>
        expect(isStored(policy({ storeQos0 }), message({ topic: 't', qos: qos as 0 | 1 | 2 }))).toBe(qos > 0 || storeQos0),
      ),
    );
  });
});

/** Everything together, with clients, acks and drops in any order: the whole way of the messages. */
describe('a delivery in any interleaving of subscriptions, acknowledgements and drops', () => {
  type Step =
    | { kind: 'subscribe'; filter: string; qos: 0 | 1 | 2 }
    | { kind: 'ack' | 'drop'; count: number }
    | { kind: 'pass'; ms: number }
    | { kind: 'publish' | 'reconnect' };
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({ kind: fc.constant('subscribe' as const), filter: fc.constantFrom('t/a', 't/+', '#'), qos: fc.constantFrom<1 | 2>(1, 2) }),
    fc.record({ kind: fc.constantFrom('ack' as const, 'drop' as const), count: fc.integer({ min: 1, max: 6 }) }),
    fc.record({ kind: fc.constant('pass' as const), ms: fc.constantFrom(1, 500, 2_000, 5_000, 10_000, 70_000) }),
    fc.record({ kind: fc.constantFrom('publish' as const, 'reconnect' as const) }),
  );

  it('never exceeds the window, loses nothing and leaves no work behind', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), fc.integer({ min: 1, max: 8 }), async (steps, size) => {
        const world = new Simulation({ window: size });
        const published: string[] = [];
        const publish = async (topic: string) => void published.push(...(await world.fill(topic, 4, {}, `${topic}-${published.length}-`)));
        await publish('t/a');
        await publish('t/b');
        let client = world.broker.session('c');
        const received = new Set<string>();
        const note = () => client.texts.forEach((text) => received.add(text));
        for (const each of steps) {
          if (each.kind === 'subscribe') {
            // One subscription at EMQX at a time: overlapping ones give copies of EMQX's own.
            const event = world.subscribed('c', each.filter, each.qos);
            client.subscriptions.clear();
            client.subscriptions.set(each.filter, each.qos);
            await world.arrive(event);
          } else if (each.kind === 'ack') await world.acknowledge(client, each.count);
          else if (each.kind === 'drop') {
            for (let i = 0; i < each.count && client.unacknowledged.length > 0; i++) world.broker.drop(client, 'queue_full');
            await world.tell();
          } else if (each.kind === 'pass') await world.pass(each.ms);
          else if (each.kind === 'publish') await publish('t/a');
          else {
            note();
            world.broker.sessions.delete('c');
            client = world.broker.session('c');
          }
          expect((await world.inFlight('c')).length).toBeLessThanOrEqual(size);
        }
        // In the end it subscribes to everything, and takes it.
        await world.pass(70_000);
        client.subscriptions.clear();
        await world.arrive(world.subscribed('c', '#'));
        for (let i = 0; i < 200 && world.store.messages.size > 0; i++) {
          await world.acknowledge(client, 3);
          await world.pass(1_000);
        }
        note();
        expect(received).toEqual(new Set(published));
        expect(world.store.messages.size).toBe(0);
        while (client.unacknowledged.length > 0) await world.acknowledge(client, 3);
        // The last look at it is some time after the last acknowledgement.
        await world.pass(2 * 3_700_000);
        expect(world.delayed).toEqual([]);
        expect(world.state.size()).toBe(0);
      }),
      { numRuns: 300 },
    );
  });
});
