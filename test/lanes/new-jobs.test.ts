import type { MailEvent, MessageEvent } from '../../src/lanes/jobs';
import { historyJobs, mailJobs, MAX_JOB_BYTES, writeJobs } from '../../src/lanes/new-jobs';
import { sizedMail, sizedWrite, sizeOf, type Sized } from '../../src/lanes/sizes';
import { toWire, type Message } from '../../src/mqtt/message';
import { message } from '../support/messages';

const COUNTS = { messages: 1, clients: 1 };
const MB = 1_000_000;
/** MQTT 5 limits neither the number of user properties nor their size together. */
const wordy = (): Message =>
  message({ topic: 't', properties: { userProperties: Array.from({ length: 20 }, () => ({ key: 'k', value: 'v'.repeat(50_000) })) } });
const LONG = 'x'.repeat(65_000);

const publish = (each: Message): MessageEvent => ({ kind: 'publish', message: toWire(each) });
const sizes = (jobs: readonly { data: object }[]): number[] => jobs.map(({ data }) => JSON.stringify(data).length);

describe('new jobs', () => {
  it('are limited in size, whatever makes a message large', () => {
    const messages = Array.from({ length: 20 }, wordy);
    for (const jobs of [writeJobs(messages.map(publish).map(sizedWrite), COUNTS), historyJobs('h', messages)]) {
      expect(jobs.length).toBeGreaterThanOrEqual(5);
      for (const size of sizes(jobs)) expect(size).toBeLessThanOrEqual(MAX_JOB_BYTES);
      for (const { data } of jobs) expect(data).toMatchObject({ bytes: expect.any(Number) as number });
    }
  });

  it('are limited in size for mailboxes, too', () => {
    const subscribed = Array.from({ length: 200 }, (_, i): MailEvent => {
      const clientid = `${i}${LONG}`;
      return { to: clientid, kind: 'change', change: { kind: 'subscribed', clientid, filter: LONG, qos: 1, at: 0 } };
    });
    const jobs = mailJobs(subscribed.map(sizedMail), COUNTS);
    for (const size of sizes(jobs)) expect(size).toBeLessThanOrEqual(MAX_JOB_BYTES);
    expect(jobs.flatMap(({ data }) => (data as { events: MailEvent[] }).events)).toEqual(subscribed);
  });

  it.each<[string, Sized<unknown>, number]>([
    ['user properties', sizedWrite(publish(wordy())), MB],
    ['a topic', sizedWrite(publish(message({ topic: LONG }))), LONG.length],
    ['a response topic', sizedWrite(publish(message({ topic: 't', properties: { responseTopic: LONG } }))), LONG.length],
    ['an acknowledgement of a long topic', sizedWrite({ kind: 'ack', id: 'm', topic: LONG, clientid: 'c' }), LONG.length],
    ['a long topic filter', sizedMail({ to: 'c', kind: 'deliver', request: { clientid: 'c', filter: LONG, qos: 1, at: 0 } }), LONG.length],
  ])('count %s', (_, event, least) => {
    const size = sizeOf([event]);
    expect(size).toBeGreaterThan(least);
    expect(size).toBeLessThan(least + 2_000);
  });
});
