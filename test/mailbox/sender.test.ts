import { RetryableError } from '../../src/base/errors';
import { isIdle } from '../../src/mailbox/box/mailbox';
import { clientKey, mailboxKey } from '../../src/mqtt/consumer';
import { SIGNATURE_PROPERTY } from '../../src/mailbox/signature';
import { message } from '../support/messages';
import { acked, deliver, PassWorld } from './pass-world';

/** A client c that subscribes to t, of which M is stored. */
async function subject(fields: ConstructorParameters<typeof PassWorld>[0] = {}): Promise<PassWorld> {
  const world = new PassWorld(fields);
  await world.stored('t', 'M');
  return world;
}
const claimOn = async (world: PassWorld, id: string): Promise<string | null> => world.state.get(`lease:${id}`);

describe('a message that is sent', () => {
  it("is recorded with EMQX's id, and its topics are read again after 10 s (promise 5)", async () => {
    const world = await subject();
    expect(await world.handle([deliver('c', 't')])).toEqual([]);
    expect(world.published).toEqual(['t M']);
    const mailbox = await world.mailbox('c');
    expect([...(mailbox?.out ?? [])]).toEqual([
      ['M', { topic: 't', qos: 1, clientid: 'c', filter: 't', sentAt: 20_000, emqxId: 'REST1-0', isMissing: false }],
    ]);
    expect(world.wakes).toEqual([{ to: clientKey('c'), at: 30_000 }]);
    await world.store.saveMessages([message({ topic: 't', id: 'N', publishReceivedAt: 2 })]);
    await world.until(40_000);
    expect(world.published).toEqual(['t M', 't N']);
  });

  it('for several clients goes into one request to EMQX', async () => {
    const world = await subject();
    await world.stored('u', 'U');
    await world.handle([deliver('c', 't'), deliver('d', 't'), deliver('e', 'u')]);
    expect(world.requests).toHaveLength(1);
    expect(world.published).toEqual(['t M', 'u U']);
    // The other one looks again: nobody may have acknowledged it then.
    expect((await world.mailbox('d'))?.runs).toMatchObject([{ isBlocked: true }]);
    world.now = 31_000;
    await world.state.release(['M'], clientKey('c'));
    await world.until(60_000);
    expect(world.published.filter((each) => each === 't M').length).toBeGreaterThan(1);
  });

  it('in pubsub mode is sent to each consumer', async () => {
    const world = await subject({ mode: 'pubsub', deliverTo: 'inbox' });
    await world.handle([deliver('c', 't'), deliver('d', 't')]);
    expect(world.published).toEqual(['$offline/c/t M', '$offline/d/t M']);
  });

  // The client's acknowledgement says whose copy it was. The guard is addressOf in Sender.
  it.each([
    [{}, 't', 'own', 'c'],
    [{}, '$share/g/t', 'member', 'c'],
    [{ deliverTo: 'inbox' as const }, '$share/g/t', 'own', 'c'],
    [{ mode: 'pubsub' as const }, '$share/g/t', 'group', '$share/g'],
  ])('is marked for its mailbox (%j, %s): %s', async (fields, filter, kind, consumer) => {
    const world = await subject(fields);
    await world.handle([deliver('c', filter, consumer === 'c' ? {} : { consumer })]);
    const [delivery] = world.requests.flat();
    const mark = { id: 'M', signature: delivery?.properties.userProperties[SIGNATURE_PROPERTY] ?? '' };
    expect(world.signer.verified(mark, delivery?.topic ?? '')).toEqual({ id: 'M', kind, mailbox: mailboxKey(consumer) });
  });

  // Under load an accepted ack waits in its lane, behind a delivery. The guard: withoutAcknowledged in Sender.
  it.each([
    ['queue', null],
    ['pubsub', 'c'],
  ] as const)('is none that was acknowledged but is still in the store (%s)', async (mode, reader) => {
    const world = await subject({ mode });
    await world.acks.note('M', reader);
    await world.handle([deliver('c', 't')]);
    expect([world.published, await world.out('c')]).toEqual([[], []]);
  });

  // While EMQX answers the client may lose its connection with the message and subscribe with another one.
  it('promise 6: has the time before EMQX received it, not that of the answer', async () => {
    const world = await subject();
    world.publishing = () => void (world.now += 3_000);
    await world.handle([deliver('c', 't')]);
    expect([...((await world.mailbox('c'))?.out.values() ?? [])].map(({ sentAt }) => sentAt)).toEqual([20_000]);
  });

  /** A process stands still for so long after it has loaded the mailbox, while `meanwhile` happens. */
  const standing = async (ms: number, meanwhile: (world: PassWorld) => Promise<unknown>): Promise<PassWorld> => {
    let isFirst = true;
    const world: PassWorld = new PassWorld({}, ({ sequence }) => ({
      sequence: {
        progress: async (lanes) => {
          if (isFirst) {
            isFirst = false;
            await meanwhile(world);
            world.now += ms;
          }
          return sequence.progress(lanes);
        },
      },
    }));
    await world.stored('t', 'M');
    return world;
  };

  // Its successor's claims have ended, and nobody has acknowledged. The guard is Fresh.check.
  it('is not sent by a process that stood still until its successor had sent it', async () => {
    const world = await standing(11_000, (other) => other.handle([deliver('c', 't')], true));
    const failures = await world.handle([deliver('c', 't')]);
    expect(failures).toMatchObject([{ error: { message: expect.stringContaining('another process has worked on the mailbox') } }]);
    expect(await world.handle([deliver('c', 't')], true)).toEqual([]);
    expect([world.published, await world.out('c')]).toEqual([['t M'], ['M']]);
  });

  it('is sent by a process that was slow, if no other one has worked on the mailbox', async () => {
    const world = await standing(11_000, async () => undefined);
    expect(await world.handle([deliver('c', 't')])).toEqual([]);
    expect(world.published).toEqual(['t M']);
  });

  // A process that stood still must not send what others have sent, and got acknowledged, meanwhile. The guard is FRESH_MS in Sender.
  it('is read again when it was read from the store too long ago', async () => {
    const world = await subject();
    const lease = world.state.lease.bind(world.state);
    world.state.lease = async (...args) => {
      world.now += 6_000;
      return lease(...args);
    };
    expect(await world.handle([deliver('c', 't')])).toMatchObject([{ error: expect.any(RetryableError) as unknown }]);
    expect([world.published, await claimOn(world, 'M')]).toEqual([[], null]);
    world.state.lease = lease;
    await world.handle([deliver('c', 't')], true);
    expect(world.published).toEqual(['t M']);
  });

  it('leaves no state after its acknowledgement', async () => {
    const world = await subject();
    await world.handle([deliver('c', 't')]);
    await world.handle([acked('c', 'M')]);
    expect(await world.out('c')).toEqual([]);
    await world.store.removeMessages([{ id: 'M', topic: 't' }]);
    await world.until(60_000);
    const mailbox = await world.mailbox('c');
    expect(mailbox === null || isIdle(mailbox)).toBe(true);
    expect(world.wakes).toEqual([]);
    world.now += 3_600_001;
    expect(await world.mailbox('c')).toBeNull();
  });
});

describe('the answer of EMQX to a publish', () => {
  it('is an outage: no message counts as sent, and the job is retried', async () => {
    const world = await subject();
    world.publishing = () => {
      throw new RetryableError('EMQX is away');
    };
    await expect(world.handle([deliver('c', 't')])).rejects.toThrow(RetryableError);
    expect([await world.out('c'), await claimOn(world, 'M')]).toEqual([[], null]);
  });

  it('is lost: the message stays reserved until EMQX is asked', async () => {
    const world = await subject();
    world.outcome = () => ({ result: 'unknown' });
    await world.handle([deliver('c', 't')]);
    expect([...((await world.mailbox('c'))?.out.values() ?? [])]).toMatchObject([{ emqxId: null, isMissing: false }]);
    expect(await claimOn(world, 'M')).toBe(clientKey('c'));
  });

  it.each([
    ['delivered', []],
    ['no-subscribers', ['M']],
    ['unknown', ['M']],
  ] as const)('with settle: delivered removes only delivered messages: %s', async (result, stored) => {
    const world = await subject({ settle: 'delivered' });
    world.outcome = () => (result === 'delivered' ? { result, id: null } : { result });
    await world.handle([deliver('c', 't')]);
    expect([[...world.store.messages.keys()], await world.out('c')]).toEqual([stored, []]);
  });

  it('has no message id: the next messages do not wait for an acknowledgement', async () => {
    const world = await subject();
    await world.stored('u', 'U');
    world.outcome = () => ({ result: 'delivered', id: null });
    await world.handle([deliver('c', 't')]);
    expect([...((await world.mailbox('c'))?.out.values() ?? [])]).toMatchObject([{ emqxId: '' }]);
    await world.handle([deliver('c', 'u')]);
    expect(world.published).toEqual(['t M', 'u U']);
  });

  it('is "no subscribers": the delivery ends, and another client gets the message', async () => {
    const world = await subject();
    world.outcome = () => ({ result: 'no-subscribers' });
    await world.handle([deliver('c', 't')]);
    expect([await world.out('c'), (await world.mailbox('c'))?.runs ?? [], await claimOn(world, 'M')]).toEqual([[], [], null]);
    world.outcome = () => ({ result: 'delivered', id: 'X' });
    await world.handle([deliver('d', 't')]);
    expect(await world.out('d')).toEqual(['M']);
  });

  // No rule has to tell that a client unsubscribed. The guard is Resender.send: nothing was sent again for its other filters.
  it('is "no subscribers" to a message that is sent again: those for other filters are sent', async () => {
    const world = await subject();
    await world.stored('t', 'N');
    await world.stored('u', 'U');
    await world.handle([deliver('c', 't'), deliver('c', 'u')]);
    // No run reads the messages again, because its later look is over.
    await world.until(31_000);
    const drop = { to: clientKey('c'), kind: 'dropped', clientid: 'c', copyId: null, reason: 'queue_full' } as const;
    await world.handle([...['M', 'N'].map((id) => ({ ...drop, id, topic: 't' })), { ...drop, id: 'U', topic: 'u' }]);
    world.outcome = ({ topic }) => (topic === 't' ? { result: 'no-subscribers' } : { result: 'delivered', id: 'X' });
    await world.until(42_000);
    expect(world.published.slice(3)).toEqual(['t M', 'u U']);
    expect((await world.mailbox('c'))?.again).toEqual([]);
    expect(await world.out('c')).toEqual(['U']);
  });

  // Promise 20. The guard is note in Sender: all that was published was tried again.
  it('is missing for some messages: only those are retried', async () => {
    const world = await subject();
    await world.stored('u', 'U');
    world.outcome = ({ topic }) =>
      topic === 'u' ? { result: 'unsent', error: new RetryableError('the second request failed') } : { result: 'delivered', id: 'X' };
    const failures = await world.handle([deliver('c', 't'), deliver('d', 'u')]);
    expect(failures.map(({ events }) => events.map(({ to }) => to))).toEqual([[clientKey('d')]]);
    expect([await world.out('c'), await world.out('d'), await claimOn(world, 'U')]).toEqual([['M'], [], null]);
    world.outcome = () => ({ result: 'delivered', id: 'Y' });
    expect(
      await world.handle(
        failures.flatMap(({ events }) => [...events]),
        true,
      ),
    ).toEqual([]);
    expect(world.published).toEqual(['t M', 'u U', 'u U']);
  });

  // The guard is Resender.send: a message that EMQX dropped, and that was then not sent because EMQX was overloaded, was forgotten.
  it('is missing for messages that are sent again: they are retried', async () => {
    const world = await subject();
    await world.stored('t', 'N');
    await world.handle([deliver('c', 't')]);
    // No run reads the messages again, because its later look is over.
    await world.until(31_000);
    expect((await world.mailbox('c'))?.runs).toEqual([]);
    const drop = { to: clientKey('c'), kind: 'dropped', clientid: 'c', topic: 't', copyId: null, reason: 'queue_full' } as const;
    await world.handle([
      { ...drop, id: 'M' },
      { ...drop, id: 'N' },
    ]);
    world.outcome = () => ({ result: 'unsent', error: new RetryableError('EMQX answered 503: failed_to_dispatch') });
    const wake = { to: clientKey('c'), kind: 'wake' } as const;
    world.now += 11_000;
    expect(await world.handle([wake])).toMatchObject([{ error: { message: 'EMQX answered 503: failed_to_dispatch' } }]);
    world.outcome = () => ({ result: 'delivered', id: 'X' });
    expect(await world.handle([wake], true)).toEqual([]);
    expect(world.published).toEqual(['t M', 't N', 't M', 't M']);
    expect(await world.out('c')).toEqual(['M']);
    await world.handle([acked('c', 'M')]);
    expect(world.published.slice(4)).toEqual(['t N']);
  });

  it('is a rejection: the message is set aside and removed', async () => {
    const world = await subject();
    world.outcome = () => ({ result: 'refused', reason: 'too large' });
    await world.handle([deliver('c', 't')]);
    expect(world.aside).toEqual(['M: EMQX refused it: too large']);
    expect(world.store.messages.size).toBe(0);
    expect(await world.out('c')).toEqual([]);
  });

  // Promise 20. The guard is refuse in Sender: a client whose id is too long for a topic removed everybody's messages.
  it('is a rejection for one inbox: the message stays stored for other clients', async () => {
    const world = await subject({ deliverTo: 'inbox' });
    world.outcome = ({ topic }) =>
      topic.startsWith('$offline/c/') ? { result: 'refused', reason: 'the topic is too long' } : { result: 'delivered', id: 'X' };
    await world.handle([deliver('c', 't')]);
    expect(world.store.messages.size).toBe(1);
    // The others do not wait until its claim is over, either.
    await world.handle([deliver('d', 't')]);
    expect(world.published).toEqual(['$offline/c/t M', '$offline/d/t M']);
    // The later look.
    await world.until(60_000);
    expect(world.published.filter((each) => each.startsWith('$offline/c/')).length).toBeGreaterThan(1);
    expect(world.aside).toEqual(['M: EMQX refused it for the inbox of client c: the topic is too long']);
  });
});

describe('a job that is repeated', () => {
  const behind = { tail: 7, oldest: 7, waiting: 7 };

  // An ack accepted since the job was first started may still be in its lane. The guard is `repeated` in MailPass.learn.
  it('waits for the writes accepted until now before it sends', async () => {
    const world = await subject();
    world.outcome = () => ({ result: 'unsent', error: new RetryableError('away') });
    await world.handle([deliver('c', 't')]);
    world.outcome = () => ({ result: 'delivered', id: 'X' });
    world.requests.length = 0;
    world.progress = () => behind;
    expect(await world.handle([deliver('c', 't')], true)).toEqual([]);
    await world.until(20_400);
    expect(world.published).toEqual([]);
    world.progress = () => ({ tail: 9, oldest: 8, waiting: 8 });
    await world.until(21_000);
    expect(world.published).toEqual(['t M']);
    // A subscription stays one: it is looked at after the grace, whoever started it (promise 5).
    expect((await world.mailbox('c'))?.runs).toMatchObject([{ lookAt: 30_000 }]);
  });

  it('counts its acknowledgements, and continues after the writes', async () => {
    const world = new PassWorld({ window: 2 });
    await world.stored('t', 'A', 'B', 'C', 'D');
    await world.handle([deliver('c', 't')]);
    world.progress = () => behind;
    await world.handle([acked('c', 'A'), acked('c', 'B')], true);
    expect([world.published, await world.out('c')]).toEqual([['t A', 't B'], []]);
    world.progress = () => ({ tail: 9, oldest: null, waiting: null });
    await world.until(21_000);
    expect(world.published.slice(2)).toEqual(['t C', 't D']);
  });

  // Promise 6. The guard is `stop` in Sender.claim: a process died between sending A and saving that, and B would overtake it.
  it('waits behind a message that it may have sent before it died', async () => {
    const world = await subject();
    await world.stored('t', 'N');
    await world.state.lease([{ name: 'M', owner: clientKey('c') }], 10_000);
    await world.handle([deliver('c', 't')]);
    expect(world.published).toEqual([]);
    await world.until(35_000);
    expect(world.published).toEqual(['t M', 't N']);
  });

  it('does not send a recorded message again that EMQX holds', async () => {
    const world = await subject();
    await world.handle([deliver('c', 't')]);
    world.held = { kind: 'list', messages: [{ id: 'REST1-0', topic: 't', from: 'http_api' }], complete: true };
    await world.handle([deliver('c', 't')], true);
    await world.until(31_000);
    expect(world.published).toEqual(['t M']);
  });
});

// Promise 21. The guards: compare-and-set in Boxes.save, and Seat.restart.
test('a mailbox that another process saved meanwhile is loaded again, not overwritten', async () => {
  const world = await subject();
  await world.stored('u', 'U');
  const other = new PassWorld({}, () => ({ state: world.state, store: world.store.asStore() }));
  let isFirst = true;
  world.publishing = async () => {
    if (!isFirst) return;
    isFirst = false;
    await other.handle([deliver('c', 'u')]);
  };
  expect(await world.handle([deliver('c', 't')])).toEqual([]);
  expect((await world.out('c')).sort()).toEqual(['M', 'U']);
  expect((await world.mailbox('c'))?.runs.map(({ filter }) => filter).sort()).toEqual(['t', 'u']);
});
