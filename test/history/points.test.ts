import { compileExpression } from '../../src/history/expression';
import { rows, Source, type Value } from '../../src/history/points';
import { message } from '../support/messages';

const TIME = 1_700_000_000_123;

/** What the expressions are in each point. */
function values(payload: unknown, ...expressions: unknown[]): Value[][] {
  const bytes = Buffer.isBuffer(payload) ? payload : Buffer.from(typeof payload === 'string' ? payload : JSON.stringify(payload));
  const source = new Source(
    message({ topic: 'a/b', id: 'id-1', clientid: 'c1', username: 'u1', qos: 2, payload: bytes, publishReceivedAt: TIME }),
  );
  return [
    ...rows(
      source,
      expressions.map((each) => compileExpression(each, 'here')),
    ),
  ];
}

describe('placeholders of a template', () => {
  it('have the values of the message', () => {
    expect(values('text', '$id', '$clientid', '$username', '$qos', '$topic', '$payload', '$timestamp')).toEqual([
      ['id-1', 'c1', 'u1', 2n, 'a/b', 'text', BigInt(TIME) * 1_000_000n],
    ]);
  });

  it("are missing for an absent user name and for the peer's host", () => {
    const source = new Source(message({ topic: 't', username: null }));
    expect([
      ...rows(
        source,
        ['$username', '$peerhost'].map((each) => compileExpression(each, 'here')),
      ),
    ]).toEqual([[null, null]]);
  });

  it('show a payload as text, or in base64 when it is no text', () => {
    expect(values('é', '$payload', ['$payload'], '$payload_base64')).toEqual([['é', 'é', null]]);
    const bytes = Buffer.from([0xff, 0x00]);
    expect(values(bytes, '$payload', '$payload_base64')).toEqual([[bytes, '/wA=']]);
    expect(values('', '$payload', '$payload_base64')).toEqual([['', null]]);
  });

  it('leave fixed values unchanged', () => {
    expect(values('', 'sensor', 1, 2.5, false, 'a$topic', '')).toEqual([['sensor', 1, 2.5, false, 'a$topic', '']]);
  });
});

describe('paths into a JSON payload', () => {
  const at = (payload: unknown, ...keys: string[]) => values(payload, ['$payload', ...keys]);

  it('keep the types of values', () => {
    const payload = { a: { text: 'x', number: 1.5, zero: 0, yes: true, no: false, empty: '' } };
    for (const [key, value] of Object.entries(payload.a)) expect(at(payload, 'a', key)).toEqual([[value]]);
  });

  it('have no value when a key or value is missing', () => {
    const payload = { a: { b: null }, list: [1] };
    for (const keys of [
      ['x'],
      ['a', 'x'],
      ['a', 'b'],
      ['a', 'b', 'c'],
      ['list', 'x'],
      ['list', '$2'],
      ['list', 'length'],
      ['a', '$0'],
      ['a', '$1'],
    ]) {
      expect(at(payload, ...keys)).toEqual([[null]]);
    }
  });

  it.each(['not JSON', '', '{"a":1', Buffer.from([0xff])])('have no value in %p', (payload) => {
    expect(at(payload, 'a')).toEqual([[null]]);
  });

  it("see only the payload's own keys", () => {
    for (const key of ['constructor', '__proto__', 'toString', 'hasOwnProperty']) expect(at({ a: 1 }, key)).toEqual([[null]]);
    expect(at('{"__proto__":5}', '__proto__')).toEqual([[5]]);
  });

  it('show objects and arrays as JSON', () => {
    expect(at({ a: { b: [1, 'é'] } }, 'a')).toEqual([['{"b":[1,"é"]}']]);
    expect(at({ a: [] }, 'a')).toEqual([['[]']]);
  });

  it('reject a value that is nested too deeply', () => {
    expect(() => at(`{"a":${'['.repeat(50_000)}${']'.repeat(50_000)}}`, 'a')).toThrow(/nested too deeply/);
  });

  it('count the elements of an array from 1', () => {
    expect(values([10, 20], ['$payload', '$1'], ['$payload', '$2'], ['$payload', '$3'])).toEqual([[10, 20, null]]);
  });
});

describe('"$0" in a template', () => {
  // EMQX's own example.
  it('makes one point per element', () => {
    expect(values([{ temp: 20 }, { temp: 21 }], ['$payload', '$0', 'temp'])).toEqual([[20], [21]]);
    expect(values([{ temp: 20 }, { temp: 21 }], ['$payload', '$1', 'temp'])).toEqual([[20]]);
  });

  it('reads several arrays in parallel, and repeats single values', () => {
    const payload = { site: 's', t: [1, 2], h: ['a', 'b'] };
    expect(values(payload, '$topic', ['$payload', 'site'], ['$payload', 't', '$0'], ['$payload', 'h', '$0'])).toEqual([
      ['a/b', 's', 1, 'a'],
      ['a/b', 's', 2, 'b'],
    ]);
  });

  it('keeps elements together when one has no value', () => {
    expect(values([{ t: 1, h: 'a' }, { t: 2 }, { h: 'c' }], ['$payload', '$0', 't'], ['$payload', '$0', 'h'])).toEqual([
      [1, 'a'],
      [2, null],
      [null, 'c'],
    ]);
  });

  it('has missing values when an array is shorter', () => {
    expect(values({ t: [1, 2, 3], h: [4] }, ['$payload', 't', '$0'], ['$payload', 'h', '$0'])).toEqual([
      [1, 4],
      [2, null],
      [3, null],
    ]);
  });

  it('reads arrays inside arrays', () => {
    const payload = {
      rooms: [
        { name: 'r1', t: [1, 2] },
        { name: 'r2', t: [3] },
        { name: 'r3', t: [] },
      ],
    };
    expect(values(payload, ['$payload', 'rooms', '$0', 'name'], ['$payload', 'rooms', '$0', 't', '$0'])).toEqual([
      ['r1', 1],
      ['r1', 2],
      ['r2', 3],
    ]);
    expect(values([[1, 2], [3]], ['$payload', '$0', '$0'])).toEqual([[1], [2], [3]]);
    expect(values([[1, 2], [3]], ['$payload', '$0', '$1'])).toEqual([[1], [3]]);
    expect(values([[1, 2], [3]], ['$payload', '$1', '$0'])).toEqual([[1], [2]]);
  });

  it('makes no point from an empty array', () => {
    expect(values([], ['$payload', '$0'], '$topic')).toEqual([]);
  });
});
