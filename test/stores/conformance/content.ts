import { createHash } from 'node:crypto';
import type { Message, MessageProperties } from '../../../src/mqtt/message';
import { asTopic, HOSTILE } from '../../support/hostile';
import { message } from '../../support/messages';
import { uniqueTopic, type Subject } from '../conformance';

/** Byte-exact content (promise 11). */
export function content(subject: Subject): void {
  const roundTrip = async (fields: Partial<Message>) => {
    const saved = message({ topic: uniqueTopic(), ...fields });
    expect(await subject.store.saveMessages([saved])).toEqual([]);
    const [listed] = await subject.store.listMessages({ topic: saved.topic, after: '', limit: 1, now: Date.now() });
    expect(listed).toEqual(saved);
    expect(await subject.store.getMessage(saved.id)).toEqual(saved);
    return saved;
  };

  describe('stored content (promise 11)', () => {
    it.each([
      ['empty', Buffer.alloc(0)],
      ['text', Buffer.from('{"msg":"hello"}')],
      ['unicode', Buffer.from('éü漢字😀\u0001"\\')],
      ['with a zero byte', Buffer.from([0x61, 0, 0x62])],
      ['binary', Buffer.from(Array.from({ length: 256 }, (_, i) => i))],
      ['of every ASCII character', Buffer.from(Array.from({ length: 128 }, (_, i) => i))],
      ['of the first and last characters of each length in UTF-8', Buffer.from('\ufeff\u0080\u07ff\u0800\uffff\u{10000}\u{10ffff}')],
      ['of UTF-16 surrogates', Buffer.from([0xed, 0xa0, 0x80, 0xed, 0xbf, 0xbf])],
      ['that ends in the middle of a character', Buffer.from('é😀').subarray(0, -1)],
      ['that looks like base64', Buffer.from('AP/+gA==')],
      ['that looks like an escape', Buffer.from('\\x00ff')],
      ['of 1 MB text', Buffer.alloc(1_048_576, 'x')],
      ['of 1 MB binary', Buffer.from(Array.from({ length: 1_048_576 }, (_, i) => (i * 31) & 0xff))],
    ])('keeps a payload %s byte by byte', async (_, payload) => {
      const saved = message({ topic: uniqueTopic(), payload });
      await subject.store.saveMessages([saved]);
      expect((await subject.store.getMessage(saved.id))?.payload.equals(payload)).toBe(true);
    });

    it('keeps every MQTT 5 property, and user properties in order with duplicates', async () => {
      const properties: MessageProperties = {
        ...{
          contentType: 'text/plain',
          responseTopic: 'r/1',
          correlationData: 'AP8=',
          payloadFormatIndicator: 1,
          messageExpiryInterval: 3600,
        },
        userProperties: [...HOSTILE, 'z', 'a', 'z'].map((key, i) => ({ key, value: `${i}${key}` })),
      };
      await roundTrip({ properties });
    });

    it.each(HOSTILE)('keeps %p as client id, user name and topic', async (text) => {
      const topic = `${uniqueTopic()}/${asTopic(text)}`;
      await roundTrip({ clientid: text, username: text, topic });
      expect(await subject.store.listTopics({ filter: topic, after: '', limit: 10 })).toEqual([topic]);
    });

    it('distinguishes empty properties from absent ones', async () => {
      await roundTrip({
        properties: { contentType: '', responseTopic: '', correlationData: '', userProperties: [{ key: '', value: '' }] },
      });
      await roundTrip({ properties: { messageExpiryInterval: 0, payloadFormatIndicator: 0, userProperties: [] } });
    });

    it.each([499, 500, 501, 1_000, 65_535])('keeps a topic and a client id of %i bytes', async (length) => {
      // Text that doesn't compress: indexes and keys have limits that repetition hides.
      const topic = noise(`${uniqueTopic()}/`, length);
      await roundTrip({ topic, clientid: noise('c', length) });
      const other = topic.slice(0, -1) + (topic.endsWith('X') ? 'Y' : 'X');
      await roundTrip({ topic: other });
      expect(await subject.store.listTopics({ filter: topic, after: '', limit: 10 })).toEqual([topic]);
      const prefix = topic.split('/').slice(0, 4).join('/');
      expect(await subject.store.listTopics({ filter: `${prefix}/#`, after: '', limit: 10 })).toEqual([topic, other].sort());
      expect(await subject.store.listTopics({ filter: `${prefix}/#`, after: [topic, other].sort()[0]!, limit: 10 })).toHaveLength(1);
    });

    it.each(['é', '漢', '😀'])('topics of many %s that differ at their end only', async (character) => {
      const base = `${uniqueTopic()}/`;
      const long = character.repeat(Math.floor(65_000 / Buffer.byteLength(character)));
      const names = ['1', '2', '3'].map((end) => `${base}${long}${end}`);
      await subject.store.saveMessages(names.map((topic) => message({ topic })));
      const found: string[] = [];
      for (let after = ''; ; after = found.at(-1) ?? '') {
        const page = await subject.store.listTopics({ filter: `${base}+`, after, limit: 2 });
        if (page.length === 0) break;
        found.push(...page);
      }
      expect(found).toEqual(names);
      expect(await subject.store.listMessages({ topic: names[1]!, after: '', limit: 10, now: Date.now() })).toHaveLength(1);
      expect(await subject.store.trimTopic(names[1]!, 0)).toBe(1);
      expect(await subject.store.listTopics({ filter: `${base}+`, after: '', limit: 10 })).toEqual([names[0], names[2]]);
    });

    it('distinguishes topics and ids by case, blanks and Unicode form', async () => {
      const base = uniqueTopic();
      const variants = ['a', 'A', 'a ', ' a', 'é', 'e\u0301', 'ａ', 'ss', 'ß'].map((text) => `${base}/${text}`);
      await subject.store.saveMessages(variants.map((topic) => message({ topic, payload: Buffer.from(topic) })));
      for (const topic of variants) {
        const found = await subject.store.listMessages({ topic, after: '', limit: 10, now: Date.now() });
        expect(found.map(({ payload }) => payload.toString())).toEqual([topic]);
      }
      const [lower, upper] = [
        message({ topic: base, id: `id${base.replace(/\W/g, '')}` }),
        message({ topic: base, id: `ID${base.replace(/\W/g, '')}` }),
      ];
      await subject.store.saveMessages([lower, upper]);
      await subject.store.removeMessages([lower], Date.now() + 1_000);
      expect((await subject.store.getMessage(upper.id))?.id).toBe(upper.id);
    });
  });
}

/** Letters and digits that look random and are the same in every run. */
export function noise(start: string, length: number): string {
  let text = start;
  for (let i = 0; text.length < length; i++) text += createHash('sha512').update(`${start}${i}`).digest('base64url');
  return text.slice(0, length);
}
