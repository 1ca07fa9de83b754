import { RetryableError } from '../../../src/base/errors';
import type { Taken } from '../../../src/lanes/source';
import { prepared } from '../../support/prepared';
import { waitFor } from '../../support/wait';
import { ack, deferred, done, eachTest, idsOf, mail, mailIdsOf, QueueWorld, type Kind } from './world';

/** Processes that die, stop, or work beside each other. */
export function takeover(kind: Kind): void {
  const test = eachTest(kind);

  // Promises 1 and 4. On PostgreSQL a guard is the trigger keep_place (migrations/queue): without it the jobs of the
  // dead process come last.
  it('are taken over in their place when it dies', async () => {
    const { world } = test;
    await world.lanes.put([ack('t/1', 'in hand')]);
    await world.lanes.put([ack('t/1', 'in hand, too')]);
    const dying = await QueueWorld.another(kind);
    const source = dying.backend.source(world.messageLane);
    await source.open();
    expect((await source.next(true))?.job.name).toBe('events');
    expect((await source.next(false))?.job.name).toBe('events');
    await world.lanes.put([ack('t/1', 'later')]);
    // A later event must not count as done before an earlier one.
    const progress = (await world.backend.sequence.progress([world.messageLane])).get(world.messageLane);
    expect(progress?.oldest).toBeLessThan(progress?.waiting ?? 0);
    expect(progress?.waiting).toBe(progress?.tail);
    await source.close();
    await dying.close();

    // The next start of the server.
    await prepared(world.backend);
    const seen: string[] = [];
    await world.messages({ handle: done((jobs) => seen.push(...idsOf(jobs))) });
    await waitFor('all', () => new Set(seen).size === 3, 40_000);
    expect(new Set(seen)).toEqual(new Set(['in hand', 'in hand, too', 'later']));
    await world.empty();
  }, 60_000);

  it('are given back in their place when it stops during retries', async () => {
    const { world } = test;
    const tried = deferred();
    await world.lanes.put([ack('t/1', 'returned')]);
    await world.lanes.put([ack('t/1', 'too')]);
    await world.messages({
      isAway: async () => true,
      handle: done(() => {
        tried.resolve();
        throw new RetryableError('the store is away');
      }),
    });
    await tried.promise;
    await world.lanes.put([ack('t/1', 'later')]);
    await world.stop();
    const seen: string[] = [];
    await world.messages({ handle: done((jobs) => seen.push(...idsOf(jobs))) });
    await waitFor('all', () => seen.length === 3);
    expect(seen).toEqual(['returned', 'too', 'later']);
  });

  // Promises 6 and 21. The guards are the order in JobSource.giveBack, and a token for each wait in JobSource.next.
  it('come again in their order after they were given back, and their earlier holder cannot complete them', async () => {
    const { world } = test;
    const source = world.backend.source(world.messageLane);
    await source.open();
    const take = async (count: number) => {
      const taken: Taken[] = [];
      for (let i = 0; i < 10 && taken.length < count; i++) taken.push(...[await source.next(true)].filter((each) => each !== null));
      return taken;
    };
    for (const id of ['a', 'b']) await world.lanes.put([ack('t/1', id)]);
    const before = await take(2);
    await world.lanes.put([ack('t/1', 'c')]);
    await source.giveBack(before);
    const again = await take(3);
    const ids = again.map(({ job }) => Number(job.id));
    expect(ids).toEqual([...ids].sort((a, b) => a - b));
    for (const taken of before) await expect(source.complete([taken])).rejects.toThrow();
    await source.complete(again);
    await source.close();
    await world.empty();
  });

  if (!kind.isShared) return;

  describe('with two servers', () => {
    // The guard is `ownership` in Consumer.take: both took jobs of the lane, and what happened to a mailbox overtook itself.
    it('one server works on a client lane until it stops, then the other', async () => {
      const { world } = test;
      const other = await test.another();
      const seen: { who: string; id: string }[] = [];
      let [busy, most] = [0, 0];
      const workOf = (who: string) => () => ({
        handle: done(async (jobs: Parameters<typeof mailIdsOf>[0]) => {
          most = Math.max(most, ++busy);
          await new Promise((resolve) => setTimeout(resolve, 5));
          seen.push(...mailIdsOf(jobs).map((id) => ({ who, id })));
          busy--;
        }),
      });
      const [[to = ''] = []] = world.mailboxes(1);
      await world.clients(workOf('one'));
      await world.lanes.mail([mail(to, 'm0')]);
      await waitFor('the first', () => seen.length === 1);
      await other.clients(workOf('other'));
      for (let i = 1; i < 40; i++) await (i % 2 === 0 ? world : other).lanes.mail([mail(to, `m${i}`)]);
      await waitFor('all', () => seen.length === 40);
      expect([seen.map(({ id }) => id), new Set(seen.map(({ who }) => who)), most]).toEqual([
        Array.from({ length: 40 }, (_, i) => `m${i}`),
        new Set(['one']),
        1,
      ]);
      await world.stop();
      await other.lanes.mail([mail(to, 'after')]);
      // Without waiting for the ownership to run out: it was released.
      await waitFor('the other one to go on', () => seen.length === 41, 5_000);
      expect(seen.at(-1)).toEqual({ who: 'other', id: 'after' });
    });

    it('both servers work on the message lanes, each job once', async () => {
      const { world } = test;
      const other = await test.another();
      const seen: string[] = [];
      const who = new Set<string>();
      const ids = Array.from({ length: 600 }, (_, i) => `m${i}`);
      for (const id of ids) await world.lanes.put([ack('t/1', id)]);
      for (const [name, each] of [
        ['one', world],
        ['other', other],
      ] as const) {
        await each.messages({
          handle: done(async (jobs) => {
            who.add(name);
            await waitFor('both to have work', () => who.size === 2, 10_000);
            seen.push(...idsOf(jobs));
          }),
        });
      }
      await waitFor('all', () => seen.length >= 600);
      await world.empty();
      expect([...seen].sort()).toEqual([...ids].sort());
    });
  });
}
