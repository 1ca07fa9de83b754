import { Gate } from '../../../src/lanes/gate';
import type { RetainedJob } from '../../../src/lanes/jobs';
import { clientLane } from '../../../src/lanes/names';
import { hasPassed, tailsOf, type LaneProgress } from '../../../src/lanes/sequence';
import { waitFor } from '../../support/wait';
import { ack, deferred, done, eachTest, idsOf, mail, type Kind, type QueueWorld } from './world';

/** How far a lane is, and who waits for it. */
export function progress(kind: Kind): void {
  const test = eachTest(kind);
  const of = async (world: QueueWorld, lane: string): Promise<LaneProgress> =>
    (await world.backend.sequence.progress([lane])).get(lane) as LaneProgress;

  it('of a lane without jobs is complete', async () => {
    const { world } = test;
    expect(await world.backend.sequence.progress([])).toEqual(new Map());
    expect(await of(world, world.messageLane)).toMatchObject({ oldest: null, waiting: null });
    expect(hasPassed(await world.backend.sequence.progress([world.messageLane]), { [world.messageLane]: 0 })).toBe(true);
  });

  // Its own batch is what a lane's owner is at: it must not wait for itself. The guards are the lists in RedisSequence, and the states in PostgresSequence.
  it('distinguishes waiting jobs from jobs that are being processed', async () => {
    const { world } = test;
    for (const id of ['a', 'b', 'c']) await world.lanes.put([ack('t/1', id)]);
    const lane = world.messageLane;
    const start = await of(world, lane);
    expect(start.oldest).toBe(start.waiting);
    const source = world.backend.source(lane);
    await source.open();
    const first = await source.next(true);
    const [one] = [await of(world, lane)];
    expect([one.oldest, one.tail]).toEqual([start.oldest, start.tail]);
    expect(one.waiting).toBeGreaterThan(one.oldest ?? 0);
    const others = [await source.next(true), await source.next(true)];
    expect(await of(world, lane)).toEqual({ tail: start.tail, oldest: start.oldest, waiting: null });
    await source.complete([first, others[0] ?? null].flatMap((each) => each ?? []));
    expect(await of(world, lane)).toEqual({ tail: start.tail, oldest: start.tail, waiting: null });
    // A job that is given back waits again, in its place.
    await world.lanes.put([ack('t/1', 'd')]);
    await source.giveBack(others.slice(1).flatMap((each) => each ?? []));
    expect(await of(world, lane)).toMatchObject({ oldest: start.tail, waiting: start.tail });
    await source.close();
  });

  it('does not include delayed jobs or other lanes', async () => {
    const { world } = test;
    const [[one = ''] = [], [other = ''] = []] = world.mailboxes(1);
    await world.lanes.mail([mail(one, 'm')]);
    await world.lanes.wake([{ to: other, at: Date.now() + 60_000 }], Date.now());
    const all = await world.backend.sequence.progress([world.laneOfMail(one), world.laneOfMail(other), world.messageLane]);
    expect([...all].map(([lane, { oldest, waiting }]) => [lane, oldest === null, waiting === null])).toEqual([
      [world.laneOfMail(one), false, false],
      [world.laneOfMail(other), true, true],
      [world.messageLane, true, true],
    ]);
  });

  it('does not wait for events that are accepted after the tails were read', async () => {
    const { world } = test;
    await world.lanes.put([ack('t/1', 'before')]);
    const lanes = [world.messageLane];
    const tails = tailsOf(await world.backend.sequence.progress(lanes));
    expect(hasPassed(await world.backend.sequence.progress(lanes), tails)).toBe(false);
    await world.lanes.put([ack('t/1', 'after')]);
    const source = world.backend.source(world.messageLane);
    await source.open();
    const taken = await source.next(true);
    expect(hasPassed(await world.backend.sequence.progress(lanes), tails)).toBe(false);
    if (taken !== null) await source.complete([taken]);
    expect(hasPassed(await world.backend.sequence.progress(lanes), tails)).toBe(true);
    await source.close();
  });

  // The guard is Gate: without it the retained message that a write deletes is published back.
  it.each<RetainedJob>([
    { name: 'restore', data: { filter: 't/1', before: null, after: '' } },
    { name: 'restore', data: { filter: 't/+', before: null, after: '' } },
    { name: 'reconcile', data: { topics: ['t/1'] } },
  ])('delays a $name of $data until the writes before it are done', async (job) => {
    const { world } = test;
    const order: string[] = [];
    const release = deferred();
    await world.messages({
      handle: done(async (jobs) => {
        await release.promise;
        order.push(...idsOf(jobs));
      }),
    });
    await world.lanes.put([ack('t/1', 'write')]);
    await (job.name === 'restore' ? world.lanes.restore(job.data) : world.lanes.reconcile(job.data.topics));
    const gate = new Gate(world.backend.sequence, world.lanes, world.backend.laneCounts);
    await world.clients((lane) => ({
      handle: done(async ([own]) => {
        if (own !== undefined && own.name !== 'mail' && (await gate.isOpenFor(lane, own))) order.push(own.name);
      }),
    }));
    await waitFor('it to be put off', async () => order.length > 0 || (await world.counts(clientLane(0))).delayed > 0);
    const early = [...order];
    release.resolve();
    expect(early).toEqual([]);
    await waitFor('both', () => order.length === 2);
    expect(order).toEqual(['write', job.name]);
  });
}
