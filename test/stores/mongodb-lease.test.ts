import { RetryableError } from '../../src/base/errors';
import type { Database } from '../../src/stores/mongodb/database';
import { Lease } from '../../src/stores/mongodb/lease';
import { takeOver } from '../../src/stores/mongodb/takeover';

/** A database whose lock nobody else wants. */
const db = {
  bulk: () => Promise.resolve({ refused: [], duplicates: [] }),
  find: () => Promise.resolve([{}]),
  command: () => Promise.resolve({ localTime: new Date() }),
  delete: () => Promise.resolve(1),
} as unknown as Database;

afterEach(() => void jest.restoreAllMocks());

// The guard is endsAt. The next renewal would notice it only after the next steps.
it('promise 21: a process that stood still for longer than the lease of its migration does not go on', async () => {
  const lease = new Lease(db);
  const now = jest.spyOn(Date, 'now');
  await lease.hold(async () => {
    lease.check();
    const start = Date.now();
    now.mockReturnValue(start + 59_000);
    lease.check();
    now.mockReturnValue(start + 60_000);
    expect(() => lease.check()).toThrow(RetryableError);
    return Promise.resolve();
  });
});

// Its successor has taken over the documents, and may have moved the read positions since.
it.each([
  ['mqtt_acked', [{ _id: 1, clientid: 'a', topic: 't', mongo_id: 1 }]],
  ['mqtt_acked', ['a', 'b'].map((clientid) => ({ _id: clientid, clientid, topic: 't', mongo_id: 1 }))],
  ['mqtt_msg', [1, 2].map((_id) => ({ _id, msgid: 'same', topic: 't' }))],
] as const)('promise 21: a process that stood still while it looked at a page of %s changes nothing (%j)', async (collection, page) => {
  const now = jest.spyOn(Date, 'now');
  const changes: unknown[] = [];
  const slow = {
    ...db,
    *pages() {
      yield page;
    },
    find: () => {
      now.mockReturnValue(Date.now() + 60_000);
      return Promise.resolve([{ msgid: 'old' }]);
    },
    upsert: (_: string, operations: unknown[]) => Promise.resolve(changes.push(...operations)),
  } as unknown as Database;
  const lease = new Lease(db);
  await expect(lease.hold(() => takeOver[collection](slow, lease, () => undefined))).rejects.toThrow(RetryableError);
  expect(changes).toEqual([]);
});
