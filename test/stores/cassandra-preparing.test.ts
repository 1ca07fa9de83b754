import type { Client } from 'cassandra-driver';
import { RetryableError } from '../../src/base/errors';
import { Database } from '../../src/stores/cassandra/database';
import { Session } from '../../src/stores/cassandra/session';
import { settingsOf } from '../support/keyspace';

/** What the driver throws when it would prepare a statement on a host to which it has no connection. */
const noConnection = new Error('No connection available');

/** No server is needed: the driver's client is replaced by one whose calls fail with these errors, one after the other. */
describe('cassandra: a statement that is prepared while a host of three is away', () => {
  const db = new Database(settingsOf('cassandra://127.0.0.1:1/none?dc=datacenter1'));
  const failing = (...failures: Error[]) => {
    const execute = jest.fn(() => {
      const failure = failures.shift();
      return failure === undefined ? Promise.resolve({ rows: ['a row'] }) : Promise.reject(failure);
    });
    jest.spyOn(Session.prototype, 'connected').mockResolvedValue({ hosts: { length: 3 }, execute } as unknown as Client);
    return execute;
  };
  afterEach(() => jest.restoreAllMocks());
  afterAll(() => db.close());

  // The guard is onSomeHost.
  it('is prepared on another host', async () => {
    const execute = failing(noConnection, noConnection);
    expect(await db.rows('SELECT 1')).toEqual(['a row']);
    expect(execute).toHaveBeenCalledTimes(3);
  });

  it('fails for now when there is no connection to any host', async () => {
    const execute = failing(noConnection, noConnection, noConnection);
    await expect(db.rows('SELECT 1')).rejects.toThrow(RetryableError);
    expect(execute).toHaveBeenCalledTimes(3);
  });

  it('is not repeated after any other failure', async () => {
    const execute = failing(new Error('something else'));
    await expect(db.rows('SELECT 1')).rejects.toThrow(/something else/);
    expect(execute).toHaveBeenCalledTimes(1);
  });
});
