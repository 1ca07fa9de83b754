import { BOTH } from './causes';
import type { Checker } from './checker';
import { acknowledge, faultOf, newChecker, publish, receive, subscribe } from './checking';

const RESUMING = { clientid: 'g8-0-0', topic: 't/g8-0/a' };

describe('a second copy of a message that EMQX holds for a session', () => {
  const duplicatesOf = (checker: Checker, { clientid, topic } = RESUMING, connections = [1, 1]): string[] => {
    const payload = publish(checker, topic, 0);
    receive(checker, clientid, topic, payload, false, connections[0]);
    acknowledge(checker, clientid, 0);
    receive(checker, clientid, topic, payload, true, connections[1]);
    return [...checker.duplicates.keys()];
  };

  it('is reported when EMQX and the server both deliver', () => {
    expect(duplicatesOf(newChecker('queue'))).toEqual([BOTH]);
  });

  it('is reported when the server delivers first', () => {
    const checker = newChecker('queue');
    const payload = publish(checker, RESUMING.topic, 0);
    for (const ours of [true, false]) receive(checker, RESUMING.clientid, RESUMING.topic, payload, ours);
    expect([...checker.duplicates.keys()]).toEqual([BOTH]);
  });

  it('is allowed after the connection or a server died in between', () => {
    expect(duplicatesOf(newChecker('queue'), RESUMING, [1, 2])).not.toContain(BOTH);
    expect(duplicatesOf(newChecker('queue', { faultBetween: faultOf('server') }))).not.toContain(BOTH);
    expect(duplicatesOf(newChecker('queue', { faultBetween: faultOf('emqx') }))).toEqual([BOTH]);
  });

  it('is allowed when an outage delayed the acknowledgement', () => {
    const faultBetween = faultOf('database');
    expect(duplicatesOf(newChecker('queue', { faultBetween }))).toEqual([BOTH]);
    const checker = newChecker('queue', { faultBetween });
    const payload = publish(checker, RESUMING.topic, 0);
    for (const ours of [false, true]) receive(checker, RESUMING.clientid, RESUMING.topic, payload, ours);
    expect([...checker.duplicates.keys()]).not.toContain(BOTH);
  });

  it('is not checked for a session that ends with its connection', () => {
    expect(duplicatesOf(newChecker('queue'), { clientid: 'g0-0-0', topic: 't/g0-0/a' })).not.toContain(BOTH);
  });
});

describe('a new reader of a topic that is purged', () => {
  const TOPIC = 'busy/1';
  let now = 0;
  beforeEach(() => {
    now = 0;
    jest.spyOn(performance, 'now').mockImplementation(() => now);
  });
  afterEach(() => jest.restoreAllMocks());

  /** Four messages, a second apart, that the first reader has acknowledged but for those given; a new reader comes at the time. */
  function joined(at: number, unread: readonly number[] = []): { readonly checker: Checker; readonly payloads: readonly Buffer[] } {
    const checker = newChecker('pubsub');
    now = 0;
    subscribe(checker, 'busy-0', TOPIC);
    const payloads = [0, 1, 2, 3].map((sequence) => {
      now = sequence * 5_000;
      const payload = publish(checker, TOPIC, sequence);
      receive(checker, 'busy-0', TOPIC, payload, false);
      if (!unread.includes(sequence)) acknowledge(checker, 'busy-0', sequence);
      return payload;
    });
    now = at;
    subscribe(checker, 'busy-new-0', TOPIC);
    return { checker, payloads };
  }
  const owed = (checker: Checker): number[] => checker.lost().map(({ identity }) => identity.sequence);

  it('must get messages younger than 10 s and those that a reader has not read', () => {
    expect(owed(joined(22_000).checker)).toEqual([3]);
    expect(owed(joined(100_000).checker)).toEqual([]);
    expect(owed(joined(100_000, [1]).checker)).toEqual([1]);
    expect(joined(100_000, [1]).checker.open).toBe(2);
  });

  it('need not get a message that another new reader found deleted', () => {
    const { checker } = joined(100_000);
    now = 200_000;
    subscribe(checker, 'busy-new-1', TOPIC);
    expect(owed(checker)).toEqual([]);
  });

  it('must get later messages', () => {
    const { checker } = joined(100_000);
    publish(checker, TOPIC, 4);
    expect(checker.open).toBe(2);
    for (const reader of ['busy-0', 'busy-new-0']) acknowledge(checker, reader, 4);
    expect(checker.open).toBe(0);
  });

  it('must not get purged messages with a gap between them', () => {
    const inbox = `$offline/busy-new-0/${TOPIC}`;
    const holesOf = (sequences: readonly number[]): number[] => {
      const { checker, payloads } = joined(100_000);
      for (const sequence of sequences) receive(checker, 'busy-new-0', inbox, payloads[sequence] as Buffer, true);
      return checker.joins.holes().map(({ identity }) => identity.sequence);
    };
    expect(holesOf([0, 1, 2, 3])).toEqual([]);
    expect(holesOf([2, 3])).toEqual([]);
    expect(holesOf([])).toEqual([]);
    expect(holesOf([0, 3])).toEqual([1, 2]);
    expect(holesOf([0, 1])).toEqual([2, 3]);
  });
});

describe('clients with hostile names', () => {
  it('must get their messages like others', () => {
    const checker = newChecker('queue');
    publish(checker, '__proto__', 0);
    publish(checker, 'longer', 1);
    expect(checker.lost().map(({ identity }) => identity.topic)).toEqual(['__proto__', 'longer']);
  });

  it('have no inbox when EMQX accepts no URL of their length', () => {
    const checker = newChecker('queue', { isInbox: true });
    const payload = publish(checker, 'longer', 0);
    receive(checker, checker.partOf('longer').members[0] ?? '', 'longer', payload, false);
    expect([checker.open, checker.lost(), checker.strangers]).toEqual([0, [], []]);
  });
});

describe('a message that EMQX dropped without an event', () => {
  it('may arrive after a message that was sent later', () => {
    const breaksOf = (isDropped: boolean): number => {
      const checker = newChecker('queue');
      const [first, second] = [publish(checker, 't/g0-0/a', 0), publish(checker, 't/g0-0/a', 1)];
      checker.order.subscribes('g0-0-0');
      if (isDropped) checker.droppedSilently(first);
      for (const payload of [second, first]) receive(checker, 'g0-0-0', 't/g0-0/a', payload, true);
      return checker.order.breaks.length;
    };
    expect([breaksOf(true), breaksOf(false)]).toEqual([0, 1]);
  });

  it('counts as late until it arrives', () => {
    const checker = newChecker('queue');
    checker.droppedSilently(publish(checker, 't/g0-0/a', 0));
    expect(checker.unacknowledged()).toHaveLength(1);
  });
});
