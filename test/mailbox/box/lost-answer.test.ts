import type { Fact } from '../../../src/mailbox/box/fact';
import { emptyMailbox, START, type Copy, type Mailbox } from '../../../src/mailbox/box/mailbox';
import { planOf } from '../../../src/mailbox/box/plan';
import { step } from '../../../src/mailbox/box/step';

const T = 1_800_000_000_000;

/** A new session whose run has sent two of its messages. */
const sent = (emqxId: string | null): Mailbox => {
  const copy: Copy = { topic: 't', qos: 1, clientid: 'c', filter: 't', sentAt: T, emqxId, isMissing: false };
  const run = { clientid: 'c', filter: 't' };
  const then = { ...run, requestedAt: T, looks: 0 };
  const facts: Fact[] = [
    { kind: 'connected', at: T - 5, cleanStart: true, expiryMs: 0 },
    { kind: 'subscribed', request: { ...run, qos: 1, at: T } },
    { kind: 'gated', ...then, tails: null },
    {
      kind: 'sent',
      ...then,
      from: START,
      ...{
        copies: [
          ['M1', copy],
          ['M2', copy],
        ],
        cursor: { topic: 't', id: 'M2' },
        window: 100,
        unclocked: 0,
      },
      ...{ pauseUntil: null, isBlocked: false, isOver: false, hasInbox: false },
    },
  ];
  return facts.reduce((mailbox, fact) => step(mailbox, fact, T).mailbox, emptyMailbox('c'));
};

// Promise 6: EMQX may not have M1 and M2; they would come after what is sent now. The guard is `isUnsure` in plan.ts.
it('a delivery waits while it is unknown whether EMQX has the earlier messages', () => {
  expect(planOf(sent('E1'), T).run).not.toBeNull();
  expect(planOf(sent(null), T).run).toBeNull();
});

it('a delivery continues when the client has acknowledged the earlier messages', () => {
  const acked = ['M1', 'M2'].reduce((mailbox, id) => step(mailbox, { kind: 'acked', id, isCopy: true }, T + 50).mailbox, sent(null));
  expect(planOf(acked, T + 50).run).not.toBeNull();
});

it('EMQX is asked after 10 s whether it has the earlier messages', () => {
  const { asks, wakeAt } = planOf(sent(null), T + 1);
  expect([asks, wakeAt]).toEqual([false, T + 10_000]);
  expect(planOf(sent(null), T + 10_000).asks).toBe(true);
});
