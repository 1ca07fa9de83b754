import { splitShare, unmounted } from '../../src/mqtt/topic';
import { filterProblem, plainFilterProblem, topicProblem } from '../../src/mqtt/validity';

test.each(['t/1', '/', 'a//b', '$SYS/x', ' ', '漢字', 'x'.repeat(65_535)])('%j is a valid topic of a publish', (topic) => {
  expect(topicProblem(topic)).toBeNull();
});

test.each([
  't/1',
  '#',
  '+',
  '/#',
  '+/+',
  'a/+/b/#',
  '/',
  '$share/g/t/#',
  '$share/g//',
  '$share/g/+',
  '$queue/t/#',
  '$exclusive/t/#',
  '$share',
  '$SYS/#',
  'x'.repeat(65_535),
])('%j can be subscribed to', (filter) => expect(filterProblem(filter)).toBeNull());

test.each([
  ...['', 'a#', '#/a', 'a/#/b', 'a+', '+a', 'a/b+/c', 'a\0', '\ud800', 'x'.repeat(65_536)],
  ...[
    '$share/',
    '$share/g',
    '$share/g/',
    '$share//t',
    '$share/+/t',
    '$share/a#/t',
    '$share/g/a#',
    '$share/g/$share/h/t',
    '$queue/',
    '$queue/a+',
    '$exclusive/',
    '$exclusive/a+',
  ],
])('%j cannot be subscribed to', (filter) => {
  expect(filterProblem(filter)).toMatch(/^must /);
});

test('a plain topic filter must not start with $share', () => {
  expect(plainFilterProblem('$share/g/t')).toMatch(/\$share/);
  expect(plainFilterProblem('$exclusive/t')).toMatch(/\$exclusive/);
  expect(plainFilterProblem('t/#')).toBeNull();
});

test.each([
  ['t/1', { group: null, filter: 't/1' }],
  ['$share/g/t/#', { group: 'g', filter: 't/#' }],
  ['$queue/t/#', { group: '$queue', filter: 't/#' }],
  ['$exclusive/t/1', { group: null, filter: 't/1' }],
])('%s is taken apart', (filter, parts) => expect(splitShare(filter)).toEqual(parts));

// EMQX puts the mountpoint behind the group, and before what REST subscribes as well.
test.each([
  ['mp/t/1', 't/1'],
  ['$share/g/mp/t/#', '$share/g/t/#'],
  ['$queue/mp/t/#', '$queue/t/#'],
  ['mp/mp/t', 'mp/t'],
  ['t/1', 't/1'],
  ['mp/', 'mp/'],
  ['$share/mp/t', '$share/mp/t'],
])('%s is %s without the mountpoint mp/', (filter, plain) =>
  expect([unmounted(filter, 'mp/'), unmounted(filter, '')]).toEqual([plain, filter]),
);
