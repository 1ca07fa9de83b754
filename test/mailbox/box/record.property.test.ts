import fc from 'fast-check';
import { decode, encode } from '../../../src/mailbox/box/encode';
import { runThen } from '../../../src/mailbox/box/fact';
import { emptyMailbox, isIdle, type Mailbox } from '../../../src/mailbox/box/mailbox';
import { planOf } from '../../../src/mailbox/box/plan';
import {
  Box,
  NOW,
  acked,
  again,
  connected,
  copy,
  dropped,
  due,
  gated,
  mailbox,
  outOf,
  resent,
  sent,
  subscribed,
  told,
  unsubscribed,
  type Loose,
} from './build';
import { history } from './facts';

const RUNS = Number(process.env['BOX_RUNS'] ?? 1_000);
const consumer = fc.constantFrom('c', '$share/g', '__proto__', '\uD800', '');

/** A group has neither a connection nor a session. */
function concerns(name: string, { kind }: Loose): boolean {
  return !name.startsWith('$share/') || !['connected', 'disconnected', 'asked'].includes(kind);
}

/** What the pass does with a plan, when EMQX holds nothing and there is nothing to read. @returns whether the mailbox came to rest. */
function serve(box: Box): boolean {
  for (let i = 0; i < 50; i++) {
    box.learn(due);
    const { asks, gates, again: count, run, wakeAt } = box.plan;
    if (asks) box.learn(told([], { createdAt: 0, connectedAt: box.mailbox.session?.connectedAt ?? NOW }));
    else if (gates.length > 0) for (const each of gates) box.learn({ kind: 'gated', ...runThen(each), tails: null });
    else if (count > 0) box.learn(resent([], { done: box.mailbox.again.slice(0, count).map(({ id }) => id) }));
    else if (run !== null) box.learn(sent([], { clientid: run.clientid, filter: run.filter }));
    else return wakeAt === null || wakeAt > box.now;
  }
  return false;
}

describe('a mailbox that learns any facts in any order', () => {
  it('never throws, and is equal after it was stored and read again', () => {
    fc.assert(
      fc.property(consumer, history, (name, all) => {
        const facts = all.filter(({ fact }) => concerns(name, fact));
        const box = new Box(emptyMailbox(name));
        for (const { fact, after } of facts) {
          box.now += after;
          box.learn(fact);
          const stored = encode(box.mailbox);
          expect(Buffer.from(stored).toString()).toBe(stored);
          expect(decode(stored)).toEqual(box.mailbox);
          expect([...decode(stored).out.keys()]).toEqual(box.ids);
          // Another process goes on with what was stored.
          box.mailbox = decode(stored);
          expect(() => box.plan).not.toThrow();
        }
      }),
      { numRuns: RUNS },
    );
  });

  it('stays consistent: every waiting message has something that ends its wait', () => {
    fc.assert(
      fc.property(consumer, history, (name, all) => {
        const facts = all.filter(({ fact }) => concerns(name, fact));
        const box = new Box(emptyMailbox(name));
        for (const { fact, after } of facts) {
          box.now += after;
          box.learn(fact);
          const { again: waiting, out, budget, retryAt, held, left, runs, session } = box.mailbox;
          expect(waiting.map(({ id }) => id)).toEqual([...new Set(waiting.map(({ id }) => id))].sort((a, b) => (a < b ? -1 : 1)));
          if (waiting.length > 0 && out.size === 0)
            expect([budget > 0, retryAt !== null, box.mailbox.pausedUntil !== null]).toContain(true);
          if (waiting.length === 0) expect([budget, retryAt]).toEqual([0, null]);
          expect([left.length <= 64, (session?.filters.length ?? 0) <= 64, held.size <= 60]).toEqual([true, true, true]);
          expect(runs.every(({ sent: count }) => count >= 0)).toBe(true);
        }
      }),
      { numRuns: RUNS },
    );
  });

  it('comes to rest when its plans are carried out', () => {
    fc.assert(
      fc.property(fc.constantFrom('c', '$share/g'), history, (name, all) => {
        const facts = all.filter(({ fact }) => concerns(name, fact));
        const box = new Box(emptyMailbox(name));
        for (const { fact, after } of facts) {
          box.now += after;
          box.learn(fact);
        }
        expect(serve(box)).toBe(true);
        let passes = 0;
        for (; box.plan.wakeAt !== null && passes < 200; passes++) {
          box.pass(box.plan.wakeAt - box.now);
          expect(serve(box)).toBe(true);
        }
        expect(passes).toBeLessThan(200);
        expect(box.plan.asks).toBe(false);
      }),
      { numRuns: RUNS },
    );
  });

  it('is not changed by the same facts a second time', () => {
    const facts = [
      connected(NOW - 50, true),
      subscribed(),
      unsubscribed(NOW - 60),
      acked('1'),
      { kind: 'dropped', id: '2', reason: 'queue_full' } as const,
      due,
      { kind: 'repeated' } as const,
    ];
    const of = () => new Box(mailbox({ out: outOf('1', '2', '3'), again: [again('0')] }));
    expect(of().learn(...facts.flatMap((fact) => [fact, fact])).mailbox).toEqual(of().learn(...facts).mailbox);
  });
});

describe('an idle mailbox', () => {
  it('asks for nothing and is stored in under 250 characters', () => {
    const box = new Box(emptyMailbox('c'))
      .learn(connected(NOW - 50, true, 0), subscribed(), gated(), sent(['1']), acked('1'))
      .pass(10_000)
      .learn(gated(), sent([]));
    expect(isIdle(box.mailbox)).toBe(true);
    expect(box.plan).toEqual({ asks: false, gates: [], again: 0, run: null, wakeAt: null });
    expect(encode(box.mailbox).length).toBeLessThan(250);
    expect(encode(emptyMailbox('c'))).toBe('{"consumer":"c"}');
  });

  it('has no deliveries, copies or pending resends', () => {
    expect([mailbox(), mailbox({ out: outOf('1') }), mailbox({ again: [again('1')] })].map(isIdle)).toEqual([true, false, false]);
  });
});

describe('a stored mailbox', () => {
  it('with a full window has under 11,000 characters', () => {
    const ids = Array.from({ length: 100 }, (_, i) => `0006${i.toString(16).padStart(28, '0')}`);
    const full = mailbox({ out: new Map(ids.map((id) => [id, copy(id, { topic: 'x'.repeat(1_000), emqxId: id })])) });
    expect(encode(full).length).toBeLessThan(11_000);
    expect(decode(encode(full))).toEqual(full);
  });

  it('keeps copies of several deliveries and topics in the order of sending', () => {
    const out = new Map([
      ['3', copy('3')],
      ['1', copy('1', { topic: 'u' })],
      ['2', copy('2', { isMissing: true, emqxId: null })],
    ]);
    expect([...decode(encode(mailbox({ out }))).out]).toEqual([...out]);
  });

  it('with names of JavaScript properties is read back unchanged', () => {
    const names = ['__proto__', 'constructor', 'toString', '\uD800'];
    const box = new Box(emptyMailbox('__proto__'));
    for (const name of names) {
      box.learn(
        subscribed({ clientid: name, filter: name }),
        sent([name], { clientid: name, filter: name, cursor: { topic: name, id: name } }),
        unsubscribed(NOW, `left/${name}`, name),
        told([name]),
        dropped(name),
      );
    }
    const read: Mailbox = decode(encode(box.mailbox));
    expect(read).toEqual(box.mailbox);
    expect(read.left.map(({ clientid }) => clientid)).toEqual(names);
    expect(planOf(read, NOW)).toEqual(box.plan);
  });
});

describe('a client that never acknowledges', () => {
  it('is checked in EMQX less and less often, in the end a few times a day', () => {
    const box = new Box(mailbox({ out: outOf('1') }));
    let questions = 0;
    while (box.now < NOW + 30 * 86_400_000) {
      box.pass((box.plan.wakeAt ?? Infinity) - box.now);
      expect(box.plan.asks).toBe(true);
      questions++;
      box.learn(told(['copy-1']));
    }
    expect(questions).toBeLessThan(11 + 30 * 3);
  });
});
