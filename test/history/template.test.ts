import { SettingError } from '../../src/base/errors';
import { parseInflux } from '../../src/history/influxdb/template';
import { parseOpenTsdb } from '../../src/history/opentsdb/template';
import { parseStatements } from '../../src/history/timescale/template';
import { parseTemplates, readTemplates } from '../../src/history/template';
import { withTemplates } from './sinks';

const influx = { measurement: 'm', fields: { f: 1 } };
const opentsdb = { measurement: 'm', value: 1 };
const statement = { name: 's', sql: 'insert into t values ($1)', param_keys: ['$id'] };

describe('a template file', () => {
  const names = (text: unknown) => parseTemplates(JSON.stringify(text), ({ name }) => name);

  it("lists the templates of a topic in the file's order", () => {
    const templates = names({ 'a/+': { name: 1 }, 'a/b': [{ name: 2 }, { name: 3 }], '#': { name: 4 } });
    const of = (topic: string) => templates.of(topic).map(({ template }) => template);
    expect(of('a/b')).toEqual([1, 2, 3, 4]);
    expect(of('a/c')).toEqual([1, 4]);
    expect(of('x')).toEqual([4]);
    expect(of('$SYS/x')).toEqual([]);
  });

  it.each([
    ['not JSON', '{', /is not JSON/],
    ['no object', '[]', /the file: is a list/],
    ['nothing', '{}', /has no template/],
    ['no topic filter', '{"a/#/b": {}}', /"a\/#\/b" is no topic filter: it must have # only as its last level/],
    ['an empty list', '{"a": []}', /"a": is an empty list/],
    ['no object for a filter', '{"a": "x"}', /"a": the template: is a string, not an object/],
    ['no object in a list', '{"a": [{"name": 1}, null]}', /"a"\[1\]: the template: is null/],
    ['a filter twice', '{\n"a": {"name": 1},\n"a": {"name": 2}}', /line 3: .*several templates for one filter are a list/],
    ['a key twice', '{"a": {"name": 1, "name": 2}}', /line 1: this key is there already/],
  ])('is rejected: %s', (_, text, expected) => {
    expect(() => parseTemplates(text, ({ name }) => name)).toThrow(expected);
    expect(() => parseTemplates(text, ({ name }) => name)).toThrow(RangeError);
  });

  it('can be indented with tabs', () => {
    expect(parseTemplates('{\n\t"a":\t{\n\t\t"name": 1\n\t}\n}', ({ name }) => name).all()).toEqual([1]);
  });

  it('is named in its error, with setting, filter and key', async () => {
    await withTemplates({ 'sensor/+': { ...influx, tags: { host: '$host' } } }, async (file) => {
      expect(() => readTemplates(file, parseInflux)).toThrow(SettingError);
      const expected = `HISTORY_URLS: templates=${file}: "sensor/+": tags.host: unknown placeholder "$host"; known are $id, $clientid`;
      expect(() => readTemplates(file, parseInflux)).toThrow(expected);
      await Promise.resolve();
    });
    expect(() => readTemplates('/absent.json', parseInflux)).toThrow("HISTORY_URLS: templates=/absent.json: can't be read (ENOENT)");
  });
});

describe('an error in a template names its key', () => {
  it.each<[string, object, RegExp]>([
    ['no measurement', { fields: { f: 1 } }, /measurement: is missing/],
    ['no fields', { measurement: 'm' }, /fields: is missing/],
    ['empty fields', { ...influx, fields: {} }, /fields: are empty/],
    ['an unknown key', { ...influx, value: 1 }, /value: is unknown; known are measurement, fields, tags, timestamp, types/],
    ['an empty measurement', { ...influx, measurement: '' }, /measurement: is empty/],
    ['a measurement that is a comment', { ...influx, measurement: '#a' }, /measurement: begins with #/],
    ['a tag named time', { ...influx, tags: { time: '$id' } }, /tags\.time: InfluxDB keeps this name/],
    ['a field named time', { ...influx, fields: { time: '$id' } }, /fields\.time: InfluxDB keeps this name/],
    ['a tag without a name', { ...influx, tags: { '': '$id' } }, /tags: has an empty key/],
    ['tags that are no object', { ...influx, tags: ['$id'] }, /tags: is a list/],
    ['a null', { ...influx, fields: { f: null } }, /fields\.f: is null/],
    ['an object', { ...influx, fields: { f: {} } }, /fields\.f: is an object/],
    ['an unknown placeholder', { ...influx, timestamp: '$now' }, /timestamp: unknown placeholder "\$now"/],
    ['an element without a payload', { ...influx, fields: { f: '$0' } }, /fields\.f: "\$0" works in \["\$payload", \.\.\.\] only/],
    [
      'a way that does not begin in the payload',
      { ...influx, fields: { f: ['$topic', 'a'] } },
      /fields\.f: a list begins with "\$payload"/,
    ],
    ['a key that is no text', { ...influx, fields: { f: ['$payload', 0] } }, /fields\.f: 0 is no key/],
    ['a type of no field', { ...influx, types: { g: 'float' } }, /types\.g: is the type of no field/],
    ['an unknown type', { ...influx, types: { f: 'int' } }, /types\.f: is "int"; known are float, integer, string, boolean/],
  ])('InfluxDB: %s', (_, template, expected) => {
    expect(() => parseInflux(JSON.stringify({ 'a/+': template }))).toThrow(expected);
    expect(() => parseInflux(JSON.stringify({ 'a/+': template }))).toThrow(/^"a\/\+": /);
  });

  it.each<[string, object, RegExp]>([
    ['no value', { measurement: 'm' }, /value: is missing/],
    ['no measurement', { value: 1 }, /measurement: is missing/],
    ['an empty measurement', { ...opentsdb, measurement: '' }, /measurement: is empty/],
    ['fields', { ...opentsdb, fields: {} }, /fields: is unknown/],
    ['a tag without a name', { ...opentsdb, tags: { '': 'x' } }, /tags: has an empty key/],
    ['an unknown placeholder', { ...opentsdb, tags: { a: '$b' } }, /tags\.a: unknown placeholder/],
  ])('OpenTSDB: %s', (_, template, expected) => {
    expect(() => parseOpenTsdb(JSON.stringify({ a: template }))).toThrow(expected);
  });

  it.each<[string, unknown, RegExp]>([
    ['no name', { ...statement, name: undefined }, /name: is missing/],
    ['an empty name', { ...statement, name: '' }, /name: must be a text/],
    ['no statement', { ...statement, sql: ' ' }, /sql: must be a text/],
    ['parameters that are no list', { ...statement, param_keys: {} }, /param_keys: must be a list/],
    ['an unknown placeholder', { ...statement, param_keys: ['$id', '$x'] }, /param_keys\[1\]: unknown placeholder "\$x"/],
    ['a name twice', [statement, statement], /name: "s" is there twice/],
  ])('TimescaleDB: %s', (_, template, expected) => {
    expect(() => parseStatements(JSON.stringify({ a: template }))).toThrow(expected);
  });
});
