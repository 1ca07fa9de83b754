import { decode, encode } from '../../../src/mailbox/box/encode';
import { Box, connected, mailbox, NOW, outOf, run, sent, session, subscribed, told, view } from './build';
import { emptyMailbox } from '../../../src/mailbox/box/mailbox';

/** EMQX's durable sessions tell of no acknowledgement (facts.md): the mailbox must know of them before it sends. */
describe('a session that may be durable', () => {
  const durable = { kind: 'asked', session: view({ durable: true, createdAt: NOW, connectedAt: NOW }), held: null } as const;
  const fresh = (expiryMs: number | null) => new Box(emptyMailbox('c')).learn(connected(NOW, true, expiryMs));

  // The guard is mayBeDurable in freshness.ts.
  it.each([
    [300_000, true],
    [0, false],
  ])('that outlives its connection by %i ms is asked for before anything is sent: %s', (expiryMs, asks) => {
    const box = fresh(expiryMs).learn(subscribed({ at: NOW + 10 }));
    expect(box.plan.asks).toBe(asks);
    expect(box.plan.run).toBeNull();
  });

  it('is asked for once in a connection', () => {
    const box = fresh(300_000).learn(subscribed({ at: NOW + 10 }), durable, subscribed({ filter: 'u/b', at: NOW + 20 }));
    expect(box.plan.asks).toBe(false);
    expect(box.mailbox.session?.isDurable).toBe(true);
    expect(decode(encode(box.mailbox)).session?.isDurable).toBe(true);
    expect(box.learn(connected(NOW + 5_000, true, 300_000), subscribed({ at: NOW + 5_010 })).plan.asks).toBe(true);
  });

  // The guard is `isDurable === null` in asked.ts: its client would wait a second for nothing.
  it('and is none is read at once: nothing else was asked', () => {
    const box = fresh(300_000).learn(subscribed({ at: NOW + 10 }), told([], { createdAt: NOW, connectedAt: NOW }));
    expect(box.mailbox).toMatchObject({ doubtUntil: null, askAt: null, session: { isDurable: false } });
  });

  it('and subscribes to what overlaps before EMQX has answered waits, as any other one', () => {
    const box = fresh(300_000).learn(
      subscribed({ at: NOW + 10 }),
      subscribed({ filter: 't/+', at: NOW + 3_000 }),
      told([], { createdAt: NOW, connectedAt: NOW }),
    );
    expect(box.mailbox.doubtUntil).not.toBeNull();
  });

  it('waits for nothing: copies from before that was known are free, and nothing is in doubt', () => {
    const box = new Box(mailbox({ session: session({ connectedAt: NOW }), runs: [run()], out: outOf('1', '2'), held: new Set(['3']) }));
    box.learn({ kind: 'asked', session: view({ durable: true }), held: null });
    expect(box.mailbox).toMatchObject({ doubtUntil: null, askAt: null, out: new Map(), held: new Set() });
    expect(box.freed).toEqual(['1', '2']);
    expect(box.plan.run).not.toBeNull();
    expect(box.learn(sent([], { unclocked: 3, cursor: null })).plan.asks).toBe(false);
  });
});
