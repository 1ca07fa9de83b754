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
  ['a connection event of the rule offline-messages', connected({ node: null, expiryMs: 7_000, sessionOnly: true })],
  ['a connection with few fields', connected({ node: null })],
  ['a disconnect', { kind: 'disconnected', clientid: 'c', node: 'n1', connectedAt: AT - 4, at: AT }],
  ['a disconnect without connected_at', { kind: 'disconnected', clientid: 'c', node: null, connectedAt: null, at: AT }],
  ['a subscription', { kind: 'subscribed', clientid: 'c', filter: '$share/g/t/+', qos: 2, at: AT }],
  ['an unsubscribe', { kind: 'unsubscribed', clientid: 'c', filter: 't/+', at: AT }],
])('a failed event is the same when it is retried: %s', (_, change) => {
  const { event } = readEvent(JSON.parse(JSON.stringify(changeBody(change))));
  const [first] = route(event, [policy()], new Signer('key'));
  expect(first).toEqual(changed(change));
});

it('a request of an operator is not stored as an event', () => {
  const change: ClientChange = { kind: 'withdrawn', clientid: 'c', at: 1, filters: null };
  expect(changeBody(change)).toEqual({ change });
});
