import { MongoServerError } from 'mongodb';
import { parseServiceUrl } from '../../src/config/url';
import { RefusedError, RetryableError, SettingError } from '../../src/base/errors';
import { mapError, mapMigrationError, outcomeOf } from '../../src/stores/mongodb/errors';
import { beginOf, isLong, keyOf } from '../../src/stores/mongodb/keys';
import { timeOf } from '../../src/stores/mongodb/rows';
import { settingsOf } from '../../src/stores/mongodb/settings';

const settings = (text: string) => settingsOf(parseServiceUrl(text, ['mongodb']));

describe('mongodb settings', () => {
  it('write to a majority and its disks, read from the primary', () => {
    expect(settings('mongodb://a:1,b:2/offline?replicaSet=rs')).toEqual({
      href: 'mongodb://a:1,b:2/offline?replicaSet=rs',
      options: expect.objectContaining({ w: 'majority', journal: true, readConcernLevel: 'majority', readPreference: 'primary' }) as object,
    });
  });

  it('are the URL’s where it says something', () => {
    const { href, options } = settings('mongodb://h/offline?W=1&readConcernLevel=local&socketTimeoutMS=7');
    expect(href).toContain('W=1');
    expect(Object.keys(options)).not.toEqual(expect.arrayContaining(['w']));
    expect(options.readConcernLevel).toBeUndefined();
    expect(options.socketTimeoutMS).toBeUndefined();
  });

  it('have ca= under the driver’s own name', () => {
    const { href, options } = settings(`mongodb://h/offline?ca=${encodeURIComponent(__filename)}&appName=x`);
    expect(href).toBe('mongodb://h/offline?appName=x');
    expect(options).toMatchObject({ tls: true, tlsCAFile: __filename });
  });

  it.each([
    ['mongodb://h', /no database/],
    ['mongodb://h/', /no database/],
    ['mongodb://h/a.b', /contain/],
    ['mongodb://h/d?colour=red', /option colour is not supported; known are/],
    ['mongodb://h/d?socketTimeoutMS=soon', /socketTimeoutMS/],
    ['mongodb://h/d?readPreference=secondary', /readpreference must be primary/],
    ['mongodb://h/d?readConcernLevel=available', /readconcernlevel must be local or majority or linearizable/],
    ['mongodb://h/d?w=0', /w=0 would lose messages/],
    ['mongodb://h/d?tls=maybe', /tls=maybe is unknown/],
    ['mongodb://h/d?tls=false&ca=x', /contradict/],
    ['mongodb://h/d?ca=/absent', /can't be read \(ENOENT\)/],
    ['mongodb://user:hunter2@h/d?authMechanism=hunter2', /authMechanism/],
  ])('%s is refused', (text, reason) => {
    let error: unknown;
    try {
      settings(text);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(SettingError);
    expect((error as Error).message).toMatch(/^STORE_URL: /);
    expect((error as Error).message).toMatch(reason);
    expect((error as Error).message).not.toContain('hunter2');
  });
});

describe('mongodb errors', () => {
  const serverError = (code: number, errmsg = 'no reason') => new MongoServerError({ message: errmsg, errmsg, code });

  it.each([22, 121, 10334, 17280, 17419])('code %i rejects the message', (code) => {
    expect(mapError(serverError(code))).toEqual(new RefusedError(`no reason (code ${code})`));
  });

  it.each([6, 11, 13, 18, 50, 64, 91, 112, 133, 189, 251, 10107, 11600, 11602, 13435, 14031])('code %i is retried', (code) => {
    const error = mapError(serverError(code));
    expect(error).toBeInstanceOf(RetryableError);
    expect(error.message).toContain('no reason');
  });

  it.each([
    [18, /check user, password and authSource/],
    [13, /needs the role readWrite/],
  ])('code %i has an error text with advice', (code, text) => expect(mapError(serverError(code)).message).toMatch(text));

  it.each([
    ['E11000 duplicate key error collection: d.mqtt_msg index: mqtt_msg_msgid dup key: { msgid: "x" }', 'duplicate'],
    ['E11000 duplicate key error collection: d.mqtt_msg', 'duplicate'],
    ['E11000 duplicate key error collection: d.mqtt_msg index: topic_1 dup key: { topic: "x" }', 'refused'],
  ])('%s: %s', (errmsg, outcome) => expect(outcomeOf({ code: 11000, errmsg })).toBe(outcome));

  it("an error in a migration's statement is final, an outage is not", () => {
    expect(mapMigrationError(mapError(serverError(67)), '001')).toBeInstanceOf(RefusedError);
    expect(mapMigrationError(mapError(serverError(91)), '001')).not.toBeInstanceOf(RefusedError);
  });
});

describe('mongodb documents', () => {
  it('have the topic as its key, or what begins as it does', () => {
    expect(keyOf('a/b')).toBe('a/b');
    expect(keyOf('😀'.repeat(255))).toBe('😀'.repeat(255));
    const [long, longer] = ['😀'.repeat(256), `${'😀'.repeat(256)}!`];
    expect(keyOf(long)).toMatch(/^(😀){255}[\w-]{43}$/u);
    expect(keyOf(longer)).not.toBe(keyOf(long));
    expect([isLong(keyOf(long)), beginOf(keyOf(long))]).toEqual([true, '😀'.repeat(255)]);
  });

  it.each([
    [new Date(5), 5],
    [1_488_362_407, 1_488_362_407_000],
    [1_488_362_407.25, 1_488_362_407_250],
    [1_488_362_408_000, 1_488_362_408_000],
    [1_488_362_408_000_500, 1_488_362_408_001],
    [null, null],
    [undefined, null],
    [Number.NaN, null],
  ])('time %p is %p ms', (stored, ms) => expect(timeOf(stored)).toBe(ms));
});
