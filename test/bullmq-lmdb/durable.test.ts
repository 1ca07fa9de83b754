import { Queue } from 'bullmq';
import { createLmdbBackend, type Database } from '../../src/bullmq-lmdb';
import { Environment } from '../../src/embedded/environment';
import { temporaryDirectory } from '../support/temp';
import { waitFor } from '../support/wait';

/** The disk has not synced what was written until the test says so. */
function withSlowDisk(environment: Environment): { readonly database: Database; readonly sync: () => void } {
  let sync = (): void => undefined;
  const synced = new Promise<void>((resolve) => (sync = resolve));
  const database: Database = {
    table: (name) => environment.table(name),
    longTable: (name) => environment.longTable(name),
    write: (work) => environment.write(work),
    async durably(work) {
      const result = await environment.write(work);
      await synced;
      return result;
    },
  };
  return { database, sync };
}

type Adding = Pick<Queue, 'add' | 'addBulk'>;

/** Promise 1, where the power fails: the server answers 202 when `add` has resolved. */
describe('a job that is added', () => {
  it.each([
    ['add', (queue: Adding) => queue.add('job', {})],
    [
      'addBulk',
      (queue: Adding) =>
        queue.addBulk([
          { name: 'job', data: {} },
          { name: 'job', data: {} },
        ]),
    ],
    ['add with a delay', (queue: Adding) => queue.add('job', {}, { delay: 60_000 })],
  ])('is confirmed only after it was synced to disk (%s)', async (_, add) => {
    const directory = temporaryDirectory();
    const environment = await Environment.open(directory.path);
    const { database, sync } = withSlowDisk(environment);
    const queue = new Queue('durable', { connection: {} }, createLmdbBackend(database));
    let isConfirmed = false;
    const adding = add(queue as unknown as Adding).then(() => (isConfirmed = true));
    await waitFor('the job', async () => (await queue.getJobCountByTypes('waiting', 'delayed')) > 0);
    expect(isConfirmed).toBe(false);
    sync();
    await adding;
    await queue.close();
    await environment.close();
    directory.remove();
  });
});
