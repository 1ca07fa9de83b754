import { RetryableError } from '../../src/base/errors';
import type { Database } from '../../src/stores/mongodb/database';
import { Lease } from '../../src/stores/mongodb/lease';

/** A database whose lock nobody else wants. */
const db = {
  bulk: () => Promise.resolve({ refused: [], duplicates: [] }),
  find: () => Promise.resolve([{}]),
  command: () => Promise.resolve({ localTime: new Date() }),
  delete: () => Promise.resolve(1),
} as unknown as Database;

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
  now.mockRestore();
});
