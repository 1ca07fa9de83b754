import { emptyMailbox } from '../../../src/mailbox/box/mailbox';
import { planOf } from '../../../src/mailbox/box/plan';
import { step } from '../../../src/mailbox/box/step';
import { ON_ITS_WAY_MS } from '../../../src/mailbox/times';

const T = 1_800_000_000_000;

/** A session that resumed, whose client subscribed at once; EMQX has nothing any more: the acknowledgements are on their way. */
const asked = () => {
  const request = { clientid: 'c', filter: 't', qos: 1, at: T } as const;
  const session = { connected: true, connectedAt: T - 5, createdAt: T - 60_000, persistent: true, durable: false, queued: 0, inflight: 0 };
  const facts = [
    { kind: 'connected', at: T - 5, cleanStart: false, expiryMs: 300_000 },
    { kind: 'subscribed', request },
    { kind: 'asked', at: T, session, held: { kind: 'list', messages: [], complete: true } },
    { kind: 'gated', clientid: 'c', filter: 't', requestedAt: T, looks: 0, tails: null },
  ] as const;
  return facts.reduce((mailbox, fact) => step(mailbox, fact, T).mailbox, emptyMailbox('c'));
};
const readsAt = (now: number, lagMs: number): boolean => planOf(step(asked(), { kind: 'due', lagMs }, now).mailbox, now).run !== null;

// Promise 19: what was acknowledged before EMQX was asked would be sent once more. The guard is `outlasting` in step.ts.
it('a resumed session is sent nothing while earlier acknowledgements may be on their way', () => {
  expect(readsAt(T + ON_ITS_WAY_MS - 1, 0)).toBe(false);
  expect(readsAt(T + ON_ITS_WAY_MS, 0)).toBe(true);
  expect(readsAt(T + ON_ITS_WAY_MS, 3_000)).toBe(false);
  expect(readsAt(T + ON_ITS_WAY_MS + 3_000, 3_000)).toBe(true);
});

it('a resumed session waits at most 10 s more, however late events are', () => {
  expect(readsAt(T + ON_ITS_WAY_MS + 8_000, 60_000)).toBe(false);
  expect(step(asked(), { kind: 'due', lagMs: 60_000 }, T + ON_ITS_WAY_MS + 10_000).mailbox.doubtUntil).toBeNull();
});
