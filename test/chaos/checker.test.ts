import { MSGID_PROPERTY } from '../../src/mailbox/signature';
import { audienceOf } from './audience';
import { Cast } from './cast';
import type { FaultBetween } from './causes';
import { Checker } from './checker';
import { ORDINARY } from './groups';
import { payloadOf, type Identity } from './message';

/** A message of the given topic, published, with its id `m{sequence}`. */
function published(checker: Checker, topic: string, sequence = 0): { readonly identity: Identity; readonly payload: Buffer } {
  const identity = { publisher: 'p', topic, sequence };
  const payload = Buffer.from(payloadOf(identity));
  checker.willPublish(identity);
  const event = { event: 'message.publish', id: `m${sequence}`, clientid: 'p', payload };
  checker.fired(event);
  checker.answered(event, 202);
  return { identity, payload };
}

function acknowledged(checker: Checker, clientid: string, sequence = 0): void {
  const event = { event: 'message.acked', id: 'another', clientid, pub_props: { 'User-Property': { [MSGID_PROPERTY]: `m${sequence}` } } };
  checker.fired(event);
  checker.answered(event, 202);
}

const newChecker = (mode: 'queue' | 'pubsub', faultBetween: FaultBetween = () => new Set()): Checker =>
  new Checker(audienceOf(mode, Cast.of({ kinds: ORDINARY, groups: 1, hostile: true, busy: true, isInbox: true })), faultBetween);

function arrives(checker: Checker, subscriber: string, topic: string, payload: Buffer): void {
  checker.received({ subscriber, connection: 1, topic, payload, ours: true });
}

describe('the chaos checker', () => {
  it('counts a message as read by one reader in queue mode', () => {
    const checker = newChecker('queue');
    const { payload } = published(checker, 't/g4-0/a');
    expect(checker.lost()).toHaveLength(1);
    arrives(checker, 'g4-0-1', 't/g4-0/a', payload);
    acknowledged(checker, 'g4-0-1');
    expect([checker.open, checker.lost(), checker.unacknowledged()]).toEqual([0, [], []]);
    checker.sent('t/g4-0/a', payload);
    expect([checker.afterAck, checker.afterAnothers]).toMatchObject([[], [{}]]);
  });

  it('counts a message as read per plain subscriber in pubsub mode', () => {
    const checker = newChecker('pubsub');
    const { identity, payload } = published(checker, 't/g4-0/a');
    expect(checker.open).toBe(2);
    arrives(checker, 'g4-0-1', '$offline/g4-0-1/t/g4-0/a', payload);
    acknowledged(checker, 'g4-0-1');
    expect([checker.open, checker.lost(), checker.unacknowledged()]).toEqual([
      1,
      [{ identity, reader: 'g4-0-0' }],
      [{ identity, reader: 'g4-0-0' }],
    ]);
    checker.sent('$offline/g4-0-0/t/g4-0/a', payload);
    expect(checker.afterAck).toEqual([]);
    checker.sent('$offline/g4-0-1/t/g4-0/a', payload);
    expect(checker.afterAck).toMatchObject([{ identity }]);
  });

  it('counts a message as read once per shared group in pubsub mode', () => {
    const checker = newChecker('pubsub');
    const { payload } = published(checker, 't/g5-0/a');
    expect(checker.open).toBe(1);
    arrives(checker, 'g5-0-0', '$offline/g5-0-0/t/g5-0/a', payload);
    acknowledged(checker, 'g5-0-0');
    expect([checker.open, checker.lost()]).toEqual([0, []]);
    checker.sent('$offline/g5-0-1/t/g5-0/a', payload);
    expect([checker.afterAck, checker.afterAnothers]).toMatchObject([[], [{}]]);
  });

  it('checks the order per subscriber in pubsub mode, and not among several in queue mode', () => {
    for (const mode of ['queue', 'pubsub'] as const) {
      const checker = newChecker(mode);
      const [first, second] = [published(checker, 't/g4-0/a', 0), published(checker, 't/g4-0/a', 1)];
      for (const subscriber of ['g4-0-0', 'g4-0-1']) checker.order.subscribes(subscriber);
      arrives(checker, 'g4-0-0', 't/g4-0/a', second.payload);
      arrives(checker, 'g4-0-1', 't/g4-0/a', first.payload);
      expect(checker.order.breaks).toEqual([]);
      arrives(checker, 'g4-0-0', 't/g4-0/a', first.payload);
      expect(checker.order.breaks).toHaveLength(mode === 'pubsub' ? 1 : 0);
    }
  });

  it("reports a message that arrived in another client's inbox", () => {
    const checker = newChecker('pubsub');
    const { payload } = published(checker, 't/g4-0/a');
    arrives(checker, 'g4-0-1', '$offline/g4-0-0/t/g4-0/a', payload);
    expect(checker.strangers).toEqual(['$offline/g4-0-0/t/g4-0/a at g4-0-1']);
  });
});
