import { RefusedError } from '../../src/base/errors';
import { renderMessage } from '../../src/history/append';
import { lineOf, type Point } from '../../src/history/influxdb/line';
import { DEFAULT, influxPoints, parseInflux } from '../../src/history/influxdb/template';
import type { Message } from '../../src/mqtt/message';
import { message } from '../support/messages';

const AT = 1_700_000_000_123;
const ID = `${(AT * 1_000 + 456).toString(16).padStart(16, '0').toUpperCase()}F49A0000049C0001`;

const published = (fields: Partial<Message>) =>
  message({ topic: 'a/b', id: ID, clientid: 'c', publishReceivedAt: AT, payload: Buffer.from('{}'), ...fields });

/** The lines that a message with this payload becomes. */
function lines(template: object, payload: unknown, fields: Partial<Message> = {}): string[] {
  const templates = parseInflux(JSON.stringify({ '#': { measurement: 'm', ...template } }));
  const bytes = Buffer.isBuffer(payload) ? payload : Buffer.from(typeof payload === 'string' ? payload : JSON.stringify(payload));
  const rendered = renderMessage(published({ payload: bytes, ...fields }), templates, influxPoints, () => 1);
  return (rendered?.points ?? []).map(lineOf);
}

const field = (payload: unknown, type?: string) =>
  lines({ fields: { f: ['$payload', 'v'] }, timestamp: 1, ...(type === undefined ? {} : { types: { f: type } }) }, payload)[0]?.replace(
    /^m f=(.*) 1000000000$/s,
    '$1',
  );

describe('a line for InfluxDB', () => {
  const point: Point = { measurement: 'm', tags: [['t', 'v']], fields: [['f', 1.5]], time: 7n };
  const line = (fields: Partial<Point>) => lineOf({ ...point, ...fields });

  it('has measurement, tags, fields and a time in ns', () => {
    expect(line({})).toBe('m,t=v f=1.5 7');
    expect(
      line({
        tags: [],
        fields: [
          ['a', 'x'],
          ['b', 2n],
          ['c', true],
        ],
      }),
    ).toBe('m a="x",b=2i,c=true 7');
  });

  it('escapes special characters', () => {
    expect(line({ measurement: 'a b,c=d' })).toBe('a\\ b\\,c=d,t=v f=1.5 7');
    expect(line({ tags: [['k k', 'a b,c=d']] })).toBe('m,k\\ k=a\\ b\\,c\\=d f=1.5 7');
    expect(line({ fields: [['k,= k', 'say "hi" \\ , = \n é😀']] })).toBe('m,t=v k\\,\\=\\ k="say \\"hi\\" \\\\ , = \n é😀" 7');
    expect(line({ tags: [['t', '"quoted"\t\\n']] })).toBe('m,t="quoted"\t\\n f=1.5 7');
  });

  it('replaces characters that tags cannot hold', () => {
    expect(line({ tags: [['t', 'a\nb\r\nc']] })).toBe('m,t=a\\nb\\r\\nc f=1.5 7');
    expect(
      line({
        tags: [
          ['t', 'a\\'],
          ['u', '\\,'],
          ['w', '\\\\ '],
        ],
      }),
    ).toBe('m,t=a\\_,u=\\_\\,,w=\\\\_\\  f=1.5 7');
  });
});

describe('a field of an InfluxDB point', () => {
  it('keeps the type of the payload, and a number is a float with and without a fraction', () => {
    expect(field({ v: 23.5 })).toBe('23.5');
    expect(field({ v: 23 })).toBe('23');
    expect(field({ v: -1e-7 })).toBe('-1e-7');
    expect(field({ v: 1e21 })).toBe('1e+21');
    expect(field({ v: true })).toBe('true');
    expect(field({ v: '23' })).toBe('"23"');
    expect(field({ v: '' })).toBe('""');
    expect(field({ v: [1] })).toBe('"[1]"');
  });

  it('is an integer for QoS and timestamp', () => {
    expect(lines({ fields: { q: '$qos', t: '$timestamp' } }, {}, { qos: 2 })[0]).toMatch(/^m q=2i,t=1700000000123456000i /);
  });

  it.each<[string, unknown, string]>([
    ['integer', 23, '23i'],
    ['integer', '23', '23i'],
    ['integer', '9223372036854775807', '9223372036854775807i'],
    ['float', '23.5', '23.5'],
    ['float', 23, '23'],
    ['string', 23.5, '"23.5"'],
    ['string', false, '"false"'],
    ['boolean', 'true', 'true'],
    ['boolean', false, 'false'],
  ])('becomes %s when the template says so: %p', (type, value, expected) => {
    expect(field({ v: value }, type)).toBe(expected);
  });

  it.each<[string, unknown]>([
    ['integer', 23.5],
    ['integer', '9223372036854775808'],
    ['integer', true],
    ['float', 'warm'],
    ['float', false],
    ['boolean', 1],
    ['boolean', 'yes'],
  ])('that is no %s rejects the message: %p', (type, value) => {
    expect(() => field({ v: value }, type)).toThrow(RefusedError);
    expect(() => field({ v: value }, type)).toThrow(`fields.f: "${String(value)}" is no ${type}`);
  });

  it('rejects a number that no double holds, and quotes little of a long text', () => {
    expect(() => field('{"v":1e999}')).toThrow('fields.f: "Infinity" is no float');
    expect(() => field({ v: 'x'.repeat(1_000) }, 'float')).toThrow(/^fields\.f: "x{40}\.\.\." is no float$/);
  });
});

describe('a point for InfluxDB', () => {
  it('has its tags sorted, without empty ones', () => {
    const tags = {
      z: '$clientid',
      a: '$username',
      m: ['$payload', 'none'],
      b: ['$payload', 'empty'],
      e: ['$payload', 'n'],
      h: '$peerhost',
    };
    expect(lines({ tags, fields: { f: 1 }, timestamp: 1 }, { empty: '', n: 5 })).toEqual(['m,e=5,z=c f=1 1000000000']);
  });

  it('omits missing fields, and is omitted when all are missing', () => {
    const fields = { a: ['$payload', '$0', 'a'], b: ['$payload', '$0', 'b'] };
    expect(lines({ fields, timestamp: 1 }, [{ a: 1 }, {}, { b: 2, a: null }])).toEqual(['m a=1 1000000000', 'm b=2 1000000000']);
  });

  it('rejects the message with a reason when no point remains', () => {
    const fields = { a: ['$payload', 'a'] };
    expect(() => lines({ fields }, { b: 1 })).toThrow('makes no data point: the payload has no value for the template of "#"');
    expect(() => lines({ fields }, 'no JSON')).toThrow('makes no data point: the payload is not JSON');
    expect(() => lines({ fields: { a: ['$payload', '$0'] } }, [])).toThrow(RefusedError);
    expect(() => lines({ fields: { a: '$payload' } }, Buffer.from([0xff]))).toThrow(RefusedError);
  });

  it('takes its measurement from the message', () => {
    expect(lines({ measurement: '$topic', fields: { f: 1 }, timestamp: 1 }, {})).toEqual(['a/b f=1 1000000000']);
    expect(() => lines({ measurement: ['$payload', 'm'], fields: { f: 1 } }, { m: '#x' })).toThrow('measurement: begins with #');
    expect(() => lines({ measurement: ['$payload', 'm'], fields: { f: 1 } }, {})).toThrow('measurement: is empty');
  });

  it('has the time of the message, and a separate ns within one series', () => {
    const times = (template: object, payload: unknown) =>
      lines({ timestamp: '$timestamp', ...template }, payload).map((each) => BigInt(/(\d+)$/.exec(each)?.[1] ?? 0));
    const [first = 0n, second, third] = times({ fields: { f: ['$payload', '$0'] } }, [1, 1, 2]);
    expect(first / 1_000n).toBe(1_700_000_000_123_456n);
    expect([second, third]).toEqual([first + 1n, first + 2n]);
    const tagged = times({ tags: { i: ['$payload', '$0'] }, fields: { f: ['$payload', '$0'] } }, [1, 2]);
    expect(tagged).toEqual([first, first]);
  });

  it("has the device's time in any unit", () => {
    const template = { fields: { f: ['$payload', '$0', 'v'] }, timestamp: ['$payload', '$0', 'at'] };
    expect(
      lines(template, [
        { v: 1, at: 1_700_000_000 },
        { v: 2, at: '1700000000123' },
      ]),
    ).toEqual(['m f=1 1700000000000000000', 'm f=2 1700000000123000000']);
    expect(() => lines(template, [{ v: 1, at: 'noon' }])).toThrow('timestamp: "noon" is no time in s, ms, µs or ns');
    expect(() => lines(template, [{ v: 1 }])).toThrow('timestamp: is missing');
  });

  it('is one of a limited number per message', () => {
    const payload = JSON.stringify(Array(500_000).fill(1));
    const templates = parseInflux(JSON.stringify({ '#': { measurement: 'm', fields: { f: ['$payload', '$0'], p: '$payload' } } }));
    let made = 0;
    const size = (line: Point) => (made++, lineOf(line).length);
    expect(() => renderMessage(published({ payload: Buffer.from(payload) }), templates, influxPoints, size)).toThrow(
      'makes more than 16 MB of data points',
    );
    expect(made).toBeLessThan(100);
  });
});

describe('a message for InfluxDB without a template', () => {
  const points = (fields: Partial<Message>) => renderMessage(published(fields), DEFAULT, influxPoints, () => 1)?.points ?? [];

  it('is one point', () => {
    const [point] = points({ payload: Buffer.from('21.5'), qos: 1, topic: '$app/x' });
    expect(point).toMatchObject({
      measurement: 'mqtt_msg',
      tags: [
        ['clientid', 'c'],
        ['qos', '1'],
        ['topic', '$app/x'],
      ],
      fields: [
        ['id', ID],
        ['payload', '21.5'],
      ],
    });
  });

  it('has its payload in base64 when it is no text', () => {
    expect(points({ payload: Buffer.from([0xff, 0x00]) })[0]?.fields).toEqual([
      ['id', ID],
      ['payload_base64', '/wA='],
    ]);
    expect(points({ payload: Buffer.alloc(0) })[0]?.fields).toEqual([
      ['id', ID],
      ['payload', ''],
    ]);
  });
});
