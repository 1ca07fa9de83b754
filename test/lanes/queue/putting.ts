import type { Item, MailEvent, MailJob } from '../../../src/lanes/jobs';
import { MAX_JOB_EVENTS, MAX_MAIL_EVENTS } from '../../../src/lanes/new-jobs';
import { waitFor } from '../../support/wait';
import { ack, done, idsOf, mail, mailIdsOf, mailOf, eachTest, type Kind } from './world';

const subscribe = (to: string, filter: string): Item[] => [
  { mail: { to, kind: 'change', change: { kind: 'subscribed', clientid: to, filter, qos: 1, at: 0 } } },
  { mail: { to, kind: 'deliver', request: { clientid: to, filter, qos: 1, at: 0 } } },
];

/** Tests that events which are added together become few jobs and stay in order. */
export function putting(kind: Kind): void {
  const test = eachTest(kind);

  it('keep the order of a topic, and simultaneous events share few jobs', async () => {
    const { world } = test;
    const ids = Array.from({ length: 1000 }, (_, i) => `m${i}`);
    await Promise.all(ids.map((id) => world.lanes.put([ack('t/1', id)])));
    expect((await world.counts(world.messageLane)).waiting).toBeLessThan(20);
    const seen: string[] = [];
    await world.messages({ handle: done((jobs) => seen.push(...idsOf(jobs))) });
    await world.empty();
    expect(seen).toEqual(ids);
  });

  it('are processed in batches of limited size', async () => {
    const { world } = test;
    for (let i = 0; i < 600; i++) await world.lanes.put([ack('t/1', `m${i}`)]);
    expect((await world.counts(world.messageLane)).waiting).toBe(600);
    const sizes: number[] = [];
    const seen: string[] = [];
    await world.messages({
      handle: done((jobs) => {
        sizes.push(idsOf(jobs).length);
        seen.push(...idsOf(jobs));
      }),
    });
    await world.empty();
    expect(seen).toEqual(Array.from({ length: 600 }, (_, i) => `m${i}`));
    expect(sizes.length).toBeLessThan(8);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(MAX_JOB_EVENTS);
  });

  it('contain one job per SUBSCRIBE, and few jobs for many simultaneous ones', async () => {
    const { world } = test;
    const [[one = '', other = ''] = []] = world.mailboxes(2);
    await world.lanes.put(subscribe(one, 't/1'));
    expect(await world.total()).toBe(1);
    await world.lanes.put(subscribe(other, '#'));
    expect(await world.total()).toBe(2);
    await Promise.all(Array.from({ length: 50 }, () => world.lanes.put(subscribe(one, 't/+'))));
    expect(await world.total()).toBeLessThanOrEqual(4);
    const seen: MailEvent[] = [];
    await world.clients(() => ({ handle: done((jobs) => seen.push(...mailOf(jobs))) }));
    await world.empty();
    // Each in its mailbox's order: the subscription is kept before anything is delivered for it.
    expect(seen.filter(({ to }) => to === other).map((each) => each.kind)).toEqual(['change', 'deliver']);
    expect(seen.filter(({ to }) => to === one).map((each) => each.kind)).toEqual(
      Array.from({ length: 51 }, () => ['change', 'deliver']).flat(),
    );
    // A quiet queue needs no other job for them.
    expect(await world.total()).toBe(0);
  });

  // The guard is mailJobs: a job for each event would cost as much as the rest of a delivery.
  it('contain one job per lane for the mail of a flush, more above the limit', async () => {
    const { world } = test;
    const boxes = world.mailboxes(3);
    const events = boxes.flat().map((to) => mail(to, to));
    await world.lanes.mail(events);
    expect(await Promise.all(boxes.map(async ([to = '']) => (await world.counts(world.laneOfMail(to))).waiting))).toEqual(
      boxes.map(() => 1),
    );
    expect(await world.total()).toBe(boxes.length);
    const [[first = ''] = []] = boxes;
    const many = Array.from({ length: MAX_MAIL_EVENTS + 1 }, (_, i) => mail(first, `many${i}`));
    await world.lanes.mail(many);
    expect(await world.total()).toBe(boxes.length + 2);
    const seen: MailEvent[] = [];
    await world.clients(() => ({ handle: done((jobs) => seen.push(...mailOf(jobs))) }));
    await world.empty();
    expect(seen.filter(({ to }) => to === first)).toEqual([mail(first, first), ...many]);
    expect(seen).toHaveLength(events.length + many.length);
  });

  // The guard is roundedDelay: 1,000 clients that subscribe within a second would have 1,000 timers.
  it('contain one job for the wakes of a lane that are due at about the same time', async () => {
    const { world } = test;
    const boxes = world.mailboxes(40);
    const now = 1_000_000;
    const soon = boxes.flat().map((to, i) => ({ to, at: now + 10_001 + 6 * (i % 40) }));
    await world.lanes.wake(soon, now);
    expect(await world.total()).toBe(boxes.length);
    const [[first = ''] = []] = boxes;
    await world.lanes.wake(
      [
        { to: first, at: now + 10_300 },
        { to: first, at: now + 60_000 },
      ],
      now,
    );
    expect(await world.total()).toBe(boxes.length + 2);
  });

  it('wake a mailbox soon after its due time, not before', async () => {
    const { world } = test;
    const [[first = '', second = ''] = []] = world.mailboxes(2);
    const woken = new Map<string, number>();
    const note = (to: string) => void (woken.has(to) || woken.set(to, Date.now()));
    await world.clients(() => ({ handle: done((jobs) => mailOf(jobs).forEach(({ to }) => note(to))) }));
    const now = Date.now();
    await world.lanes.wake(
      [
        { to: first, at: now - 5 },
        { to: second, at: now + 700 },
      ],
      now,
    );
    await waitFor('the first', () => woken.has(first), 5_000);
    await waitFor('the second', () => woken.has(second), 10_000);
    expect(woken.get(second)).toBeGreaterThanOrEqual(now + 700);
  });

  it('reach the message lane before the client lane', async () => {
    const { world } = test;
    const [[to = ''] = []] = world.mailboxes(1);
    await world.lanes.put([{ mail: mail(to, 'm') }, ack('t/1', 'm')]);
    const progress = await world.backend.sequence.progress([world.messageLane, world.laneOfMail(to)]);
    const [write, news] = [progress.get(world.messageLane), progress.get(world.laneOfMail(to))];
    expect([write?.oldest === null, news?.oldest === null]).toEqual([false, false]);
    // On PostgreSQL all lanes count together.
    if (kind.name === 'postgres') expect(write?.oldest).toBeLessThan(news?.oldest ?? 0);
    const job: MailJob = { name: 'mail', data: { events: [mail(to, 'again')] } };
    await world.lanes.again(world.laneOfMail(to), job, 0);
    const seen: string[] = [];
    await world.clients(() => ({ handle: done((jobs) => seen.push(...mailIdsOf(jobs))) }));
    await waitFor('both', () => seen.length === 2);
    expect(seen).toEqual(['m', 'again']);
  });
}
