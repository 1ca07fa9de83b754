import { canReach, covers, intersection } from '../../src/policies/overlap';
import { policyFor } from '../../src/policies/policy';
import { matches } from '../../src/mqtt/topic';
import { policy } from '../support/policies';

/** All filters and topics of up to three levels over few names, empty ones and those with $ included. */
const sequences = (names: readonly string[], last: readonly string[] = []): string[][] => {
  const one = names.map((name) => [name]);
  const two = one.flatMap((head) => names.map((name) => [...head, name]));
  const all = [...one, ...two, ...two.slice(0, 9).flatMap((head) => names.map((name) => [...head, name]))];
  return [...all, ...[[], ...all.filter(({ length }) => length < 3)].flatMap((head) => last.map((name) => [...head, name]))];
};
const join = (levels: string[][]) => levels.map((each) => each.join('/')).filter((text) => text !== '');
const FILTERS = join(sequences(['a', '+', '$s', ''], ['#']));
const TOPICS = join(sequences(['a', 'b', '$s', '$t', '']));

describe('topic filters', () => {
  it('have an overlap that matches the topics of both', () => {
    expect(intersection('a/+/c', '+/b/#')).toBe('a/b/c');
    expect(intersection('a/#', 'a')).toBe('a');
    expect(intersection('#', '$SYS/#')).toBeNull();
    for (const a of FILTERS) {
      for (const b of FILTERS) {
        const common = intersection(a, b);
        const inBoth = TOPICS.filter((topic) => matches(a, topic) && matches(b, topic));
        expect([a, b, common === null ? [] : TOPICS.filter((topic) => matches(common, topic))]).toEqual([a, b, inBoth]);
      }
    }
  });

  it('cover another filter when they match all its topics', () => {
    for (const a of FILTERS) {
      for (const b of FILTERS) {
        if (!covers(a, b)) continue;
        expect([a, b, TOPICS.filter((topic) => matches(b, topic) && !matches(a, topic))]).toEqual([a, b, []]);
      }
    }
    for (const [filter, other] of [
      ['#', 'a/#'],
      ['a/#', 'a'],
      ['+/+', 'a/+'],
      ['a/#', 'a/+/#'],
      ['$s/#', '$s/a'],
    ] as const)
      expect(covers(filter, other)).toBe(true);
    for (const [filter, other] of [
      ['#', '$s/a'],
      ['a/+', 'a/#'],
      ['a', '+'],
      ['a/+', 'a'],
    ] as const)
      expect(covers(filter, other)).toBe(false);
  });
});

describe('the check whether a policy applies to a subscription', () => {
  const lists = [
    [{}],
    [{ filter: 't/#' }],
    [{ filter: 't/off/#', mode: 'off' as const }, { filter: 't/#' }],
    [{ filter: '#', mode: 'off' as const }, { filter: 't/#' }],
    [{ filter: 'a/+', mode: 'off' as const }, { filter: '+/a' }, { filter: '$s/#' }],
  ].map((each) => each.map(policy));

  it.each(lists.map((list) => [list.map(({ filter, mode }) => `${filter} ${mode}`).join(', '), list] as const))(
    'finds every filter of a stored topic under %s',
    (_, list) => {
      for (const filter of FILTERS) {
        const reached = TOPICS.some((topic) => matches(filter, topic) && policyFor(list, topic) !== null);
        if (reached) expect([filter, canReach(list, filter)]).toEqual([filter, true]);
        expect(canReach(list, `$share/g/${filter}`)).toBe(canReach(list, filter));
      }
    },
  );

  it('finds none for a filter without a policy or for an inbox', () => {
    const [all = [], some = [], part = [], none = []] = lists;
    for (const filter of ['u/1', 'u/#', '$SYS/#']) expect([filter, canReach(some, filter)]).toEqual([filter, false]);
    for (const filter of ['t/off', 't/off/+', 't/off/#', '$share/g/t/off/1'])
      expect([filter, canReach(part, filter)]).toEqual([filter, false]);
    expect(canReach(none, 't/1')).toBe(false);
    expect(['$exclusive/t/1', '$exclusive/u/1', '$exclusive/$offline/c/#'].map((filter) => canReach(some, filter))).toEqual([
      true,
      false,
      false,
    ]);
    // Names of EMQX 6's queues and streams. With EMQX 5 they are ordinary topics, which only a policy of their own reaches.
    expect(['$q/t/1', '$s/t/#'].map((filter) => canReach(all, filter))).toEqual([false, false]);
    for (const filter of ['$offline/c/#', '$share/g/$offline/c/#', '$queue/$offline/#', '$offline']) {
      expect(canReach([...all, policy({ filter: '$offline/#' })], filter)).toBe(false);
    }
  });
});
