import { readEvent } from '../../src/events';
import type { OfflineEvent } from '../../src/events/event';
import { RefusedError, UnavailableError } from '../../src/base/errors';
import { Letters } from '../../src/dead-letters/letters';
import type { Message } from '../../src/mqtt/message';
import { createLogger } from '../../src/base/log';
import { createMetrics } from '../../src/base/metrics';
import type { QueueBackend } from '../../src/lanes/backend';
import { LetterBox, type LetterLimits } from '../../src/dead-letters/box';
import { RedisQueue } from '../../src/lanes/redis';
import { parseServiceUrl } from '../../src/config/url';
import { withBackends } from '../support/backends';
import { embeddedQueue } from '../support/embedded-queue';
import { publishEvent } from '../support/events';
import { message } from '../support/messages';
import { prepared } from '../support/prepared';
import { redisOf, removeKeys } from '../support/redis';

const fail = (error: unknown): never => {
  throw error;
};
const DAY = 24 * 3_600_000;

describe('on the embedded queue', () => deadLetters(embeddedQueue()));

describe('on Redis', () => {
  withBackends(['redis'], ({ redis }) => {
    const url = redisOf('dead-letters/letters', redis);
    beforeAll(() => removeKeys(url, '{offline}'));
    deadLetters(() => new RedisQueue({ url: parseServiceUrl(url, ['redis']), onError: fail }));
  });
});

function deadLetters(open: () => QueueBackend): void {
  let backend: QueueBackend;
  let box: LetterBox;
  let letters: Letters;
  let accepted: OfflineEvent[] = [];
  let appended: [sink: string, ids: string[]][] = [];
  /** What happens while an event is put back. */
  let accepting: () => Promise<void>;
  let now = 1_000_000;
  let metrics = createMetrics();
  let lines: string[] = [];

  const start = (limits: Partial<LetterLimits> = {}) => {
    lines = [];
    box = new LetterBox(backend, { count: 100, ageMs: DAY, ...limits });
    letters = new Letters({
      ...{ box, metrics, now: () => now, log: createLogger({ destination: { write: (line: string) => void lines.push(line) } }) },
      ingest: {
        accept: async (events) => {
          await accepting();
          accepted.push(...events);
        },
      },
      parse: (event, name) => readEvent(event, name).event,
      append: async (sink, messages: readonly Message[]) =>
        sink === 'influxdb://h/db' && appended.push([sink, messages.map(({ id }) => id)]) > 0,
    });
  };
  const all = async () => (await letters.list({ after: null, limit: 1_000 })).letters;
  const only = async () => {
    const [letter, ...more] = await all();
    expect(more).toEqual([]);
    return letter!.id;
  };

  beforeEach(async () => {
    backend = await prepared(open());
    metrics = createMetrics();
    [accepted, appended, accepting] = [[], [], async () => undefined];
    start();
  });
  afterEach(async () => {
    await letters.removeAll();
    expect(await all()).toEqual([]);
    await box.close();
    await backend.close();
  });

  it('write one log line per burst, with their id, event, client and topic', async () => {
    start();
    const [first] = [message({ topic: 'log/1', clientid: 'sensor' })];
    await letters.setAside(first, 'too large');
    for (let i = 0; i < 5; i++) await letters.setAside(message({ topic: 'log/1' }), 'too large');
    const [letter] = await all();
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      expect.objectContaining({
        ...{ level: 'warn', msg: 'event set aside as a dead letter', reason: 'too large' },
        ...{ dead_letter_id: letter?.id, event_id: first.id, clientid: 'sensor', topic: 'log/1' },
      }),
    ]);
  });

  it('are listed in pages, oldest first, even while they are removed', async () => {
    for (let i = 0; i < 60; i++) {
      now++;
      await letters.record({ reason: `r${i}`, event: {} });
    }
    const reasons: string[] = [];
    for (let after: { at: number; id: string } | null = null; ;) {
      const page: Awaited<ReturnType<Letters['list']>> = await letters.list({ after, limit: 7 });
      reasons.push(...page.letters.map(({ reason }) => reason));
      if (page.next === null) break;
      after = page.next;
      await letters.remove(after.id);
    }
    expect(reasons).toEqual(Array.from({ length: 60 }, (_, i) => `r${i}`));
  });

  it('are listed in shorter pages when they are large', async () => {
    for (let i = 0; i < 5; i++) await letters.record({ reason: 'r', event: 'x'.repeat(3_000_000) });
    const { letters: page, next } = await letters.list({ after: null, limit: 100 });
    expect(page).toHaveLength(2);
    expect(next).toMatchObject({ id: page[1]!.id });
    expect((await letters.list({ after: next, limit: 1 })).letters).toHaveLength(1);
  });

  // The guards: LetterBox.put and purge.
  it('above the limits of number and age are deleted and counted, the oldest first', async () => {
    start({ count: 5 });
    for (let i = 0; i < 8; i++) await letters.record({ reason: `r${i}`, event: {} });
    expect((await all()).map(({ reason }) => reason)).toEqual(['r3', 'r4', 'r5', 'r6', 'r7']);
    now += DAY - 1;
    await letters.record({ reason: 'young', event: {} });
    now += 2;
    expect(await box.purge(now)).toBe(4);
    expect((await all()).map(({ reason }) => reason)).toEqual(['young']);
    const text = await metrics.registry.metrics();
    expect(text).toMatch(/dead_letters_discarded_total [34]\b/);
    expect(text).toMatch(/dead_letters_total \d/);
  });

  // The guard is LetterBox.put, which waits for the trim.
  it('never exceed the limit when many arrive at once', async () => {
    start({ count: 5 });
    let done = 0;
    await Promise.all(Array.from({ length: 60 }, () => letters.record({ reason: 'r', event: {} }).then(() => done++)));
    expect(done).toBe(60);
    expect(await box.count()).toBe(5);
  });

  describe('that are retried', () => {
    it('are accepted as their event and then deleted', async () => {
      const one = message({ topic: 't/1' });
      await letters.setAside(one, 'the store refused it');
      expect(await letters.retry(await only())).toBe(true);
      expect(accepted).toMatchObject([{ type: 'publish', message: { id: one.id, topic: 't/1' } }]);
      expect(await all()).toEqual([]);
      expect(await letters.retry('none')).toBe(false);
    });

    // The guard is LetterBox.hold: the new letter has the key of the one that is removed.
    it('are kept as a new dead letter when the event fails again', async () => {
      const one = message({ topic: 't/1' });
      await letters.setAside(one, 'first');
      accepting = () => letters.setAside(one, 'second');
      await letters.retry(await only());
      expect(await all()).toMatchObject([{ reason: 'second' }]);
    });

    it('stay under their id when the queue is down', async () => {
      await letters.setAside(message({ topic: 't/1' }), 'first');
      const id = await only();
      accepting = async () => {
        throw new UnavailableError('the queue is away');
      };
      await expect(letters.retry(id)).rejects.toThrow(UnavailableError);
      expect(await only()).toBe(id);
    });

    it('are parsed again as they were posted', async () => {
      const body = publishEvent({ topic: 't/1' });
      await letters.record({ reason: 'x', event: JSON.stringify(body), source: 'POST /v1/events' });
      await letters.record({ reason: 'x', event: JSON.stringify([body, body]), source: 'POST /v1/events' });
      await letters.record({
        reason: 'x',
        event: JSON.stringify({ ...body, event: undefined }),
        source: 'POST /v1/events/message.publish',
      });
      expect(await letters.retryAll()).toBe(3);
      expect(accepted.map(({ type }) => type)).toEqual(Array(4).fill('publish'));
    });

    it.each<[string, unknown, RegExp]>([
      [
        'an event that is still wrong',
        { event: 'message.publish', id: 'A', clientid: 'c', topic: 't/#', qos: 1, payload: '', timestamp: 1 },
        /still rejected \(\/topic must not contain the wildcards.*send the repaired event/,
      ],
      ['its text', '{"event":"nope"}', /still rejected \(\/event must be an event that EMQX has/],
      ['text that is cut', '{"event":"message.publish","payload":"xxxx', /at most 64 KB.*not JSON.*send the repaired event/],
      ['text that lost bytes', '{"event":"client.connected","clientid":"\ufffd","timestamp":1}', /bytes could not be stored as text/],
      ['a subscription', { subscription: { clientid: 'c', topic: 't', qos: 1 } }, /whenever the client connects/],
      ['a request', { change: { kind: 'withdrawn' } }, /make the request again/],
      ['a job', { name: 'mail', data: { events: [] } }, /next subscription/],
      [
        'a message of a history that is gone',
        { history: 'opentsdb://gone', message: publishEvent({ topic: 't' }) },
        /opentsdb:\/\/gone is not among HISTORY_URLS/,
      ],
    ])('are rejected with a reason and do not stop the others: %s', async (_, event, why) => {
      await letters.record({ reason: 'x', event, source: 'POST /v1/events' });
      const id = await only();
      await expect(letters.retry(id)).rejects.toThrow(RefusedError);
      await expect(letters.retry(id)).rejects.toThrow(why);
      await letters.setAside(message({ topic: 't' }), 'r');
      expect(await letters.retryAll()).toBe(1);
      expect([(await all()).length, accepted.length]).toEqual([1, 1]);
    });

    it("are replaced by an operator's corrected event when it is valid", async () => {
      await letters.record({ reason: 'x', event: '{"event":', source: 'POST /v1/events' });
      const id = await only();
      await expect(letters.retry(id, { event: 'nope' })).rejects.toThrow(/\/event must be/);
      expect(await only()).toBe(id);
      expect(await letters.retry(id, publishEvent({ topic: 'repaired' }))).toBe(true);
      expect(accepted).toMatchObject([{ message: { topic: 'repaired' } }]);
      expect(await all()).toEqual([]);
    });

    it('are appended to the history that rejected them, and not delivered again', async () => {
      const one = message({ topic: 't/1' });
      await letters.setAsideHistory(one, 'influxdb://h/db', 'makes no data point');
      expect(await letters.retry(await only())).toBe(true);
      expect([accepted, appended]).toEqual([[], [['influxdb://h/db', [one.id]]]]);
    });

    it('are applied as an acknowledgement when they hold one', async () => {
      await letters.record({ reason: 'bug', event: { kind: 'ack', id: 'A', topic: 't', clientid: 'c' }, source: 'worker' });
      expect(await letters.retry(await only())).toBe(true);
      expect(accepted).toMatchObject([{ type: 'acked', id: 'A', topic: 't', clientid: 'c', mark: null }]);
    });

    // The guard is LetterBox.ids: what comes back is behind what is there, and would be tried for ever.
    it('are retried once each, even when new ones arrive meanwhile', async () => {
      for (let i = 0; i < 5; i++) await letters.setAside(message({ topic: 't' }), 'r');
      accepting = async () => {
        now++;
        await letters.setAside(message({ topic: 't' }), 'again');
      };
      expect(await letters.retryAll()).toBe(5);
      expect(await all()).toHaveLength(5);
    });
  });
}
