import { EventEmitter } from 'node:events';
import type { Server } from 'node:http';
import { MSGID_PROPERTY } from '../../src/mailbox/signature';
import { audienceOf } from './audience';
import { Cast } from './cast';
import { BOTH, type FaultBetween, type Side } from './causes';
import { Checker } from './checker';
import { ORDINARY } from './groups';
import { payloadOf } from './message';
import { Stills } from './stills';
import type { Balancer } from './balancer';
import type { SupervisedServer } from './servers';
import { Waits } from './waits';

const RESUMING = { clientid: 'g8-0-0', topic: 't/g8-0/a' };
const NO_FAULT: FaultBetween = () => new Set();
const faultOf = (side: Side): FaultBetween => () => new Set([side]);

function newChecker(mode: 'queue' | 'pubsub', { faultBetween = NO_FAULT, isInbox = false } = {}): Checker {
  return new Checker(audienceOf(mode, Cast.of({ kinds: ORDINARY, groups: 1, hostile: true, busy: true, isInbox })), faultBetween);
}

function publish(checker: Checker, topic: string, sequence: number): Buffer {
  const payload = Buffer.from(payloadOf({ publisher: 'p', topic, sequence }));
  checker.willPublish({ publisher: 'p', topic, sequence });
  const event = { event: 'message.publish', id: `m${sequence}`, clientid: 'p', topic, payload };
  checker.fired(event);
  checker.answered(event, 202);
  return payload;
}

function acknowledge(checker: Checker, clientid: string, sequence: number): void {
  const event = { event: 'message.acked', id: 'another', clientid, pub_props: { 'User-Property': { [MSGID_PROPERTY]: `m${sequence}` } } };
  checker.fired(event);
  checker.answered(event, 202);
}

function subscribe(checker: Checker, clientid: string, topic: string): void {
  const event = { event: 'session.subscribed', clientid, topic };
  checker.fired(event);
  checker.answered(event, 202);
}

function receive(checker: Checker, subscriber: string, topic: string, payload: Buffer, ours: boolean, connection = 1): void {
  checker.received({ subscriber, connection, topic, payload, ours });
}

describe('what EMQX holds for a session', () => {
  const duplicatesOf = (checker: Checker, { clientid, topic } = RESUMING, connections = [1, 1]): string[] => {
    const payload = publish(checker, topic, 0);
    receive(checker, clientid, topic, payload, false, connections[0]);
    acknowledge(checker, clientid, 0);
    receive(checker, clientid, topic, payload, true, connections[1]);
    return [...checker.duplicates.keys()];
  };

  it('is delivered by EMQX or by us', () => {
    expect(duplicatesOf(newChecker('queue'))).toEqual([BOTH]);
  });

  it('is delivered by us first and by EMQX afterwards: the same', () => {
    const checker = newChecker('queue');
    const payload = publish(checker, RESUMING.topic, 0);
    for (const ours of [true, false]) receive(checker, RESUMING.clientid, RESUMING.topic, payload, ours);
    expect([...checker.duplicates.keys()]).toEqual([BOTH]);
  });

  it('may come twice when the connection or a server died in between', () => {
    expect(duplicatesOf(newChecker('queue'), RESUMING, [1, 2])).not.toContain(BOTH);
    expect(duplicatesOf(newChecker('queue', { faultBetween: faultOf('server') }))).not.toContain(BOTH);
    expect(duplicatesOf(newChecker('queue', { faultBetween: faultOf('emqx') }))).toEqual([BOTH]);
  });

  it('may come twice when the store or queue was away and the acknowledgement had not been accepted', () => {
    const faultBetween = faultOf('database');
    expect(duplicatesOf(newChecker('queue', { faultBetween }))).toEqual([BOTH]);
    const checker = newChecker('queue', { faultBetween });
    const payload = publish(checker, RESUMING.topic, 0);
    for (const ours of [false, true]) receive(checker, RESUMING.clientid, RESUMING.topic, payload, ours);
    expect([...checker.duplicates.keys()]).not.toContain(BOTH);
  });

  it('is no question of a session that ends with its connection', () => {
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

  it('is owed what is younger than ten seconds, or that somebody has not read', () => {
    expect(owed(joined(22_000).checker)).toEqual([3]);
    expect(owed(joined(100_000).checker)).toEqual([]);
    expect(owed(joined(100_000, [1]).checker)).toEqual([1]);
    expect(joined(100_000, [1]).checker.open).toBe(2);
  });

  it('is not owed what another new reader found removed', () => {
    const { checker } = joined(100_000);
    now = 200_000;
    subscribe(checker, 'busy-new-1', TOPIC);
    expect(owed(checker)).toEqual([]);
  });

  it('is owed what comes later', () => {
    const { checker } = joined(100_000);
    publish(checker, TOPIC, 4);
    expect(checker.open).toBe(2);
    for (const reader of ['busy-0', 'busy-new-0']) acknowledge(checker, reader, 4);
    expect(checker.open).toBe(0);
  });

  it('gets no part of what could be purged with a hole in it', () => {
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
  it('are owed their messages like others', () => {
    const checker = newChecker('queue');
    publish(checker, '__proto__', 0);
    publish(checker, 'longer', 1);
    expect(checker.lost().map(({ identity }) => identity.topic)).toEqual(['__proto__', 'longer']);
  });

  it('have no inbox when EMQX takes no URL of their length', () => {
    const checker = newChecker('queue', { isInbox: true });
    const payload = publish(checker, 'longer', 0);
    receive(checker, checker.partOf('longer').members[0] ?? '', 'longer', payload, false);
    expect([checker.open, checker.lost(), checker.strangers]).toEqual([0, [], []]);
  });
});

describe('what EMQX dropped without telling', () => {
  it('may come behind what was sent after it', () => {
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

  it('is late until it comes', () => {
    const checker = newChecker('queue');
    checker.droppedSilently(publish(checker, 't/g0-0/a', 0));
    expect(checker.unacknowledged()).toHaveLength(1);
  });
});

describe('the wait for a stored message', () => {
  const recordsOf = (checker: Checker) => [...checker.openIn('t/g0-0/a')];

  it('is known while it lasts', () => {
    const checker = newChecker('queue');
    publish(checker, 't/g0-0/a', 0);
    const waits = new Waits(NO_FAULT);
    waits.subscribes('g0-0-0', recordsOf(checker), -1, 0);
    expect([waits.longerThan(2_000, 1_000), waits.longerThan(2_000, 3_000)]).toEqual([0, 1]);
    waits.ends('g0-0-0', 3_000);
    expect(waits.longerThan(2_000, 3_000)).toBe(0);
  });

  it('begins with the subscription and ends with the first message, or when the client leaves', () => {
    const checker = newChecker('queue');
    publish(checker, 't/g0-0/a', 0);
    const waits = new Waits(NO_FAULT);
    const from = performance.now();
    waits.subscribes('g0-0-0', recordsOf(checker), -1, from);
    waits.ends('g0-0-0', from + 700);
    waits.ends('g0-0-0', from + 900);
    expect(waits.all).toEqual([{ subscriber: 'g0-0-0', ms: expect.closeTo(700) }]);
  });

  it('is none of a subscription that follows another at once', () => {
    const checker = newChecker('queue');
    publish(checker, 't/g0-0/a', 0);
    const waits = new Waits(NO_FAULT);
    for (const at of [0, 2_000, 5_000]) {
      waits.subscribes('g0-0-0', recordsOf(checker), -1, at);
      waits.ends('g0-0-0', at + 100);
    }
    expect(waits.all).toHaveLength(2);
  });

  it('is none when nothing is stored, when it was sent, when the last connection may have had it, or while something is broken', () => {
    const checker = newChecker('queue');
    const [none, broken] = [new Waits(NO_FAULT), new Waits(faultOf('emqx'))];
    const payload = publish(checker, 't/g0-0/a', 0);
    broken.subscribes('g0-0-0', recordsOf(checker), -1, performance.now());
    broken.ends('g0-0-0', performance.now());
    none.subscribes('g0-0-0', [], 0, performance.now());
    none.ends('g0-0-0', performance.now());
    // Published before the last connection ended: EMQX delivered it, or we did.
    none.subscribes('g0-0-1', recordsOf(checker), Infinity, performance.now());
    none.ends('g0-0-1', performance.now());
    checker.sent('t/g0-0/a', payload);
    none.subscribes('g0-0-2', recordsOf(checker), -1, performance.now());
    none.ends('g0-0-2', performance.now());
    expect([...none.all, ...broken.all]).toEqual([]);
  });
});

describe('a process that stands still', () => {
  const still = (faultBetween: FaultBetween) => {
    const checker = newChecker('queue');
    const balancer = { avoid: jest.fn(), readmit: jest.fn() };
    // The other one does not answer: nothing is stored.
    const servers = ['a', 'b'].map((name) => ({ name, port: 1, url: 'http://127.0.0.1:1', freeze: async (_ms: number, meanwhile: () => Promise<void>) => meanwhile() }) as unknown as SupervisedServer);
    const waits = { longerThan: () => 2 } as unknown as Waits;
    const stills = new Stills(servers, new EventEmitter() as Server, balancer as unknown as Balancer, checker, waits, faultBetween, 1);
    return { checker, stills, balancer, happen: () => stills.happen(servers[0] as SupervisedServer, 1) };
  };

  it('is taken over from: what the others accepted is stored, and somebody delivers', async () => {
    const { checker, stills, balancer, happen } = still(NO_FAULT);
    await happen();
    expect(stills.failures()).toEqual(['a stood still, and nobody delivered anything: 2 subscribers waited']);
    jest.spyOn(checker, 'acceptedBetween').mockImplementation(() => [...checker.records.values()]);
    publish(checker, 't/g0-0/a', 0);
    await happen();
    expect(stills.failures()[1]).toBe('a stood still, and 1 of 1 messages that the others had accepted were not stored');
    acknowledge(checker, 'g0-0-0', 0);
    await happen();
    expect(stills.failures()[2]).toBe('a stood still, and nobody delivered anything: 2 subscribers waited');
    expect(balancer.readmit).toHaveBeenCalledTimes(3);
  });

  it('says nothing while the store or the queue is broken, nor of deliveries while EMQX is', async () => {
    for (const side of ['database', 'emqx'] as const) {
      const { stills, happen } = still(faultOf(side));
      await happen();
      expect(stills.failures()).toEqual([]);
    }
  });
});
