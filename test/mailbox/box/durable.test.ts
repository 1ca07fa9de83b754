import { decode, encode } from '../../../src/mailbox/box/encode';
import { Box, connected, mailbox, NOW, outOf, run, sent, session, subscribed, told, view } from './build';
import { emptyMailbox } from '../../../src/mailbox/box/mailbox';

/** EMQX's durable sessions tell of no acknowledgement: the mailbox must know of them before it sends. */
describe('a session that may be durable', () => {
  const durable = { kind: 'asked', session: view({ durable: true, createdAt: NOW, connectedAt: NOW }), held: null } as const;
  const fresh = (expiryMs: number | null) => new Box(emptyMailbox('c')).learn(connected(NOW, true, expiryMs));

  // The guard is mayBeDurable in freshness.ts.
  it.each([
    [300_000, true],
    [0, false],
  ])('with an expiry of %i ms is looked up in EMQX before anything is sent: %s', (expiryMs, asks) => {
    const box = fresh(expiryMs).learn(subscribed({ at: NOW + 10 }));
    expect(box.plan.asks).toBe(asks);
    expect(box.plan.run).toBeNull();
  });

  it('is looked up in EMQX once per connection', () => {
    const box = fresh(300_000).learn(subscribed({ at: NOW + 10 }), durable, subscribed({ filter: 'u/b', at: NOW + 20 }));
    expect(box.plan.asks).toBe(false);
    expect(box.mailbox.session?.isDurable).toBe(true);
    expect(decode(encode(box.mailbox)).session?.isDurable).toBe(true);
    expect(box.learn(connected(NOW + 5_000, true, 300_000), subscribed({ at: NOW + 5_010 })).plan.asks).toBe(true);
  });

  // The guard is `isDurable === null` in asked.ts: its client would wait a second for nothing.
  it('and is not durable is served at once', () => {
    const box = fresh(300_000).learn(subscribed({ at: NOW + 10 }), told([], { createdAt: NOW, connectedAt: NOW }));
    expect(box.mailbox).toMatchObject({ doubtUntil: null, askAt: null, session: { isDurable: false } });
  });

  it("with an overlapping subscription before EMQX's answer waits for acknowledgements", () => {
    const box = fresh(300_000).learn(
      subscribed({ at: NOW + 10 }),
      subscribed({ filter: 't/+', at: NOW + 3_000 }),
      told([], { createdAt: NOW, connectedAt: NOW }),
    );
    expect(box.mailbox.doubtUntil).not.toBeNull();
  });

  it('keeps no copies and waits for no acknowledgements when it is durable', () => {
    const box = new Box(mailbox({ session: session({ connectedAt: NOW }), runs: [run()], out: outOf('1', '2'), held: new Set(['3']) }));
    box.learn({ kind: 'asked', session: view({ durable: true }), held: null });
    expect(box.mailbox).toMatchObject({ doubtUntil: null, askAt: null, out: new Map(), held: new Set() });
    expect(box.freed).toEqual(['1', '2']);
    expect(box.plan.run).not.toBeNull();
    expect(box.learn(sent([], { unclocked: 3, cursor: null })).plan.asks).toBe(false);
  });
});
