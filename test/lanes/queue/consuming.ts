import { setTimeout as sleep } from 'node:timers/promises';
import { RetryableError } from '../../../src/base/errors';
import type { Failed } from '../../../src/lanes/attempts';
import { isMessageJob, type ClientJob } from '../../../src/lanes/jobs';
import { waitFor } from '../../support/wait';
import { ack, deferred, done, eachTest, idsOf, mail, mailIdsOf, mailOf, type Kind } from './world';

/** Tests of how the consumer of a lane handles failed jobs. */
export function consuming(kind: Kind): void {
  const test = eachTest(kind);

  it('retry the same jobs before later ones while the store is down', async () => {
    const { world } = test;
    const seen: string[] = [];
    let failures = 5;
    await world.lanes.put([ack('t/1', 'first')]);
    await world.messages({
      isAway: async () => true,
      handle: done((jobs) => {
        if (failures-- > 0) throw new RetryableError('the store is away');
        seen.push(...idsOf(jobs));
      }),
    });
    await world.lanes.put([ack('t/1', 'second')]);
    await waitFor('both', () => seen.length === 2);
    expect(seen).toEqual(['first', 'second']);
  });

  it('report for how long they have processed a batch, retries included', async () => {
    const { world } = test;
    const store = deferred<void>();
    let isBack = false;
    void store.promise.then(() => (isBack = true));
    await world.lanes.put([ack('t/1', 'first')]);
    await world.messages({
      isAway: async () => true,
      handle: done(() => {
        if (!isBack) throw new RetryableError('the store is away');
      }),
    });
    await waitFor('two tries', () => world.retries.length >= 2);
    expect(world.working()).toEqual([{ name: world.messageLane, ms: expect.any(Number) as number }]);
    expect(world.working()[0]?.ms).toBeGreaterThanOrEqual(90);
    store.resolve();
    await waitFor('the end', () => world.working().length === 0);
  });

  it('measure the lag of a delayed job from its due time', async () => {
    const { world } = test;
    const [[to = ''] = []] = world.mailboxes(1);
    const at = Date.now() + 2_000;
    await world.lanes.wake([{ to, at }], Date.now());
    await world.clients(() => ({ handle: done(() => undefined) }));
    await waitFor('the wake', () => world.lags.length === 1);
    // From the time at which it was added it would be 2 s longer.
    expect(world.lags[0]).toBeLessThanOrEqual(Date.now() - at);
    expect(world.lags[0]).toBeGreaterThan(-500);
  });

  // Acknowledgements that arrived since the first try may still be in the lane. The guards are `again` and startedAt in Consumer.
  it('mark a delivery that is retried or may have been started by another process', async () => {
    const { world } = test;
    const told: [string[], boolean][] = [];
    const [[to = ''] = []] = world.mailboxes(1);
    await world.lanes.mail([mail(to, 'old')]);
    await sleep(20);
    await world.clients(() => ({
      handle: done((jobs, again) => {
        told.push([mailIdsOf(jobs), again]);
        if (!again) throw new RetryableError('EMQX is away');
      }),
    }));
    await waitFor('the old one', () => told.length === 1);
    await world.lanes.mail([mail(to, 'new')]);
    await waitFor('the second try', () => told.length === 3);
    expect(told).toEqual([
      [['old'], true],
      [['new'], false],
      [['new'], true],
    ]);
  });

  it('set a permanently failing event aside and process the others (promise 13)', async () => {
    const { world } = test;
    const aside: string[] = [];
    const seen: string[] = [];
    let refusals = 2;
    await world.lanes.put([ack('t/1', 'good'), ack('t/1', 'poison'), ack('t/1', 'fine')]);
    await world.messages({
      handle: done((jobs) => {
        if (idsOf(jobs).includes('poison')) throw new TypeError('a bug');
        seen.push(...idsOf(jobs));
      }),
      setAside: async (part, reason) => {
        if (refusals-- > 0) throw new TypeError('another bug');
        aside.push(`${idsOf([part]).join()}: ${reason}`);
      },
    });
    await world.lanes.put([ack('t/1', 'later')]);
    await waitFor('the later one', () => seen.includes('later'));
    expect(aside).toEqual(['poison: a bug']);
    expect(new Set(seen)).toEqual(new Set(['good', 'fine', 'later']));
  });

  // The guard is `knows` in Consumer: the writer failed on it again and again, and its lane stood still.
  it('set a job of another version of the server aside', async () => {
    const { world } = test;
    const aside: unknown[] = [];
    const seen: string[] = [];
    const queue = world.backend.queue(world.messageLane);
    await queue.setGlobalConcurrency(1);
    await queue.add('fence', { left: 'behind' });
    await queue.close();
    await world.lanes.prepare();
    await world.lanes.put([ack('t/1', 'good')]);
    await world.messages({
      knows: isMessageJob,
      handle: done((jobs) => seen.push(...idsOf(jobs))),
      setAside: async ({ name, data }, reason) => void aside.push({ name, data, reason }),
    });
    await waitFor('the other one', () => seen.length === 1);
    expect(aside).toEqual([
      { name: 'fence', data: { left: 'behind' }, reason: 'this version of the server does not know this kind of job' },
    ]);
    await world.empty();
  });

  // Promise 20. The guard is Consumer.doApart: the lane stood still behind the poisoned one for ever.
  it('retry an event with a transient error of its own alone, and continue', async () => {
    const { world } = test;
    const seen: string[] = [];
    let isPoisoned = true;
    await world.lanes.put([ack('t/1', 'good'), ack('t/1', 'poison')]);
    await world.messages({
      handle: done((jobs) => {
        if (isPoisoned && idsOf(jobs).includes('poison')) throw new RetryableError('a deadlock, it says');
        seen.push(...idsOf(jobs));
      }),
    });
    await world.lanes.put([ack('t/1', 'later')]);
    await waitFor('the later one', () => seen.includes('later'));
    expect(seen).not.toContain('poison');
    isPoisoned = false;
    await waitFor('the poisoned one', () => seen.includes('poison'));
  });

  // The guard is `tries`, which the part carries: it would be tried for ever.
  it('set an event aside that still fails after seven postponed retries', async () => {
    const { world } = test;
    const aside: string[] = [];
    const postponed: number[] = [];
    await world.lanes.put([ack('t/1', 'poison')]);
    await world.messages({
      handle: async () => Promise.reject(new RetryableError('a deadlock, it says')),
      // At once, instead of after five minutes in all.
      postpone: async (part, delay) => {
        postponed.push(delay);
        await world.lanes.again(world.messageLane, part, 0);
      },
      setAside: async (part, reason) => void aside.push(`${idsOf([part]).join()}: ${reason}`),
    });
    await waitFor('it to be set aside', () => aside.length > 0, 50_000);
    expect(aside).toEqual(['poison: a deadlock, it says']);
    expect(postponed).toEqual([2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000]);
  });

  describe('with an error of one mailbox only (promise 20)', () => {
    const failing = (jobs: readonly ClientJob[], to: string, error: Error): Failed<ClientJob>[] => {
      const events = mailOf(jobs).filter((event) => event.to === to);
      return events.length === 0 ? [] : [{ part: { name: 'mail', data: { events } }, error }];
    };

    // The guard is giveUpAll in Consumer: the whole batch was done again, and its other mailboxes with it, or the
    // failed ones were forgotten.
    it('postpone the events of that mailbox, and process the others once', async () => {
      const { world } = test;
      const [[bad = '', good = ''] = []] = world.mailboxes(2);
      const seen: string[] = [];
      const postponed: { ids: string[]; tries: number | undefined; delay: number }[] = [];
      let isBad = true;
      // The test itself puts it back: after a pause it might come before the neighbours.
      let putBack = async (): Promise<void> => undefined;
      await world.lanes.mail([mail(bad, 'b1'), mail(good, 'g1'), mail(bad, 'b2')]);
      await world.clients((lane) => ({
        handle: async (jobs) => {
          const failed = isBad ? failing(jobs, bad, new RetryableError('EMQX has no answer for it')) : [];
          seen.push(...mailIdsOf(jobs).filter((id) => failed.length === 0 || !id.startsWith('b')));
          return failed;
        },
        postpone: async (part, delay) => {
          postponed.push({ ids: mailIdsOf([part]), tries: part.data.tries, delay });
          putBack = () => world.lanes.again(lane, part, 0);
        },
      }));
      await world.lanes.mail([mail(good, 'g2')]);
      await waitFor('the neighbours', () => seen.includes('g2'));
      expect(seen).toEqual(['g1', 'g2']);
      expect(postponed).toEqual([{ ids: ['b1', 'b2'], tries: 1, delay: 2_000 }]);
      isBad = false;
      await putBack();
      await waitFor('the postponed ones', () => seen.length === 4);
      expect(seen).toEqual(['g1', 'g2', 'b1', 'b2']);
    });

    it('set the events of that mailbox aside after a permanent error', async () => {
      const { world } = test;
      const [[bad = '', good = ''] = []] = world.mailboxes(2);
      const [seen, aside]: [string[], unknown[]] = [[], []];
      await world.lanes.mail([mail(bad, 'b'), mail(good, 'g')]);
      await world.clients(() => ({
        handle: async (jobs) => {
          seen.push(...mailIdsOf(jobs));
          return failing(jobs, bad, new TypeError('a bug'));
        },
        setAside: async (part, reason) => void aside.push([mailIdsOf([part]), reason]),
      }));
      await world.lanes.mail([mail(good, 'later')]);
      await waitFor('the later one', () => seen.includes('later'));
      expect(seen).toEqual(['b', 'g', 'later']);
      expect(aside).toEqual([[['b'], 'a bug']]);
      await world.empty();
    });

    // Promise 14: then nothing is wrong with it. The guard is isAway in giveUpAll.
    it('wait with the whole lane during an outage, and set nothing aside', async () => {
      const { world } = test;
      const [[bad = '', good = ''] = []] = world.mailboxes(2);
      const [seen, given]: [string[], string[]] = [[], []];
      let isAway = true;
      const looked = deferred();
      await world.lanes.mail([mail(bad, 'b')]);
      await world.clients(() => ({
        handle: async (jobs) => {
          if (isAway) return failing(jobs, bad, new TypeError('it looks like a bug'));
          seen.push(...mailIdsOf(jobs));
          return [];
        },
        isAway: async () => {
          looked.resolve();
          return isAway;
        },
        postpone: async (part) => void given.push(...mailIdsOf([part])),
        setAside: async (part) => void given.push(...mailIdsOf([part])),
      }));
      await looked.promise;
      await world.lanes.mail([mail(good, 'later')]);
      isAway = false;
      await waitFor('both', () => seen.length === 2);
      expect([seen, given]).toEqual([['b', 'later'], []]);
    });

    it('continue the count of retries when the mailbox fails together with others', async () => {
      const { world } = test;
      const [[bad = ''] = []] = world.mailboxes(1);
      const tries: (number | undefined)[] = [];
      const aside: string[] = [];
      await world.lanes.mail([mail(bad, 'b')]);
      await world.clients((lane) => ({
        // As the server does (work.ts): what failed before by itself goes on counting.
        handle: async (jobs) =>
          failing(jobs, bad, new RetryableError('never')).map(({ part, error }) => ({
            part: { ...part, data: { ...part.data, tries: jobs[0]?.data.tries ?? 0 } } as ClientJob,
            error,
          })),
        postpone: async (part) => {
          tries.push(part.data.tries);
          await world.lanes.again(lane, part, 0);
        },
        setAside: async (part) => void aside.push(...mailIdsOf([part])),
      }));
      await waitFor('it to be set aside', () => aside.length > 0, 50_000);
      expect(tries).toEqual([1, 2, 3, 4, 5, 6, 7]);
      expect(aside).toEqual(['b']);
    });
  });

  it('take several jobs of a client lane in one batch, in order', async () => {
    const { world } = test;
    const [[first = '', second = ''] = []] = world.mailboxes(2);
    const ids = Array.from({ length: 60 }, (_, i) => `m${String(i).padStart(2, '0')}`);
    for (const id of ids) await world.lanes.mail([mail(Number(id.slice(1)) % 3 === 0 ? second : first, id)]);
    const batches: string[][] = [];
    await world.clients(() => ({ handle: done((jobs) => batches.push(mailIdsOf(jobs))) }));
    await world.empty();
    expect(batches.flat()).toEqual(ids);
    expect(batches.length).toBeLessThan(10);
  });
}
