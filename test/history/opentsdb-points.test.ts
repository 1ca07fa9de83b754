import { RefusedError } from '../../src/base/errors';
import { renderMessage } from '../../src/history/append';
import { requestsOf } from '../../src/history/opentsdb';
import { DEFAULT, openTsdbPoints, parseOpenTsdb, type DataPoint } from '../../src/history/opentsdb/template';
import type { Message } from '../../src/mqtt/message';
import { message } from '../support/messages';

const AT = 1_700_000_000_123;

const published = (payload: unknown, fields: Partial<Message> = {}) =>
  message({
    ...{ topic: 'a/b', id: 'id', clientid: 'c', publishReceivedAt: AT },
    payload: Buffer.isBuffer(payload) ? payload : Buffer.from(typeof payload === 'string' ? payload : JSON.stringify(payload)),
    ...fields,
  });

/** The points that a message with this payload becomes. */
function points(template: object, payload: unknown): readonly DataPoint[] {
  const templates = parseOpenTsdb(JSON.stringify({ '#': { measurement: 'm', tags: { id: '$id' }, ...template } }));
  return renderMessage(published(payload), templates, openTsdbPoints, () => 1)?.points ?? [];
}

describe('a data point for OpenTSDB', () => {
  it('follows its template', () => {
    const template = {
      measurement: '$topic',
      tags: { host: ['$payload', 'data', '$0', 'host'], qos: '$qos', clientid: '$clientid' },
      value: ['$payload', 'data', '$0', 'temp'],
      timestamp: '$timestamp',
    };
    const data = [
      { temp: 1, host: 'serverA' },
      { temp: 2.5, host: 'serverB' },
    ];
    expect(points(template, { data })).toEqual([
      { metric: 'a/b', timestamp: AT, value: 1, tags: { host: 'serverA', qos: '1', clientid: 'c' } },
      { metric: 'a/b', timestamp: AT, value: 2.5, tags: { host: 'serverB', qos: '1', clientid: 'c' } },
    ]);
  });

  it.each<[unknown, number]>([
    [21, 21],
    [-0.5, -0.5],
    ['21.5', 21.5],
    ['1e3', 1000],
  ])('has a number for its value: %p', (value, expected) => {
    expect(points({ value: ['$payload', 'v'] }, { v: value })[0]?.value).toBe(expected);
  });

  it.each<[unknown, RegExp]>([
    ['warm', /^value: "warm" is no number$/],
    [true, /^value: "true" is no number$/],
    [[1, 2], /^value: "\[1,2\]" is no number$/],
    ['', /^value: "" is no number$/],
    ['0x10', /is no number$/],
  ])('rejects the message for a value that is no number: %p', (value, expected) => {
    expect(() => points({ value: ['$payload', 'v'] }, { v: value })).toThrow(expected);
    expect(() => points({ value: ['$payload', 'v'] }, { v: value })).toThrow(RefusedError);
  });

  it('is omitted when its value is missing; a message without points is rejected', () => {
    expect(points({ value: ['$payload', '$0', 'v'] }, [{ v: 1 }, {}, { v: null }, { v: 2 }]).map(({ value }) => value)).toEqual([1, 2]);
    expect(() => points({ value: ['$payload', 'v'] }, {})).toThrow('makes no data point: the payload has no value for the template of "#"');
    expect(() => points({ value: ['$payload', 'v'] }, 'x')).toThrow('makes no data point: the payload is not JSON');
  });

  it('contains only characters that OpenTSDB accepts', () => {
    const [point] = points(
      { measurement: ['$payload', 'm'], tags: { 'a b': ['$payload', 'm'] }, value: 1 },
      { m: 'température °C/raum_1-2.x 日本 😀𝒳,=\n' },
    );
    const shown = 'température__C/raum_1-2.x_日本______';
    expect(point?.metric).toBe(shown);
    expect(point?.tags).toEqual({ a_b: shown });
  });

  it('omits empty tags, and has a default tag when none remains', () => {
    expect(points({ tags: { u: '$username', p: '$peerhost', c: '$clientid' }, value: 1 }, {})[0]?.tags).toEqual({ c: 'c' });
    expect(points({ tags: { u: '$username' }, value: 1 }, {})[0]?.tags).toEqual({ source: 'mqtt' });
  });

  it('has the time of the device in ms', () => {
    const at = (value: unknown) => points({ value: 1, timestamp: ['$payload', 'at'] }, { at: value })[0]?.timestamp;
    expect(at(1_700_000_000)).toBe(1_700_000_000_000);
    expect(at('1700000000123456789')).toBe(AT);
    for (const wrong of [-5, 'noon', null, true]) expect(() => at(wrong)).toThrow(/^timestamp: /);
  });
});

describe('a message for OpenTSDB without a template', () => {
  const point = (payload: string | Buffer) =>
    renderMessage(published(payload, { topic: '$app/t' }), DEFAULT, openTsdbPoints, () => 1)?.points[0];

  it('is one point when it is a number', () => {
    expect(point(' 21.5\n')).toEqual({ metric: 'mqtt_msg', timestamp: AT, value: 21.5, tags: { topic: '_app/t', clientid: 'c' } });
  });

  it('is rejected when it is no number', () => {
    expect(() => point('{"v":1}')).toThrow('value: "{\\"v\\":1}" is no number');
    expect(() => point('')).toThrow('value: "" is no number');
    expect(() => point(Buffer.from([0xff]))).toThrow('value: the payload is no number');
  });
});

describe('requests to OpenTSDB', () => {
  it('have at most 50 points and 4000 bytes', () => {
    const lengths = (pieces: readonly string[]) => [...requestsOf(pieces)].map((body) => (JSON.parse(body) as unknown[]).length);
    expect(lengths(Array<string>(120).fill('1'))).toEqual([50, 50, 20]);
    expect(lengths(Array<string>(10).fill(JSON.stringify('x'.repeat(1_000))))).toEqual([3, 3, 3, 1]);
    expect(lengths([JSON.stringify('x'.repeat(9_000)), '1', '2'])).toEqual([1, 2]);
    expect(lengths([])).toEqual([]);
  });
});
