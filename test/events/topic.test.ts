import { filterProblem, plainFilterProblem, topicProblem } from '../../src/mqtt/validity';

test.each(['t/1', '/', 'a//b', '$SYS/x', ' ', '漢字', 'x'.repeat(65_535)])('%j can be published to', (topic) => {
  expect(topicProblem(topic)).toBeNull();
});

test.each(['t/1', '#', '+', '/#', '+/+', 'a/+/b/#', '/', '$share/g/t/#', '$share/g//', '$share/g/+', '$queue/t/#', '$share', '$SYS/#', 'x'.repeat(65_535)])(
  '%j can be subscribed to',
  (filter) => expect(filterProblem(filter)).toBeNull(),
);

test.each([
  ...['', 'a#', '#/a', 'a/#/b', 'a+', '+a', 'a/b+/c', 'a\0', '\ud800', 'x'.repeat(65_536)],
  ...['$share/', '$share/g', '$share/g/', '$share//t', '$share/+/t', '$share/a#/t', '$share/g/a#', '$share/g/$share/h/t', '$queue/', '$queue/a+'],
])('%j cannot be subscribed to', (filter) => {
  expect(filterProblem(filter)).toMatch(/^must /);
});

test('a filter of topics has no $share', () => {
  expect(plainFilterProblem('$share/g/t')).toMatch(/\$share/);
  expect(plainFilterProblem('t/#')).toBeNull();
});
