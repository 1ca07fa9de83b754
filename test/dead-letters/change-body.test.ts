import { changeBody } from '../../src/dead-letters/change-body';
import { changed, route } from '../../src/door/route';
import { readEvent } from '../../src/events';
import { NEVER_EXPIRES } from '../../src/events/event';
import type { ClientChange } from '../../src/lanes/jobs';
import { Signer } from '../../src/mailbox/signature';
import { policy } from '../support/policies';

const AT = 1_795_228_477_838;
const connected = (fields: object): ClientChange => ({
  kind: 'connected',
  clientid: 'c',
  node: 'n1',
  at: AT,
  cleanStart: null,
  expiryMs: null,
  sessionOnly: false,
  ...fields,
});

// What failed for one client goes to the dead letters as the event that it came from: tried again, it must mean the same.
it.each<[string, ClientChange]>([
  ['a connection', connected({ cleanStart: true, expiryMs: 0 })],
  ['a connection that resumes a session which never expires', connected({ cleanStart: false, expiryMs: NEVER_EXPIRES })],
  ['a connection that is told of for its session’s sake alone', connected({ node: null, expiryMs: 7_000, sessionOnly: true })],
  ['a connection of which little is known', connected({ node: null })],
  ['the end of one', { kind: 'disconnected', clientid: 'c', node: 'n1', connectedAt: AT - 4, at: AT }],
  ['the end of one whose beginning is not known', { kind: 'disconnected', clientid: 'c', node: null, connectedAt: null, at: AT }],
  ['a subscription', { kind: 'subscribed', clientid: 'c', filter: '$share/g/t/+', qos: 2, at: AT }],
  ['the end of a subscription', { kind: 'unsubscribed', clientid: 'c', filter: 't/+', at: AT }],
])('%s that failed is the same when it is tried again', (_, change) => {
  const { event } = readEvent(JSON.parse(JSON.stringify(changeBody(change))));
  const [first] = route(event, [policy()], new Signer('key'));
  expect(first).toEqual(changed(change));
});

it('what an operator asked for is no event', () => {
  const change: ClientChange = { kind: 'withdrawn', clientid: 'c', at: 1, filters: null };
  expect(changeBody(change)).toEqual({ change });
});
